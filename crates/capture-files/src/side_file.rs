//! Files of other things than packets that grow and appear as captures do.

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::directories::Directories;
use crate::disk::Kind;
use crate::error::{Doing as _, FileError, FileStep};
use crate::finished_file::Reading;
use crate::partial_file::{AppendError, PartialFile};

/// A file of other things than packets. It grows in a directory among the partial files, and is published
/// whole and under a name that is free, as captures are. What a crash leaves is found by [`Self::left`].
#[derive(Debug)]
pub struct SideFile {
    directories: Directories,
    partial: PartialFile,
}

/// A write to a side file failed.
#[derive(Debug)]
pub enum SideError {
    /// The file is as it was before.
    Unchanged(FileError),
    /// The file is gone, with everything that it held.
    Lost(FileError),
}

/// What an earlier run, or somebody else, has put where side files grow.
#[derive(Debug)]
pub struct LeftSideFile {
    /// Its name.
    pub name: String,
    /// The file.
    pub file: SideFile,
}

impl SideFile {
    /// Begins an empty file in this directory. If the name is taken, a number is put before it.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(
        directories: &Directories,
        directory: &str,
        name: &str,
    ) -> Result<Self, FileError> {
        Ok(Self {
            partial: directories.create_beside_runs(directory, name)?,
            directories: directories.clone(),
        })
    }

    /// The files in this directory, in the order of their names; not those that belong to somebody else.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn left(
        directories: &Directories,
        directory: &str,
    ) -> Result<Vec<LeftSideFile>, FileError> {
        let within = directories.beside_runs(directory)?;
        let entries = within.entries();
        let entries = entries.doing(FileStep::Open, "listing", within.path())?;
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.doing(FileStep::Open, "listing", within.path())?;
            let Ok(name) = entry.name.into_string() else {
                continue;
            };
            let place = (std::sync::Arc::clone(&within), name.clone());
            let partial = PartialFile::left(place, 0);
            if entry.kind == Kind::File
                && let Ok(file) = partial.read()
            {
                let length = file.length();
                let bytes = length.doing(FileStep::Open, "reading", &partial.path())?;
                let partial =
                    PartialFile::left((std::sync::Arc::clone(&within), name.clone()), bytes);
                let directories = directories.clone();
                let file = Self {
                    directories,
                    partial,
                };
                found.push(LeftSideFile { name, file });
            }
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// Appends bytes: all of them, or none.
    ///
    /// # Errors
    /// If they cannot all be written.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), SideError> {
        self.partial.append(bytes).map_err(|error| match error {
            AppendError::Unchanged(error) => SideError::Unchanged(error),
            AppendError::Lost(error) | AppendError::Torn(error) => SideError::Lost(error),
        })
    }

    /// Removes what is beyond a length.
    ///
    /// # Errors
    /// If it cannot be cut.
    pub fn cut(&mut self, length: u64) -> Result<(), FileError> {
        self.partial.cut(length)
    }

    /// Makes what was written safe against a power loss, if files are to be synced.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn sync(&self) -> Result<(), FileError> {
        if !self.directories.has_fsync() {
            return Ok(());
        }
        let synced = self.directories.sync(&[self.partial.place()]);
        synced.into_iter().collect()
    }

    /// Its length, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.partial.bytes()
    }

    /// Where it is until it is published, for people to read.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.partial.path()
    }

    /// Opens it to be read from its beginning.
    ///
    /// # Errors
    /// If it cannot be opened, or something else is in its place.
    pub fn open(&self) -> Result<BufReader<impl Read + use<>>, FileError> {
        Ok(BufReader::new(Reading(self.partial.read()?)))
    }

    /// Publishes it in a directory below the data directory, under the first of these names that is free:
    /// its path from then on.
    ///
    /// # Errors
    /// If it cannot be published. It stays where it is then.
    pub fn publish(
        &mut self,
        directory: &Path,
        name: &dyn Fn(u32) -> String,
    ) -> Result<PathBuf, FileError> {
        self.partial.give_up();
        let place = self.partial.place();
        self.directories.publish_alone(place, directory, name)
    }

    /// An error of something that was done with it.
    #[must_use]
    pub fn error(&self, doing: &'static str, why: io::Error) -> FileError {
        FileError::new(FileStep::Write, doing, &self.path(), why)
    }

    /// Gives it another name in its directory, which must be free.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn rename(&mut self, name: &str) -> Result<(), FileError> {
        self.partial.rename(name)
    }

    /// Removes it.
    ///
    /// # Errors
    /// If it stays where it is.
    pub fn remove(&self) -> Result<(), FileError> {
        self.partial.remove_now()
    }
}

impl SideError {
    /// What went wrong.
    #[must_use]
    pub fn into_error(self) -> FileError {
        match self {
            Self::Unchanged(error) | Self::Lost(error) => error,
        }
    }
}

/// Appends, for those who write by [`Write`](io::Write).
impl io::Write for SideFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let appended = self.append(bytes);
        appended.map_err(|error| error.into_error().into_source())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::directories::partial_directory;
    use crate::faults::{self, Fate, Operation};

    const ROWS: &str = "rows";

    fn directories(home: &Path) -> Directories {
        let data = home.join("data");
        Directories::prepare(&data, &partial_directory(&data)).unwrap()
    }

    fn text(file: &SideFile) -> String {
        let mut text = String::new();
        file.open().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn it_grows_out_of_sight_and_appears_whole_under_a_free_name() {
        let home = tempfile::tempdir().unwrap();
        let directories = directories(home.path());
        let names = |number: u32| format!("{number}.jsonl");
        for number in 0..2 {
            let mut file = SideFile::create(&directories, ROWS, "a").unwrap();
            file.append(b"one\n").unwrap();
            file.append(b"two\n").unwrap();
            assert_eq!((file.bytes(), text(&file)), (8, "one\ntwo\n".to_owned()));
            let path = file.publish(Path::new("2026/11/29"), &names).unwrap();
            assert_eq!(
                path,
                directories
                    .data()
                    .join(format!("2026/11/29/{number}.jsonl"))
            );
            assert_eq!(fs::read(path).unwrap(), b"one\ntwo\n");
        }
        assert!(SideFile::left(&directories, ROWS).unwrap().is_empty());
    }

    #[test]
    fn a_write_that_fails_leaves_it_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let directories = directories(home.path());
        let mut file = SideFile::create(&directories, ROWS, "a").unwrap();
        file.append(b"one\n").unwrap();
        faults::plan(Some(Box::new(|operation| {
            if matches!(operation, Operation::Write(_)) {
                return Fate::Breaks(2, rustix::io::Errno::NOSPC.raw_os_error());
            }
            Fate::Done
        })));
        let failed = file.append(b"two\n").unwrap_err();
        faults::plan(None);
        assert!(matches!(failed, SideError::Unchanged(_)));
        assert_eq!(failed.into_error().issue(), crate::FileIssue::NoSpace);
        file.append(b"three\n").unwrap();
        assert_eq!(text(&file), "one\nthree\n");
    }

    #[test]
    fn what_was_left_is_found_and_what_is_not_ours_is_not() {
        let home = tempfile::tempdir().unwrap();
        let directories = directories(home.path());
        let mut file = SideFile::create(&directories, ROWS, "b").unwrap();
        file.append(b"whole\ntorn").unwrap();
        drop(file);
        let within = directories.partial().join(ROWS);
        fs::create_dir(within.join("directory")).unwrap();
        std::os::unix::fs::symlink("b", within.join("link")).unwrap();
        fs::write(within.join("a"), b"").unwrap();
        let mut left = SideFile::left(&directories, ROWS).unwrap();
        let names: Vec<_> = left.iter().map(|left| &*left.name).collect();
        assert_eq!(names, ["a", "b"]);
        let LeftSideFile { mut file, .. } = left.remove(1);
        assert_eq!(file.bytes(), 10);
        file.cut(6).unwrap();
        assert_eq!((file.bytes(), text(&file)), (6, "whole\n".to_owned()));
        file.rename("c").unwrap();
        assert!(within.join("c").exists() && !within.join("b").exists());
        file.remove().unwrap();
        file.remove().unwrap();
        assert!(!within.join("c").exists());
    }
}
