//! A file that grows out of sight.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::{Directory, Opened, OwnFile};
use crate::error::{Doing as _, FileError, FileStep};

/// A file that is not finished. It stays open from one write to the next, unless it is [told to give
/// its descriptor up](Self::give_up): there may be more flows than descriptors.
#[derive(Debug)]
pub(crate) struct PartialFile {
    /// Files of one day have it in common, so this keeps no descriptor for each of them.
    directory: Arc<Directory>,
    name: Box<str>,
    bytes: u64,
    open: Option<OwnFile>,
    /// Whether it has been written without a look at where its name leads.
    unseen: bool,
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
        let written = file.write_all(bytes);
        let partial = Self {
            directory,
            name: name.into(),
            bytes: length(bytes),
            open: Some(file),
            unseen: false,
        };
        if let Err(error) = written {
            partial.remove();
            return Err(error).doing(FileStep::Write, "writing", &partial.path());
        }
        Ok(partial)
    }

    /// One that an earlier run has left, so long.
    pub(crate) fn left((directory, name): (Arc<Directory>, String), bytes: u64) -> Self {
        Self {
            directory,
            name: name.into(),
            bytes,
            open: None,
            unseen: false,
        }
    }

    /// Opens it for somebody who reads it.
    ///
    /// # Errors
    /// If it cannot be opened, or its name leads to something else.
    pub(crate) fn read(&self) -> Result<OwnFile, FileError> {
        let opened = match self.directory.open_to_cut(self.name()) {
            Ok(Opened::Ours(file)) => Ok(file),
            Ok(Opened::Foreign(why)) => Err(io::Error::other(why)),
            Err(error) => Err(error),
        };
        opened.doing(FileStep::Open, "reading", &self.path())
    }

    /// Appends bytes: all of them, or none.
    ///
    /// # Errors
    /// If they cannot all be written. The file is cut back to what it was then, if possible.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), AppendError> {
        let mut out = self.open()?;
        if let Err(failed) = out.write_all(bytes) {
            let error = self.failed(FileStep::Write, failed);
            return Err(match out.cut(self.bytes) {
                Ok(()) => {
                    self.open = Some(out);
                    AppendError::Unchanged(error)
                }
                // There is no telling what is in it.
                Err(_) if self.remove() => AppendError::Lost(error),
                Err(_) => AppendError::Torn(error),
            });
        }
        self.bytes += length(bytes);
        self.open = Some(out);
        Ok(())
    }

    /// Opens it, if it is not open already. It must have one name, and nothing else may have that.
    fn open(&mut self) -> Result<OwnFile, AppendError> {
        let kept = self.open.take();
        self.unseen = kept.is_some();
        let opened = match kept {
            Some(kept) => kept.look_again(),
            None => self.directory.open_to_append(self.name()),
        };
        match opened {
            Ok(Opened::Ours(out)) => Ok(out),
            Ok(Opened::Foreign(why)) => {
                // Somebody has put it there, or taken hold of ours.
                let why = io::Error::other(why);
                Err(AppendError::Lost(self.failed(FileStep::Open, why)))
            }
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => {
                Err(AppendError::Lost(self.failed(FileStep::Open, gone)))
            }
            Err(refused) => Err(AppendError::Unchanged(self.failed(FileStep::Open, refused))),
        }
    }

    fn failed(&self, step: FileStep, error: io::Error) -> FileError {
        FileError::new(step, "writing", &self.path(), error)
    }

    /// Whether it is open.
    pub(crate) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Closes it. It is opened again by the next write.
    pub(crate) fn give_up(&mut self) {
        self.open = None;
    }

    /// Closes it for good.
    ///
    /// # Errors
    /// If its name leads elsewhere by now: what was written since somebody moved it is not there.
    pub(crate) fn close(&mut self) -> Result<(), FileError> {
        let Some(file) = self.open.take().filter(|_| self.unseen) else {
            return Ok(());
        };
        let why = match self.directory.leads_to(self.name(), &file) {
            Ok(false) => io::Error::other("it is another file by now"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => error,
            // What cannot be looked at may be there: publishing it tells.
            Ok(true) | Err(_) => return Ok(()),
        };
        Err(self.failed(FileStep::Finish, why))
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

    /// Removes what is beyond a length.
    ///
    /// # Errors
    /// If it cannot be opened or cut.
    pub(crate) fn cut(&mut self, length: u64) -> Result<(), FileError> {
        let cut = self.read()?.cut(length);
        cut.doing(FileStep::Finish, "truncating", &self.path())?;
        self.bytes = self.bytes.min(length);
        Ok(())
    }

    /// Gives it another name in its directory, which must be free.
    ///
    /// # Errors
    /// If that is not possible. It keeps its name then.
    pub(crate) fn rename(&mut self, name: &str) -> Result<(), FileError> {
        self.give_up();
        let renamed = self
            .directory
            .rename_new(self.name(), &self.directory, name);
        renamed.doing(FileStep::Finish, "renaming", &self.path())?;
        self.name = name.into();
        Ok(())
    }

    /// Removes it. One that is gone already is no error.
    ///
    /// # Errors
    /// If it stays where it is.
    pub(crate) fn remove_now(&self) -> Result<(), FileError> {
        match self.directory.remove(self.name()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).doing(FileStep::Finish, "removing", &self.path())
            }
            Ok(()) | Err(_) => Ok(()),
        }
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
    use rustix::io::Errno;

    use super::*;
    use crate::disk::{Sharing, Top};
    use crate::error::FileIssue;
    use crate::faults::{self, Fate, Operation};

    /// A file with its first bytes, which has stayed open or not.
    fn begin(at: &Path, bytes: &[u8], is_open: bool) -> PartialFile {
        let top = Top::prepare(at, Sharing::Private).unwrap();
        let directory = top.top(FileStep::Open).unwrap();
        let file = directory.create("a", Mode::RUSR | Mode::WUSR).unwrap();
        let place = (directory, "a".to_owned());
        let mut partial = PartialFile::begin(place, file, bytes).unwrap();
        if !is_open {
            partial.give_up();
        }
        assert_eq!(partial.is_open(), is_open);
        partial
    }

    #[test]
    fn a_file_grows() {
        let temp = tempfile::tempdir().unwrap();
        for is_open in [true, false] {
            let mut partial = begin(temp.path(), b"first", is_open);
            partial.append(b"second").unwrap();
            assert_eq!(partial.bytes(), 11);
            assert_eq!(fs::read(partial.path()).unwrap(), b"firstsecond");
            assert!(partial.exists() && partial.is_open());
            partial.close().unwrap();
            fs::remove_file(partial.path()).unwrap();
        }
    }

    #[test]
    fn a_partial_file_that_was_removed_is_said_to_be_gone() {
        let temp = tempfile::tempdir().unwrap();
        for is_open in [true, false] {
            let mut partial = begin(temp.path(), b"x", is_open);
            fs::remove_file(partial.path()).unwrap();
            match partial.append(b"y").unwrap_err() {
                AppendError::Lost(error) => assert_eq!(error.issue(), FileIssue::Missing),
                AppendError::Unchanged(error) | AppendError::Torn(error) => panic!("{error}"),
            }
            assert!(!partial.exists() && !partial.is_open());
        }
    }

    #[test]
    fn an_io_error_is_an_error_with_its_kind_and_not_an_end() {
        // Nothing is mapped at address zero: the kernel answers EIO.
        let process = Top::prepare(Path::new("/proc/self"), Sharing::Private).unwrap();
        let mut partial = PartialFile {
            directory: process.top(FileStep::Open).unwrap(),
            name: "mem".into(),
            bytes: 0,
            open: None,
            unseen: false,
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
            for is_open in [true, false] {
                let mut partial = begin(&home, b"x", is_open);
                fs::remove_file(partial.path()).unwrap();
                replace(&partial.path(), &precious);
                let error = partial.append(b"y").unwrap_err();
                assert!(matches!(error, AppendError::Lost(_)), "{error:?}");
                assert_eq!(fs::read(&precious).unwrap(), b"precious");
                fs::remove_file(partial.path()).unwrap();
            }
        }
    }

    #[test]
    fn a_file_goes_on_growing_where_it_was_made_whatever_takes_its_directorys_name() {
        let temp = tempfile::tempdir().unwrap();
        let (home, aside) = (temp.path().join("home"), temp.path().join("aside"));
        let mut partial = begin(&home, b"first", true);
        fs::rename(&home, &aside).unwrap();
        let elsewhere = temp.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("a"), b"precious").unwrap();
        symlink(&elsewhere, &home).unwrap();
        partial.append(b"second").unwrap();
        partial.give_up();
        partial.append(b"third").unwrap();
        assert_eq!(fs::read(aside.join("a")).unwrap(), b"firstsecondthird");
        assert_eq!(fs::read(elsewhere.join("a")).unwrap(), b"precious");
    }

    #[test]
    fn nothing_is_appended_to_a_file_of_which_somebody_took_hold() {
        let temp = tempfile::tempdir().unwrap();
        for is_open in [true, false] {
            let mut partial = begin(&temp.path().join("home"), b"x", is_open);
            let other = temp.path().join("other");
            fs::hard_link(partial.path(), &other).unwrap();
            let error = partial.append(b"y").unwrap_err();
            assert!(matches!(error, AppendError::Lost(_)), "{error:?}");
            assert_eq!(fs::read(&other).unwrap(), b"x");
            fs::remove_file(other).unwrap();
            fs::remove_file(partial.path()).unwrap();
        }
    }

    #[test]
    fn a_file_that_was_moved_while_it_was_open_is_not_taken_for_what_has_its_name() {
        let temp = tempfile::tempdir().unwrap();
        let (home, aside) = (temp.path().join("home"), temp.path().join("aside"));
        for replaced in [true, false] {
            let mut partial = begin(&home, b"x", true);
            fs::rename(partial.path(), &aside).unwrap();
            if replaced {
                fs::write(partial.path(), b"other").unwrap();
            }
            partial.append(b"y").unwrap();
            let error = partial.close().unwrap_err();
            assert_eq!(error.step(), FileStep::Finish);
            assert_eq!(error.issue() == FileIssue::Missing, !replaced, "{error}");
            assert!(!partial.is_open());
            if replaced {
                fs::remove_file(partial.path()).unwrap();
            }
        }
    }

    #[test]
    fn what_was_cut_back_goes_on_behind_what_stayed() {
        const NOSPC: i32 = Errno::NOSPC.raw_os_error();
        let temp = tempfile::tempdir().unwrap();
        let mut partial = begin(temp.path(), b"first", true);
        faults::plan(Some(Box::new(|operation| {
            if matches!(operation, Operation::Write(_)) {
                Fate::Breaks(2, NOSPC)
            } else {
                Fate::Done
            }
        })));
        let error = partial.append(b"second").unwrap_err();
        faults::plan(None);
        assert!(matches!(error, AppendError::Unchanged(_)), "{error:?}");
        assert!(partial.is_open());
        partial.append(b"third").unwrap();
        partial.append(b"fourth").unwrap();
        assert_eq!(fs::read(partial.path()).unwrap(), b"firstthirdfourth");
    }
}
