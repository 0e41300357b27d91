//! A file that grows out of sight.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{Doing as _, FileError, FileStep};

/// A file that is not finished. It is opened for each write only, so that there are no more
/// descriptors when there are more flows.
#[derive(Debug)]
pub(crate) struct PartialFile {
    path: PathBuf,
    bytes: u64,
}

/// A write to a partial file failed.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// The file is as it was before.
    Unchanged(FileError),
    /// The file is gone, with everything that it held.
    Lost(FileError),
}

impl PartialFile {
    /// Writes the first bytes of a file that was just made.
    ///
    /// # Errors
    /// If they cannot be written. The file is removed then.
    pub(crate) fn begin(path: PathBuf, mut file: File, bytes: &[u8]) -> Result<Self, FileError> {
        let partial = Self {
            path,
            bytes: length(bytes),
        };
        if let Err(error) = file.write_all(bytes) {
            partial.remove();
            return Err(error).doing(FileStep::Write, "writing", &partial.path);
        }
        Ok(partial)
    }

    /// Appends bytes: all of them, or none.
    ///
    /// # Errors
    /// If they cannot all be written. The file is cut back to what it was then, if possible.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), AppendError> {
        let error = |step, error| FileError::new(step, "writing", &self.path, error);
        let mut out = match OpenOptions::new().append(true).open(&self.path) {
            Ok(out) => out,
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => {
                return Err(AppendError::Lost(error(FileStep::Open, gone)));
            }
            Err(refused) => return Err(AppendError::Unchanged(error(FileStep::Open, refused))),
        };
        if let Err(failed) = out.write_all(bytes) {
            let error = error(FileStep::Write, failed);
            return Err(match out.set_len(self.bytes) {
                Ok(()) => AppendError::Unchanged(error),
                // There is no telling what is in it.
                Err(_) => {
                    self.remove();
                    AppendError::Lost(error)
                }
            });
        }
        self.bytes += length(bytes);
        Ok(())
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its length.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it is still there.
    pub(crate) fn exists(&self) -> bool {
        // What cannot be looked at may be there.
        self.path.try_exists().unwrap_or(true)
    }

    /// Gives it up.
    fn remove(&self) {
        // If it stays, recovery looks at it again, and trusts nothing in it.
        let _refused = fs::remove_file(&self.path);
    }
}

fn length(slice: &[u8]) -> u64 {
    u64::try_from(slice.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FileIssue;

    fn begin(path: &Path, bytes: &[u8]) -> PartialFile {
        let file = File::create_new(path).unwrap();
        PartialFile::begin(path.to_owned(), file, bytes).unwrap()
    }

    #[test]
    fn a_file_grows() {
        let temp = tempfile::tempdir().unwrap();
        let mut partial = begin(&temp.path().join("a"), b"first");
        partial.append(b"second").unwrap();
        assert_eq!(partial.bytes(), 11);
        assert_eq!(fs::read(partial.path()).unwrap(), b"firstsecond");
        assert!(partial.exists());
    }

    #[test]
    fn a_partial_file_that_was_removed_is_said_to_be_gone() {
        let temp = tempfile::tempdir().unwrap();
        let mut partial = begin(&temp.path().join("a"), b"x");
        fs::remove_file(partial.path()).unwrap();
        match partial.append(b"y").unwrap_err() {
            AppendError::Lost(error) => assert_eq!(error.issue(), FileIssue::Missing),
            AppendError::Unchanged(error) => panic!("{error}"),
        }
        assert!(!partial.exists());
    }

    #[test]
    fn an_io_error_is_an_error_with_its_kind_and_not_an_end() {
        // Nothing is mapped at address zero: the kernel answers EIO.
        let mut partial = PartialFile {
            path: PathBuf::from("/proc/self/mem"),
            bytes: 0,
        };
        let (AppendError::Unchanged(error) | AppendError::Lost(error)) =
            partial.append(b"x").unwrap_err();
        assert_eq!(error.issue(), FileIssue::Io, "{error}");
        assert_eq!(error.step(), FileStep::Write);
    }
}
