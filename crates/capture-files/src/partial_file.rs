//! A file that grows out of sight.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::{Directory, Opened, OwnFile};
use crate::error::{Doing as _, FileError, FileStep};

/// A file that is not finished. It is opened for each write only, so that there are no more
/// descriptors when there are more flows.
#[derive(Debug)]
pub(crate) struct PartialFile {
    /// Files of one day have it in common, so this keeps no descriptor for each of them.
    directory: Arc<Directory>,
    name: Box<str>,
    bytes: u64,
}

/// A write to a partial file failed.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// The file is as it was before.
    Unchanged(FileError),
    /// The file is gone, with everything that it held.
    Lost(FileError),
    /// The file can neither be used any more nor be removed, and may hold a part of what was to be
    /// written.
    Torn(FileError),
}

impl PartialFile {
    /// Writes the first bytes of a file that was just made.
    ///
    /// # Errors
    /// If they cannot be written. The file is removed then.
    pub(crate) fn begin(
        (directory, name): (Arc<Directory>, String),
        mut file: OwnFile,
        bytes: &[u8],
    ) -> Result<Self, FileError> {
        let partial = Self {
            directory,
            name: name.into(),
            bytes: length(bytes),
        };
        if let Err(error) = file.write_all(bytes) {
            partial.remove();
            return Err(error).doing(FileStep::Write, "writing", &partial.path());
        }
        Ok(partial)
    }

    /// Appends bytes: all of them, or none.
    ///
    /// # Errors
    /// If they cannot all be written. The file is cut back to what it was then, if possible.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), AppendError> {
        let error = |step, error| FileError::new(step, "writing", &self.path(), error);
        let mut out = match self.directory.open_to_append(self.name()) {
            Ok(Opened::Ours(out)) => out,
            Ok(Opened::Foreign(why)) => {
                // Somebody has put it there, or taken hold of ours.
                let why = io::Error::other(why);
                return Err(AppendError::Lost(error(FileStep::Open, why)));
            }
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => {
                return Err(AppendError::Lost(error(FileStep::Open, gone)));
            }
            Err(refused) => return Err(AppendError::Unchanged(error(FileStep::Open, refused))),
        };
        if let Err(failed) = out.write_all(bytes) {
            let error = error(FileStep::Write, failed);
            return Err(match out.cut(self.bytes) {
                Ok(()) => AppendError::Unchanged(error),
                // There is no telling what is in it.
                Err(_) if self.remove() => AppendError::Lost(error),
                Err(_) => AppendError::Torn(error),
            });
        }
        self.bytes += length(bytes);
        Ok(())
    }

    /// The directory that it is in, and its name there.
    pub(crate) fn place(&self) -> (&Directory, &OsStr) {
        (&self.directory, self.name())
    }

    /// Its name in its directory.
    fn name(&self) -> &OsStr {
        OsStr::new(&*self.name)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path_of(&*self.name)
    }

    /// Its length.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it is still there.
    pub(crate) fn exists(&self) -> bool {
        // What cannot be looked at may be there.
        self.directory.has(&self.name).unwrap_or(true)
    }

    /// Gives it up; whether it is gone. If it stays, recovery looks at it again, and trusts nothing
    /// in it.
    fn remove(&self) -> bool {
        match self.directory.remove(self.name()) {
            Err(error) => error.kind() == io::ErrorKind::NotFound,
            Ok(()) => true,
        }
    }
}

fn length(slice: &[u8]) -> u64 {
    u64::try_from(slice.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;
    use crate::disk::{Sharing, Top};
    use crate::error::FileIssue;

    fn begin(at: &Path, bytes: &[u8]) -> PartialFile {
        let top = Top::prepare(at, Sharing::Private).unwrap();
        let directory = top.top(FileStep::Open).unwrap();
        let file = directory.create("a", Mode::RUSR | Mode::WUSR).unwrap();
        PartialFile::begin((directory, "a".to_owned()), file, bytes).unwrap()
    }

    #[test]
    fn a_file_grows() {
        let temp = tempfile::tempdir().unwrap();
        let mut partial = begin(temp.path(), b"first");
        partial.append(b"second").unwrap();
        assert_eq!(partial.bytes(), 11);
        assert_eq!(fs::read(partial.path()).unwrap(), b"firstsecond");
        assert!(partial.exists());
    }

    #[test]
    fn a_partial_file_that_was_removed_is_said_to_be_gone() {
        let temp = tempfile::tempdir().unwrap();
        let mut partial = begin(temp.path(), b"x");
        fs::remove_file(partial.path()).unwrap();
        match partial.append(b"y").unwrap_err() {
            AppendError::Lost(error) => assert_eq!(error.issue(), FileIssue::Missing),
            AppendError::Unchanged(error) | AppendError::Torn(error) => panic!("{error}"),
        }
        assert!(!partial.exists());
    }

    #[test]
    fn an_io_error_is_an_error_with_its_kind_and_not_an_end() {
        // Nothing is mapped at address zero: the kernel answers EIO.
        let process = Top::prepare(Path::new("/proc/self"), Sharing::Private).unwrap();
        let mut partial = PartialFile {
            directory: process.top(FileStep::Open).unwrap(),
            name: "mem".into(),
            bytes: 0,
        };
        let (AppendError::Unchanged(error) | AppendError::Lost(error) | AppendError::Torn(error)) =
            partial.append(b"x").unwrap_err();
        assert_eq!(error.issue(), FileIssue::Io, "{error}");
        assert_eq!(error.step(), FileStep::Write);
    }

    #[test]
    fn nothing_is_appended_to_what_somebody_put_in_its_place() {
        let temp = tempfile::tempdir().unwrap();
        let precious = temp.path().join("precious");
        fs::write(&precious, b"precious").unwrap();
        let home = temp.path().join("home");
        for replace in [
            |path: &Path, precious: &Path| symlink(precious, path).unwrap(),
            |path: &Path, precious: &Path| fs::hard_link(precious, path).unwrap(),
            // Opened as usual, it would block for ever.
            |path: &Path, _: &Path| {
                mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
            },
        ] {
            let mut partial = begin(&home, b"x");
            fs::remove_file(partial.path()).unwrap();
            replace(&partial.path(), &precious);
            let error = partial.append(b"y").unwrap_err();
            assert!(matches!(error, AppendError::Lost(_)), "{error:?}");
            assert_eq!(fs::read(&precious).unwrap(), b"precious");
            fs::remove_file(partial.path()).unwrap();
        }
    }

    #[test]
    fn a_file_goes_on_growing_where_it_was_made_whatever_takes_its_directorys_name() {
        let temp = tempfile::tempdir().unwrap();
        let (home, aside) = (temp.path().join("home"), temp.path().join("aside"));
        let mut partial = begin(&home, b"first");
        fs::rename(&home, &aside).unwrap();
        let elsewhere = temp.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("a"), b"precious").unwrap();
        symlink(&elsewhere, &home).unwrap();
        partial.append(b"second").unwrap();
        assert_eq!(fs::read(aside.join("a")).unwrap(), b"firstsecond");
        assert_eq!(fs::read(elsewhere.join("a")).unwrap(), b"precious");
    }
}
