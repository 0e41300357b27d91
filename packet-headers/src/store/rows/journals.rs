//! Rows that are not published yet: a file of JSON lines for each day on which connections began.
//!
//! A row is in a journal before its capture gets its name, and its journal is published when the capture
//! has it. So what a kill leaves says which captures have their rows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Error;
use capture_files::{Directories, FileError, FileEvent, FileIssue, Room, SideError, SideFile};
use flow_stats::Row;
use jiff::civil::Date;
use row_formats::jsonl;

use super::DIRECTORY;
use super::shelf::{Shelf, Unshelved};
use crate::config::RowsFormat;
use crate::rate_limit::RateLimit;
use crate::stats::rows::RowLoss;
use crate::store::swept;

/// How long a journal gets before it is published, in bytes: some ten thousand rows. Captures wait while
/// Parquet is made of it, so it is shorter then.
const LONGEST: u64 = 64 << 20;
const LONGEST_FOR_PARQUET: u64 = 16 << 20;

/// How long it gets if it cannot be published, before rows are given up.
const TOO_LONG: u64 = 4 * LONGEST;

/// How many journals may be open: with more, those of earlier days are published at once; and how many
/// there are at most, if they cannot be.
const MOST: usize = 8;
const TOO_MANY: usize = 64;

/// So many intervals are waited for captures that cannot get their names.
const PATIENCE: u32 = 10;

/// How often what cannot be published is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Rows that are not published yet.
pub(super) struct Journals {
    directories: Directories,
    room: Room,
    shelf: Shelf,
    interval: Duration,
    open: BTreeMap<Date, Journal>,
    /// How many there have been.
    begun: u64,
    /// How many captures whose rows are in a journal wait for their names.
    waiting: usize,
    /// When one could not be published.
    failed: Option<Instant>,
    errors: RateLimit,
}

struct Journal {
    file: Unshelved,
    rows: u64,
    begun: Instant,
}

/// Rows as they are written.
#[derive(Default)]
pub(super) struct Lines {
    text: Vec<u8>,
    rows: u64,
}

impl Lines {
    /// Adds a row.
    pub(super) fn put(&mut self, row: &Row) {
        jsonl::put(row, &mut self.text);
        self.rows += 1;
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rows == 0
    }
}

impl Journals {
    pub(super) fn new(shelf: Shelf, interval: Duration) -> Self {
        Self {
            directories: shelf.directories.clone(),
            room: shelf.room.clone(),
            shelf,
            interval,
            open: BTreeMap::new(),
            begun: 0,
            waiting: 0,
            failed: None,
            errors: RateLimit::default(),
        }
    }

    /// Each is published when it is so old, from now on.
    pub(super) const fn publish_every(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// Writes rows of connections that began on this day: all of them, or none.
    ///
    /// # Errors
    /// Why they are lost, which is counted.
    pub(super) fn append(&mut self, day: Date, lines: &Lines) -> Result<(), RowLoss> {
        let appended = self.try_append(day, lines);
        let counters = &self.shelf.counters.rows;
        match appended {
            Ok(()) => counters.held.add(lines.rows),
            Err(loss) => counters.lost.add(loss, lines.rows),
        }
        appended
    }

    fn try_append(&mut self, day: Date, lines: &Lines) -> Result<(), RowLoss> {
        let is_new = !self.open.contains_key(&day);
        if is_new && self.open.len() >= TOO_MANY {
            return Err(RowLoss::WriteFailed);
        }
        let made = self.room.make(lines.text.len() as u64, is_new);
        if let Some(error) = swept::count(made.sweep, &self.shelf.counters) {
            self.note(error, "cannot make room for rows");
        }
        if made.refused.is_some() {
            return Err(RowLoss::NoRoom);
        }
        if is_new {
            self.begin(day)?;
        }
        let journal = self.open.get_mut(&day).ok_or(RowLoss::WriteFailed)?;
        let file = &mut journal.file.file;
        let before = file.bytes();
        if before >= TOO_LONG || journal.file.in_parquet.is_some() {
            return Err(RowLoss::WriteFailed);
        }
        match file.append(&lines.text) {
            Ok(()) => {
                journal.rows += lines.rows;
                let (before, after) = (Some(before), Some(file.bytes()));
                let synced = file.sync();
                self.room.note(&FileEvent::Grown { before, after });
                if let Err(error) = synced {
                    self.note(error, "rows may be lost in a power loss");
                }
                Ok(())
            }
            Err(SideError::Unchanged(error)) => {
                self.note(error, "rows are lost");
                Err(RowLoss::WriteFailed)
            }
            Err(SideError::Lost(error)) => {
                self.lose(day);
                self.note(
                    error,
                    "rows are lost, with those that had been written there",
                );
                Err(RowLoss::WriteFailed)
            }
        }
    }

    fn begin(&mut self, day: Date) -> Result<(), RowLoss> {
        self.begun += 1;
        let name = format!("{}.{}.{day}.jsonl", self.directories.run(), self.begun);
        match SideFile::create(&self.directories, DIRECTORY, &name) {
            Ok(file) => {
                let (before, after) = (None, Some(0));
                self.room.note(&FileEvent::Grown { before, after });
                let (rows, begun) = (0, Instant::now());
                let file = Unshelved::journal(file);
                self.open.insert(day, Journal { file, rows, begun });
                Ok(())
            }
            Err(error) => {
                self.note(error, "rows are lost");
                Err(RowLoss::WriteFailed)
            }
        }
    }

    /// Forgets a journal that is gone, or of which nothing is known any more.
    fn lose(&mut self, day: Date) {
        if let Some(lost) = self.open.remove(&day) {
            let counters = &self.shelf.counters.rows;
            counters.lose_held(RowLoss::WriteFailed, lost.rows);
            let (before, after) = (Some(lost.file.file.bytes()), None);
            self.room.note(&FileEvent::Grown { before, after });
        }
    }

    /// Takes note of how many captures, whose rows are in a journal, wait for their names.
    pub(super) fn set_waiting(&mut self, captures: usize) {
        self.waiting = captures;
    }

    /// Publishes what is due: what is old, or long. It waits while captures wait for their names, but not
    /// for ever: one may never get it.
    pub(super) fn publish_due(&mut self, go_on: &dyn Fn() -> bool) {
        if self.failed.is_some_and(|failed| failed.elapsed() < AGAIN) {
            return;
        }
        let patience = if self.waiting > 0 { PATIENCE } else { 1 };
        let longest = match self.shelf.format {
            _ if self.waiting > 0 => TOO_LONG,
            RowsFormat::Jsonl => LONGEST,
            RowsFormat::Parquet => LONGEST_FOR_PARQUET,
        };
        let is_due = |journal: &Journal| {
            let age = journal.begun.elapsed();
            let bytes = journal.file.file.bytes();
            age >= self.interval.saturating_mul(patience) || bytes >= longest
        };
        let too_many = self.open.len().saturating_sub(MOST);
        let due = self.open.iter().enumerate();
        let due = due.filter(|(number, (_, it))| *number < too_many || is_due(it));
        let due: Vec<Date> = due.map(|(_, (day, _))| *day).collect();
        for day in due {
            self.publish(day, go_on);
        }
    }

    /// When something is due, at the earliest.
    pub(super) fn next_due(&self) -> Option<Duration> {
        let left = |journal: &Journal| self.interval.saturating_sub(journal.begun.elapsed());
        let next = self.open.values().map(left).min()?;
        let is_held_up = self.waiting > 0 || self.failed.is_some();
        Some(if is_held_up { next.max(AGAIN) } else { next })
    }

    /// Publishes everything, for as long as `go_on` says so: the daemon stops. What cannot be published is
    /// left to the next start, and so is everything while captures wait for their names.
    pub(super) fn finish(&mut self, go_on: &dyn Fn() -> bool) {
        if self.waiting > 0 {
            return;
        }
        while go_on()
            && let Some(day) = self.open.keys().next().copied()
        {
            self.publish(day, go_on);
            // Whatever became of it: the next start finds it.
            self.open.remove(&day);
        }
    }

    fn publish(&mut self, day: Date, go_on: &dyn Fn() -> bool) {
        let Some(mut journal) = self.open.remove(&day) else {
            return;
        };
        let of = (day, journal.rows);
        match self.shelf.publish(&mut journal.file, of, go_on) {
            Ok(rows) => {
                self.failed = None;
                let (counters, rows) = (&self.shelf.counters.rows, rows.min(journal.rows));
                counters.write_held(rows);
                counters.lose_held(RowLoss::Unreadable, journal.rows - rows);
            }
            Err(error) => {
                self.failed = Some(Instant::now());
                self.open.insert(day, journal);
                self.note(error, "rows wait to be published");
            }
        }
    }

    fn note(&self, error: FileError, what: &str) {
        let counters = &self.shelf.counters;
        counters.note_file_error(&error);
        if error.issue() == FileIssue::NoSpace {
            // What this could not remove, the next attempt to write says.
            let _first = swept::count(self.room.ran_out(), counters);
        }
        if let Some(more) = self.errors.pass() {
            let error = Error::from(error);
            tracing::error!("{what}: {error:#}{more}");
        }
    }
}
