//! What was removed, and what could not be.

use std::path::Path;

use jiff::civil::Date;
use rustix::io::Errno;

use super::names::Entry;
use super::tree::{Directory, Tree};
use crate::error::{FileError, FileStep};

/// What a sweep did.
#[derive(Debug, Default)]
pub struct Sweep {
    /// How many files were removed.
    pub files: u64,
    /// The disk space that they took, in bytes.
    pub bytes: u64,
    /// How many times something could not be read or removed. The rest was swept all the same.
    pub failures: u64,
    /// The first of those failures.
    pub failure: Option<FileError>,
}

/// What became of a file that was to be removed.
pub(super) enum Removal {
    Done,
    /// Others had removed it.
    WasGone,
    Failed,
}

impl Sweep {
    /// Removes files of a day, and tells what became of each.
    pub(super) fn remove(
        &mut self,
        tree: &Tree<'_>,
        day: Date,
        entries: &[Entry],
        mut tell: impl FnMut(&Entry, Removal),
    ) {
        let directory = tree.open_day(day);
        for entry in entries {
            let removal = match &directory {
                Ok(directory) => self.remove_one(directory, entry),
                Err(Errno::NOENT) => Removal::WasGone,
                Err(error) => {
                    self.note("sweeping", &tree.path_of(day), *error);
                    Removal::Failed
                }
            };
            tell(entry, removal);
        }
    }

    fn remove_one(&mut self, directory: &Directory, entry: &Entry) -> Removal {
        match directory.remove(entry) {
            Ok(()) => {
                self.files += 1;
                self.bytes += entry.bytes();
                Removal::Done
            }
            Err(Errno::NOENT) => Removal::WasGone,
            Err(error) => {
                self.note("removing", &directory.path_of(entry), error);
                Removal::Failed
            }
        }
    }

    /// The outcome of reading `path`, or nothing once its error is noted. What is gone is no error.
    pub(super) fn or_note<T>(&mut self, outcome: rustix::io::Result<T>, path: &Path) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(Errno::NOENT) => None,
            Err(error) => {
                self.note("sweeping", path, error);
                None
            }
        }
    }

    fn note(&mut self, doing: &'static str, path: &Path, error: Errno) {
        self.failures += 1;
        self.failure
            .get_or_insert_with(|| FileError::new(FileStep::Finish, doing, path, error));
    }
}
