//! Keeps the data directory within `--max-disk` and `--max-age`: the oldest published files go first.
//!
//! Only regular files with names that only ours have are counted and removed, in directories that are
//! called as ours are, and no symbolic link is followed. Somebody else's files are as if they were not
//! there. Memory does not grow with the number of files.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};
use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan as _};
use rustix::io::Errno;

use crate::accounts::Accounts;
use crate::rate_limit::RateLimit;

mod oldest;
mod tree;

use oldest::Oldest;
use tree::{Day, Directory, Entry, Tree};

/// How much is kept; `None` for any amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes on disk of all published files together.
    pub disk: Option<u64>,
    /// How long ago a file was written last.
    pub age: Option<Duration>,
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sweep {
    /// Files.
    pub files: u64,
    /// Bytes that they took on disk.
    pub bytes: u64,
}

/// How long there is no sweep at most.
const EVERY: Duration = Duration::from_secs(60);

/// How often it is looked whether much was published.
const TICK: Duration = Duration::from_secs(1);

/// The part of `--max-disk` that may be published between two sweeps.
const GROWTH_SHARE: u64 = 20;

/// After a sweep comes this many times the time that it took: a twentieth of a core at most.
const REST: u32 = 20;

/// What a file takes on disk beyond its bytes, at most: the rest of its last block.
const BLOCK: u64 = 4096;

/// What keeps the data directory within its limits.
pub struct Retention {
    data: PathBuf,
    limits: Limits,
    accounts: Arc<Accounts>,
    complaints: RateLimit,
}

impl Retention {
    /// For the published files below `data`.
    #[must_use]
    pub fn new(data: &Path, limits: Limits, accounts: Arc<Accounts>) -> Self {
        Self {
            data: data.to_owned(),
            limits,
            accounts,
            complaints: RateLimit::default(),
        }
    }

    /// Sweeps now and then until the other end of `stop` is dropped; then at once, even within a sweep.
    pub fn run(mut self, stop: &Receiver<Infallible>) {
        let go_on = || matches!(stop.try_recv(), Err(TryRecvError::Empty));
        while go_on() {
            let (began, published) = (Instant::now(), self.published());
            match self.sweep_while(SystemTime::now(), &go_on) {
                Ok(Sweep { files: 0, .. }) => {}
                Ok(Sweep { files, bytes }) => {
                    tracing::debug!("removed {files} of the oldest files, {bytes} bytes on disk");
                }
                Err(error) => self.complain(&error),
            }
            let rest = began.elapsed() * REST;
            let rested = Instant::now();
            loop {
                match stop.recv_timeout(TICK) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                    Ok(never) => match never {},
                }
                let grown = self.published().saturating_sub(published);
                let due = rested.elapsed() >= EVERY || self.is_much(grown);
                if due && rested.elapsed() >= rest {
                    break;
                }
            }
        }
    }

    /// Bytes that were published, as an upper bound of what they take on disk.
    fn published(&self) -> u64 {
        let [bytes, files] = [&self.accounts.published_bytes, &self.accounts.published]
            .map(|counter| counter.load(Ordering::Relaxed));
        bytes.saturating_add(files.saturating_mul(BLOCK))
    }

    fn is_much(&self, bytes: u64) -> bool {
        self.limits
            .disk
            .is_some_and(|disk| bytes > disk / GROWTH_SHARE)
    }

    /// Removes what is over the limits.
    ///
    /// # Errors
    /// When the data directory cannot be read. What cannot be read or removed within it is logged, and
    /// the rest goes on.
    pub fn sweep(&mut self, now: SystemTime) -> Result<Sweep> {
        self.sweep_while(now, &|| true)
    }

    fn sweep_while(&mut self, now: SystemTime, go_on: &dyn Fn() -> bool) -> Result<Sweep> {
        let tree = match Tree::open(&self.data, go_on) {
            // It comes with the first file.
            Err(Errno::NOENT) => return Ok(Sweep::default()),
            tree => tree.with_context(|| format!("reading {}", self.data.display()))?,
        };
        let mut removed = Sweep::default();
        let days = self.or_complain(tree.days()).unwrap_or_default();
        if let Some(limit) = self.limits.age.and_then(|age| now.checked_sub(age)) {
            self.by_age(&tree, &days, limit, &mut removed);
        }
        if let Some(disk) = self.limits.disk {
            self.by_disk(&tree, &days, disk, &mut removed);
        }
        // Flows of yesterday may still be published where they began.
        let kept_from = date(now).and_then(|today| today.checked_sub(1.day()).ok());
        if let Some(kept_from) = kept_from {
            for day in days.iter().filter(|day| day.date < kept_from) {
                self.or_complain(tree.remove_if_empty(day, kept_from));
            }
        }
        Ok(removed)
    }

    /// Removes what was written last before `limit`.
    fn by_age(&self, tree: &Tree<'_>, days: &[Day], limit: SystemTime, removed: &mut Sweep) {
        // A file is written after its day began.
        let last = date(limit).unwrap_or(Date::MIN);
        for day in days.iter().filter(|day| day.date <= last) {
            let outcome = tree.each(day, |directory, entry| {
                if entry.modified < limit {
                    self.remove(directory, &entry, removed);
                }
            });
            self.or_complain(outcome);
        }
    }

    /// Removes the oldest files until all of them take at most `disk` bytes.
    fn by_disk(&self, tree: &Tree<'_>, days: &[Day], disk: u64, removed: &mut Sweep) {
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
                // All of it: their order does not matter, so nothing is to be remembered. What was
                // published since it was measured stays.
                let mut left = size;
                let outcome = tree.each(day, |directory, entry| {
                    if entry.bytes <= left {
                        left -= self.remove(directory, &entry, removed);
                    }
                });
                self.or_complain(outcome);
                excess -= size - left;
            } else {
                self.oldest_of(tree, day, &mut excess, removed);
            }
        }
    }

    /// Removes the oldest files of a day until there is no excess, or nothing that can be removed.
    fn oldest_of(&self, tree: &Tree<'_>, day: &Day, excess: &mut u64, removed: &mut Sweep) {
        while *excess > 0 && tree.goes_on() {
            let mut oldest = Oldest::new(*excess);
            let outcome = tree.each(day, |_, entry| oldest.add(entry));
            let Some(directory) = self
                .or_complain(outcome)
                .and_then(|()| self.or_complain(tree.open_day(day)))
            else {
                return;
            };
            let before = *excess;
            for entry in oldest.into_sorted() {
                if *excess == 0 || !tree.goes_on() {
                    break;
                }
                let freed = self.remove(&directory, &entry, removed);
                *excess = excess.saturating_sub(freed);
            }
            if *excess == before {
                return;
            }
        }
    }

    /// Bytes on disk of a day's files.
    fn size(&self, tree: &Tree<'_>, day: &Day) -> u64 {
        let mut sum = 0u64;
        self.or_complain(tree.each(day, |_, entry| sum = sum.saturating_add(entry.bytes)));
        sum
    }

    /// Removes a file, and says how much room there is more than when it was found.
    fn remove(&self, directory: &Directory, entry: &Entry, removed: &mut Sweep) -> u64 {
        match tree::remove(directory, entry) {
            Ok(()) => {
                removed.files += 1;
                removed.bytes += entry.bytes;
                let accounts = &self.accounts;
                accounts.expired.fetch_add(1, Ordering::Relaxed);
                accounts
                    .expired_bytes
                    .fetch_add(entry.bytes, Ordering::Relaxed);
                entry.bytes
            }
            // Somebody took it, and its room is free.
            Err(Errno::NOENT) => entry.bytes,
            Err(error) => {
                let name = entry.name.to_string_lossy();
                let error = anyhow::Error::new(error).context(format!("removing {name}"));
                self.complain(&error);
                0
            }
        }
    }

    /// The outcome, or nothing once its error is in the log. What has gone meanwhile is no error.
    fn or_complain<T>(&self, outcome: rustix::io::Result<T>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(Errno::NOENT) => None,
            Err(error) => {
                self.complain(&error.into());
                None
            }
        }
    }

    fn complain(&self, error: &anyhow::Error) {
        if let Some(more) = self.complaints.pass() {
            let data = self.data.display();
            tracing::error!("{data} is not kept within its limits: {error:#}{more}");
        }
    }
}

/// The date of a moment in UTC, which is what directories are called by.
fn date(at: SystemTime) -> Option<Date> {
    let at = Timestamp::try_from(at).ok()?;
    Some(Offset::UTC.to_datetime(at).date())
}

#[cfg(test)]
mod tests;
