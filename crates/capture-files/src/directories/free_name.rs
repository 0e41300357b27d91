//! Finds a name that is free: no file ever replaces another.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{FileError, FileStep};

/// How many files of one name there may be in a directory before the search ends.
const MAX_NUMBER: u32 = 1000;

/// How a file gets a name in a directory.
pub(super) struct FreeName<'a> {
    /// The directory.
    pub(super) directory: &'a Path,
    /// The name, by a number that is 0 unless there are several.
    pub(super) name: &'a dyn Fn(u32) -> String,
    /// Makes the directory.
    pub(super) make_directory: &'a dyn Fn() -> Result<(), FileError>,
    /// What is being done, for errors.
    pub(super) step: FileStep,
    pub(super) doing: &'static str,
}

impl FreeName<'_> {
    /// Gives the file the first name that is free. `attempt` gives it a name, and must fail if that
    /// is taken. The directory is made if it turns out to be missing.
    ///
    /// # Errors
    /// If an attempt fails for any other reason, or every number is taken.
    pub(super) fn find<T>(
        &self,
        attempt: impl Fn(&Path) -> io::Result<T>,
    ) -> Result<(PathBuf, T), FileError> {
        let failed = |path: &Path, error| FileError::new(self.step, self.doing, path, error);
        let (mut number, mut made_directory) = (0, false);
        while number < MAX_NUMBER {
            let path = self.directory.join((self.name)(number));
            match attempt(&path) {
                Ok(done) => return Ok((path, done)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound && !made_directory => {
                    made_directory = true;
                    (self.make_directory)()?;
                }
                Err(error) => return Err(failed(&path, error)),
            }
        }
        let taken = format!("there are {MAX_NUMBER} files of this name already");
        let path = self.directory.join((self.name)(0));
        Err(failed(&path, io::Error::other(taken)))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs::{self, File};

    use super::*;
    use crate::error::FileIssue;

    #[test]
    fn the_search_for_a_free_name_ends() {
        let temp = tempfile::tempdir().unwrap();
        let (directory, tried) = (temp.path().join("day"), Cell::new(0));
        let free = FreeName {
            directory: &directory,
            name: &|number| number.to_string(),
            make_directory: &|| {
                fs::create_dir(&directory).unwrap();
                Ok(())
            },
            step: FileStep::Open,
            doing: "creating",
        };
        let attempt = |path: &Path| {
            tried.set(tried.get() + 1);
            File::create_new(path)
        };
        for number in 0..MAX_NUMBER {
            let (path, _) = free.find(|path| File::create_new(path)).unwrap();
            assert_eq!(path, directory.join(number.to_string()));
        }
        let error = free.find(attempt).unwrap_err();
        assert_eq!(tried.get(), MAX_NUMBER);
        assert_eq!(error.issue(), FileIssue::Other);
        assert_eq!(error.path(), directory.join("0"));
    }
}
