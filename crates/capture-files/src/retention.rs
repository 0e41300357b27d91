//! Keeps files within limits: the oldest published files are removed first, and when there are none,
//! nothing more is written.
//!
//! What files take is an account, kept from what is written, published and removed
//! ([`Room`]). Directories are read when it begins, now and then because others add and remove
//! files, too, and to find the names of the oldest files, a great many at a time. So a removal
//! costs the same however many files there are, and memory is bounded.
//!
//! Only regular files with names that only ours have are counted and removed, in directories named
//! as ours are, and no symbolic link is followed. Files of others are treated as if they were not
//! there.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::civil::Date;
use rustix::io::Errno;

use crate::directories::Directories;
use crate::disk::{self, Directory, Kind};
use crate::error::{FileError, FileStep};

mod account;
mod clocks;
mod names;
mod room;
mod space;
mod sweep;
mod tree;
mod usage;

use account::Found;
pub use account::Limit;
use clocks::Clocks;
pub use clocks::Moment;
use names::{Entry, MOST, Oldest};
pub use room::{Made, Room};
pub use sweep::Sweep;
use tree::Tree;
pub use usage::Usage;

/// How much is kept; `None` for any amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetentionLimits {
    /// The disk space that all files together may take, published or not, in bytes.
    pub disk: Option<u64>,
    /// How many files there may be.
    pub files: Option<u64>,
    /// How long ago a file may have been modified last.
    pub age: Option<Duration>,
    /// How many percent of the filesystem's space, and of its inodes, are to stay free.
    pub free: u64,
}

/// How often files are removed for their age, and empty directories with them.
const EVERY: Duration = Duration::from_secs(60);

/// The pause between two sweeps: while a limit is near, while all are far, and otherwise.
const PAUSE_NEAR: Duration = Duration::from_millis(100);
const PAUSE_FAR: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_secs(1);

/// How soon after a count the next one may follow.
const SOON: Duration = Duration::from_secs(1);

/// Counting takes one part in so many of the time, while limits are near, and otherwise.
const NEAR: u32 = 50;
const FAR: u32 = 500;

/// How many directories of earlier runs are open at once, at most. Each run has a few.
const MOST_OPEN: usize = 256;

/// Keeps a data directory within its limits.
///
/// ```
/// use capture_files::{Moment, Retention, RetentionLimits};
/// use std::fs;
/// use std::time::{Duration, SystemTime};
///
/// let data = tempfile::tempdir()?;
/// let day = data.path().join("2026/11/23");
/// fs::create_dir_all(&day)?;
/// for number in 0..3 {
///     fs::write(day.join(format!("host_1700000000_unsafe_{number:016X}.pcap")), b"...")?;
/// }
/// fs::write(day.join("notes.txt"), b"...")?;
///
/// let limits = RetentionLimits { files: Some(2), ..RetentionLimits::default() };
/// let mut retention = Retention::new(data.path(), limits);
/// let now = Moment { wall: SystemTime::now(), boot: Duration::from_secs(100) };
/// assert_eq!(retention.sweep(now)?.files, 1);
/// assert_eq!(retention.room().usage().files, 2);
/// assert!(day.join("notes.txt").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Retention {
    room: Room,
    limits: RetentionLimits,
    /// Where files grow, if that is known.
    directories: Option<Directories>,
    clocks: Option<Clocks>,
    /// When everything was counted last, and how long that took.
    counted: Option<(Duration, Duration)>,
    /// When files were removed for their age.
    aged: Option<Duration>,
    /// What is to stay free, once that is known.
    floor: Option<Usage>,
    /// When the first sweep was, by the wall clock.
    started: Option<u64>,
    /// When the youngest file was written that was there then.
    youngest: Option<u64>,
}

impl Retention {
    /// For the published files in the data directory `data`.
    #[must_use]
    pub fn new(data: &Path, limits: RetentionLimits) -> Self {
        Self {
            room: Room::new(data, limits),
            limits,
            directories: None,
            clocks: limits.age.map(Clocks::new),
            counted: None,
            aged: None,
            floor: None,
            started: None,
            youngest: None,
        }
    }

    /// For the published files in these directories, and the partial ones.
    #[must_use]
    pub fn of(directories: &Directories, limits: RetentionLimits) -> Self {
        Self {
            directories: Some(directories.clone()),
            ..Self::new(directories.data(), limits)
        }
    }

    /// The account of the files, for those who write them.
    #[must_use]
    pub fn room(&self) -> Room {
        self.room.clone()
    }

    /// Removes what is over the limits. To be called again after [the pause](Self::pause): only what is
    /// due is done.
    ///
    /// # Errors
    /// If the data directory cannot be read. One that does not exist is empty.
    pub fn sweep(&mut self, now: Moment) -> Result<Sweep, FileError> {
        self.sweep_while(now, &|| true)
    }

    /// Removes what is over the limits, for as long as `go_on` says so.
    ///
    /// # Errors
    /// If the data directory cannot be read. One that does not exist is empty.
    pub fn sweep_while(
        &mut self,
        now: Moment,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Sweep, FileError> {
        self.adopt();
        let room = self.room.clone();
        let tree = match Tree::open(room.data(), go_on) {
            Ok(tree) => tree,
            Err(Errno::NOENT) => return Ok(Sweep::default()),
            Err(error) => {
                return Err(FileError::new(
                    FileStep::Open,
                    "reading",
                    room.data(),
                    error,
                ));
            }
        };
        let mut sweep = Sweep::default();
        self.list(&tree, &mut sweep);
        self.measure(&tree, &mut sweep);
        if self.count_is_due(now.boot) {
            self.count(&tree, now, &mut sweep);
        }
        self.enforce(&tree, now, &mut sweep);
        if self
            .aged
            .is_none_or(|aged| now.boot.saturating_sub(aged) >= EVERY)
            && tree.goes_on()
        {
            self.aged = Some(now.boot);
            self.by_age(&tree, now, &mut sweep);
            self.remove_empty(&tree, now, &mut sweep);
            self.room.account().try_again();
        }
        Ok(sweep)
    }

    /// Takes over limits that were changed.
    fn adopt(&mut self) {
        let limits = self.room.account().limits();
        if limits == self.limits {
            return;
        }
        if limits.free != self.limits.free {
            self.floor = None;
        }
        match (limits.age, &mut self.clocks) {
            (Some(age), Some(clocks)) => clocks.set_age(age),
            (age, clocks) => *clocks = age.map(Clocks::new),
        }
        self.aged = None;
        self.limits = limits;
    }

    /// How long the next sweep may be put off: the shorter, the nearer limits are.
    #[must_use]
    pub fn pause(&self) -> Duration {
        let account = self.room.account();
        if account.is_near() {
            PAUSE_NEAR
        } else if account.gets_near(PAUSE_FAR) {
            PAUSE
        } else {
            PAUSE_FAR
        }
    }

    fn is_near(&self) -> bool {
        self.room.account().is_near()
    }

    /// Finds out which days there are, before anything else.
    fn list(&self, tree: &Tree<'_>, sweep: &mut Sweep) {
        if !self.room.account().listed()
            && let Some(days) = sweep.or_note(tree.days(), tree.path())
        {
            self.room.account().list(&days.into_iter().collect());
        }
    }

    /// Measures what is free.
    fn measure(&mut self, tree: &Tree<'_>, sweep: &mut Sweep) {
        if self.limits.free == 0 {
            return;
        }
        let Some(space) = sweep.or_note(tree.space(), tree.path()) else {
            return;
        };
        let mut account = self.room.account();
        let floor = space.floor(self.limits.free, self.floor, account.total());
        // What is lowered for the sake of our own files is known when these are counted.
        if account.counted() || floor == space.wanted(self.limits.free) {
            self.floor = Some(floor);
        }
        account.set_floor(floor);
        account.measured(space.free);
    }

    /// When the first sweep was, in nanoseconds since 1970.
    fn started(&mut self, now: Moment) -> u64 {
        let wall = || u64::try_from(clocks::wall(now.wall)).unwrap_or(0);
        *self.started.get_or_insert_with(wall)
    }

    fn count_is_due(&self, boot: Duration) -> bool {
        let near = self.is_near();
        let Some((last, took)) = self.counted else {
            let RetentionLimits {
                disk, files, age, ..
            } = self.limits;
            return near || disk.is_some() || files.is_some() || age.is_some();
        };
        let pause = if near {
            SOON.max(took * NEAR)
        } else {
            EVERY.max(took * FAR)
        };
        boot.saturating_sub(last) >= pause
    }

    /// Counts what all files take.
    fn count(&mut self, tree: &Tree<'_>, now: Moment, sweep: &mut Sweep) {
        let begun = Instant::now();
        let Some(days) = sweep.or_note(tree.days(), tree.path()) else {
            return;
        };
        let found: BTreeSet<_> = days.into_iter().collect();
        let mut days = found.clone();
        days.extend(self.room.account().dates());
        let (mut youngest, started) = (None, self.started(now));
        for day in days {
            if !tree.goes_on() {
                return;
            }
            self.room.account().begin_scan(day);
            let found = read(tree, day, None, |entry| {
                // What was written since is dated by the present clock, right or not.
                let earlier = Some(entry.modified).filter(|modified| *modified < started);
                youngest = youngest.max(earlier);
            });
            let found = sweep.or_note(found, &tree.path_of(day));
            let found = found.filter(|_| tree.goes_on());
            self.room.account().end_scan(day, found);
        }
        let earlier = self.directories.as_ref().map(of_earlier_runs);
        let mut account = self.room.account();
        account.found_earlier(earlier.unwrap_or_default());
        account.list(&found);
        account.all_counted();
        drop(account);
        if self.counted.is_none() {
            self.youngest = youngest;
            self.measure(tree, sweep);
        }
        self.counted = Some((now.boot, begun.elapsed()));
    }

    /// Removes the oldest files until nothing is over a limit, and looks for names of more.
    fn enforce(&self, tree: &Tree<'_>, now: Moment, sweep: &mut Sweep) {
        let tomorrow = clocks::tomorrow(now.wall);
        let mut scanned = None;
        while tree.goes_on() {
            let excess = self.room.account().excess(Usage::default());
            if excess.is_nothing() {
                break;
            }
            let before = (sweep.files, sweep.failures);
            let go_on = |_: &Sweep| tree.goes_on();
            self.room.remove_oldest(excess, now.wall, sweep, &go_on);
            let progress = before != (sweep.files, sweep.failures);
            let to_scan = self.room.account().to_scan(tomorrow, false);
            match to_scan {
                Some(day) if progress || scanned != Some(day) => {
                    self.find_names(tree, day, sweep);
                    scanned = Some(day);
                }
                None if progress => {}
                // What is left was removed by others, or appears just now.
                Some(_) | None => break,
            }
        }
        let account = self.room.account();
        let soon = account.wants_names() && account.counted();
        let to_scan = soon.then(|| account.to_scan(tomorrow, true)).flatten();
        drop(account);
        if let Some(day) = to_scan {
            self.find_names(tree, day, sweep);
        }
    }

    /// Reads the directory of a day for the names of its oldest files.
    fn find_names(&self, tree: &Tree<'_>, day: Date, sweep: &mut Sweep) {
        self.room.account().begin_scan(day);
        let found = read(tree, day, Some(Oldest::within(MOST)), |_| {});
        let found = sweep.or_note(found, &tree.path_of(day));
        let found = found.filter(|_| tree.goes_on());
        self.room.account().end_scan(day, found);
    }

    /// Removes what is too old.
    fn by_age(&mut self, tree: &Tree<'_>, now: Moment, sweep: &mut Sweep) {
        let (Some(clocks), Some(_)) = (&mut self.clocks, self.counted) else {
            return;
        };
        clocks.look(now, self.youngest);
        let days = self.room.account().dates();
        let limits = days
            .into_iter()
            .filter_map(|day| Some((day, clocks.limit(day)?)));
        for (day, limit) in limits.collect::<Vec<_>>() {
            while tree.goes_on() {
                let entries = self.room.account().take_older(day, limit);
                if !entries.is_empty() {
                    self.room.remove(tree, day, &entries, sweep);
                } else if self.room.account().may_have_older(day, limit) {
                    let failures = sweep.failures;
                    self.find_names(tree, day, sweep);
                    if failures != sweep.failures {
                        break;
                    }
                } else {
                    break;
                }
            }
        }
    }

    /// Removes the directories of days that are over if nothing is in them.
    fn remove_empty(&self, tree: &Tree<'_>, now: Moment, sweep: &mut Sweep) {
        let kept_from = clocks::over(now.wall);
        let days = sweep.or_note(tree.days(), tree.path()).unwrap_or_default();
        for day in days.into_iter().filter(|day| *day < kept_from) {
            if self.room.account().is_empty(day) {
                let removed = tree.remove_if_empty(day, kept_from);
                sweep.or_note(removed, &tree.path_of(day));
                self.room.account().forget(day);
            }
        }
    }
}

/// Reads the directory of a day: what its files take, and their names if these are wanted.
fn read(
    tree: &Tree<'_>,
    day: Date,
    mut names: Option<Oldest>,
    mut show: impl FnMut(&Entry),
) -> rustix::io::Result<Found> {
    let mut usage = Usage::default();
    let outcome = tree.each(day, |entry| {
        usage += Usage::file(entry.bytes());
        show(&entry);
        if let Some(names) = &mut names {
            names.add(&entry);
        }
    });
    match outcome {
        // It is empty, then.
        Err(Errno::NOENT) => {}
        other => other?,
    }
    Ok(Found { usage, names })
}

/// What the partial files of earlier runs take.
fn of_earlier_runs(directories: &Directories) -> Usage {
    let mut usage = Usage::default();
    let Ok(partial) = directories.open_partial() else {
        return usage;
    };
    let runs = entries(&partial).filter(|it| directories.is_earlier_run(&it.name));
    let mut waiting: Vec<_> = runs.filter_map(|it| partial.enter(&it.name).ok()).collect();
    while let Some(directory) = waiting.pop() {
        for disk::Entry { name, kind } in entries(&directory) {
            match kind {
                // Nothing of ours is deeper, and each takes a descriptor.
                Kind::Directory if waiting.len() < MOST_OPEN => {
                    waiting.extend(directory.enter(&name).ok());
                }
                Kind::Directory => {}
                Kind::File | Kind::Other => {
                    let space = directory.space(&name);
                    usage += space.map_or(Usage::default(), Usage::file);
                }
            }
        }
    }
    usage
}

/// What can be listed of a directory.
fn entries(directory: &Directory) -> impl Iterator<Item = disk::Entry> {
    directory.entries().into_iter().flatten().flatten()
}

#[cfg(test)]
mod tests;
