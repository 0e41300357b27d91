//! Finds a name that is free: no file ever replaces another.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::disk::{Directory, Top};
use crate::error::{FileError, FileIssue, FileStep};

/// How many files of one name there may be in a directory before the search ends.
pub(super) const MAX_NUMBER: u32 = 1000;

/// How often a directory that turns out to be gone is made again: others may remove it while it is empty,
/// as uploaders do, and as retention does with days that are over.
const MADE_AGAIN: u32 = 8;

/// How a file gets a name in a directory.
pub(super) struct FreeName<'a> {
    /// Where the directory is, which is made if it is missing.
    pub(super) top: &'a Top,
    pub(super) directory: &'a Path,
    /// The name, by a number that is 0 unless there are several.
    pub(super) name: &'a dyn Fn(u32) -> String,
    /// Whether the directory must survive a power loss.
    pub(super) sync: bool,
    /// What is being done, for errors.
    pub(super) step: FileStep,
    pub(super) doing: &'static str,
}

/// What became of the search.
#[derive(Debug)]
pub(super) struct Named<T> {
    /// The directory.
    pub(super) directory: Arc<Directory>,
    /// The first name in it that was free.
    pub(super) name: String,
    /// What the attempt at that name came to.
    pub(super) done: T,
}

impl FreeName<'_> {
    /// Gives the file the first name that is free. `attempt` gives it a name in a directory, and
    /// must fail if that is taken. If the directory turns out to be gone, it is made again.
    ///
    /// # Errors
    /// If an attempt fails for any other reason, or every number is taken.
    pub(super) fn find<T>(
        &self,
        attempt: impl Fn(&Directory, &str) -> io::Result<T>,
    ) -> Result<Named<T>, FileError> {
        let (mut number, mut made_again) = (0, 0);
        let mut directory = self.directory(&mut made_again)?;
        while number < MAX_NUMBER {
            let name = (self.name)(number);
            match attempt(&directory, &name) {
                Ok(done) => {
                    return Ok(Named {
                        directory,
                        name,
                        done,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound && made_again < MADE_AGAIN =>
                {
                    made_again += 1;
                    self.top.look_again();
                    directory = self.directory(&mut made_again)?;
                }
                Err(error) => return Err(self.failed(&directory, &name, error)),
            }
        }
        let taken = format!("there are {MAX_NUMBER} files of this name already");
        Err(self.failed(&directory, &(self.name)(0), io::Error::other(taken)))
    }

    /// The directory. It may go between the moment when it is made and that when it is opened.
    fn directory(&self, made_again: &mut u32) -> Result<Arc<Directory>, FileError> {
        loop {
            match self.top.below(self.directory, self.step, self.sync) {
                Err(error) if error.issue() == FileIssue::Missing && *made_again < MADE_AGAIN => {
                    *made_again += 1;
                }
                other => return other,
            }
        }
    }

    fn failed(&self, directory: &Directory, name: &str, error: io::Error) -> FileError {
        FileError::new(self.step, self.doing, &directory.path_of(name), error)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use rustix::fs::Mode;
    use rustix::io::Errno;

    use super::*;
    use crate::disk::Sharing;

    fn in_day(top: &Top) -> FreeName<'_> {
        FreeName {
            top,
            directory: Path::new("day"),
            name: &|number| number.to_string(),
            sync: false,
            step: FileStep::Open,
            doing: "creating",
        }
    }

    #[test]
    fn the_search_for_a_free_name_ends() {
        let temp = tempfile::tempdir().unwrap();
        let top = Top::prepare(temp.path(), Sharing::WithGroup).unwrap();
        let tried = Cell::new(0);
        let free = in_day(&top);
        let attempt = |directory: &Directory, name: &str| {
            tried.set(tried.get() + 1);
            directory.create(name, Mode::RUSR)
        };
        for number in 0..MAX_NUMBER {
            assert_eq!(free.find(attempt).unwrap().name, number.to_string());
        }
        tried.set(0);
        let error = free.find(attempt).unwrap_err();
        assert_eq!(tried.get(), MAX_NUMBER);
        assert_eq!(error.issue(), FileIssue::Other);
        assert_eq!(error.path(), temp.path().join("day/0"));
    }

    #[test]
    fn a_directory_that_others_remove_while_it_is_empty_is_made_again() {
        let temp = tempfile::tempdir().unwrap();
        let top = Top::prepare(temp.path(), Sharing::WithGroup).unwrap();
        let removed = Cell::new(0);
        let free = in_day(&top);
        let attempt = |directory: &Directory, name: &str| {
            if removed.get() < 3 {
                removed.set(removed.get() + 1);
                fs::remove_dir(temp.path().join("day")).unwrap();
            }
            directory.create(name, Mode::RUSR)
        };
        assert_eq!(free.find(attempt).unwrap().name, "0");
        assert!(temp.path().join("day/0").exists());

        let gone = |_: &Directory, _: &str| Err::<(), _>(Errno::NOENT.into());
        let error = free.find(gone).unwrap_err();
        assert_eq!(error.issue(), FileIssue::Missing);
    }
}
