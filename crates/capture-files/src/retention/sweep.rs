//! One sweep: which files are removed, and how many that were.

use std::path::Path;
use std::time::SystemTime;

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan as _};
use rustix::io::Errno;

use super::RetentionLimits;
use super::oldest::Oldest;
use super::tree::{Day, Directory, Entry, Tree};
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

impl Sweep {
    /// Removes from `tree` what is over the limits.
    pub(super) fn run(&mut self, tree: &Tree<'_>, limits: RetentionLimits, now: SystemTime) {
        let days = self.or_note(tree.days(), tree.path()).unwrap_or_default();
        if let Some(limit) = limits.age.and_then(|age| now.checked_sub(age)) {
            self.by_age(tree, &days, limit);
        }
        if let Some(disk) = limits.disk {
            self.by_disk(tree, &days, disk);
        }
        // Flows of yesterday may still be published where they began.
        let kept_from = date(now).and_then(|today| today.checked_sub(1.day()).ok());
        if let Some(kept_from) = kept_from {
            for day in days.iter().filter(|day| day.date < kept_from) {
                self.or_note(tree.remove_if_empty(day, kept_from), &tree.path_of(day));
            }
        }
    }

    /// Removes what was modified last before `limit`.
    fn by_age(&mut self, tree: &Tree<'_>, days: &[Day], limit: SystemTime) {
        // A file is written after its day began.
        let last = date(limit).unwrap_or(Date::MIN);
        for day in days.iter().filter(|day| day.date <= last) {
            let outcome = tree.each(day, |directory, entry| {
                if entry.modified < limit {
                    self.remove(directory, &entry);
                }
            });
            self.or_note(outcome, &tree.path_of(day));
        }
    }

    /// Removes the oldest files until all of them take at most `disk` bytes.
    fn by_disk(&mut self, tree: &Tree<'_>, days: &[Day], disk: u64) {
        let sizes: Vec<_> = days.iter().map(|day| self.size(tree, day)).collect();
        let total = sizes
            .iter()
            .fold(0u64, |sum, size| sum.saturating_add(*size));
        let mut excess = total.saturating_sub(disk);
        for (day, size) in days.iter().zip(sizes) {
            if excess == 0 || !tree.goes_on() {
                return;
            }
            if size <= excess {
                // The whole day: in no order, so nothing has to be remembered. What was published
                // since it was measured stays.
                let mut left = size;
                let outcome = tree.each(day, |directory, entry| {
                    if entry.bytes <= left {
                        left -= self.remove(directory, &entry);
                    }
                });
                self.or_note(outcome, &tree.path_of(day));
                excess -= size - left;
            } else {
                self.oldest_of(tree, day, &mut excess);
            }
        }
    }

    /// Removes the oldest files of a day until there is no excess, or nothing that can be removed.
    fn oldest_of(&mut self, tree: &Tree<'_>, day: &Day, excess: &mut u64) {
        while *excess > 0 && tree.goes_on() {
            let mut oldest = Oldest::new(*excess);
            let listed = tree.each(day, |_, entry| oldest.add(entry));
            let opened = listed.and_then(|()| tree.open_day(day));
            let Some(directory) = self.or_note(opened, &tree.path_of(day)) else {
                return;
            };
            let before = *excess;
            for entry in oldest.into_sorted() {
                if *excess == 0 || !tree.goes_on() {
                    break;
                }
                let freed = self.remove(&directory, &entry);
                *excess = excess.saturating_sub(freed);
            }
            if *excess == before {
                return;
            }
        }
    }

    /// The disk space that a day's files take, in bytes.
    pub(super) fn size(&mut self, tree: &Tree<'_>, day: &Day) -> u64 {
        let mut sum = 0u64;
        let outcome = tree.each(day, |_, entry| sum = sum.saturating_add(entry.bytes));
        self.or_note(outcome, &tree.path_of(day));
        sum
    }

    /// Removes a file; how much more free space there is than when it was found, in bytes.
    pub(super) fn remove(&mut self, directory: &Directory, entry: &Entry) -> u64 {
        match directory.remove(entry) {
            Ok(()) => {
                self.files += 1;
                self.bytes += entry.bytes;
                entry.bytes
            }
            // Somebody took it, so its space is free.
            Err(Errno::NOENT) => entry.bytes,
            Err(error) => {
                self.note("removing", &directory.path_of(entry), error);
                0
            }
        }
    }

    /// The outcome of reading `path`, or nothing once its error is noted. What is gone is no error.
    fn or_note<T>(&mut self, outcome: rustix::io::Result<T>, path: &Path) -> Option<T> {
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

/// The date of a moment in UTC, after which directories are named.
fn date(at: SystemTime) -> Option<Date> {
    let at = Timestamp::try_from(at).ok()?;
    Some(Offset::UTC.to_datetime(at).date())
}
