//! A row for each connection, written when its file is published; and which files are kept at all.
//!
//! A finished capture is read again before it gets its name. So a row is what the file says, and whatever is
//! hidden there is hidden in the row.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Error;
use capture_files::{Directories, FileNaming, LeftSideFile, Room, SideFile};
use capture_query::Kept;

use self::journals::Journals;
use self::shelf::Shelf;
use crate::config;
use crate::stats::Counters;

mod finished;
mod journals;
mod left;
mod maker;
mod recovered;
mod shelf;

pub(super) use finished::RowedCaptures;
pub(super) use recovered::RecoveredRows;

/// The directory of journals, among the partial files.
const DIRECTORY: &str = "rows";

/// Rows that are being written. Clones share them.
#[derive(Clone)]
pub(crate) struct Rows(Arc<Shared>);

struct Shared {
    journals: Mutex<Journals>,
    shelf: Shelf,
    rules: Mutex<Rules>,
    naming: FileNaming,
    /// What was there before the first row was written.
    left: Mutex<Vec<LeftSideFile>>,
}

/// What may change while rows are written.
struct Rules {
    /// Which captures are kept.
    kept: Arc<Kept>,
    /// How often journals are published.
    interval: Duration,
}

impl Rows {
    /// Rows of the captures in these directories, which are there below the data directory.
    pub(crate) fn new(
        config: &config::Rows,
        (directories, naming): (&Directories, FileNaming),
        room: &Room,
        counters: &Arc<Counters>,
        below: &Path,
    ) -> Self {
        let shelf = Shelf {
            below: below.to_owned(),
            directories: directories.clone(),
            room: room.clone(),
            counters: Arc::clone(counters),
            host: config.host.clone(),
            format: config.format,
        };
        // Now: what this run writes is none of it, whatever it is called.
        let left = SideFile::left(directories, DIRECTORY).unwrap_or_else(|error| {
            counters.note_file_error(&error);
            let error = Error::from(error);
            tracing::error!("cannot look for rows of earlier runs: {error:#}");
            Vec::new()
        });
        let journals = Journals::new(shelf.clone(), config.interval);
        Self(Arc::new(Shared {
            journals: Mutex::new(journals),
            shelf,
            rules: Mutex::new(Rules {
                kept: Arc::new(config.kept.clone()),
                interval: config.interval,
            }),
            naming,
            left: Mutex::new(left),
        }))
    }

    /// What earlier runs left of rows; nothing when it is asked for again.
    fn take_left(&self) -> Vec<LeftSideFile> {
        let mut left = self.0.left.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut left)
    }

    /// Whoever holds this writes rows and gives their captures names.
    fn journals(&self) -> MutexGuard<'_, Journals> {
        let journals = &self.0.journals;
        journals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which captures are kept, of those that are finished now.
    fn kept(&self) -> Arc<Kept> {
        Arc::clone(&self.rules().kept)
    }

    /// Other captures are kept, of those that are finished from now on, and journals published so often.
    /// Waits for nobody who writes or publishes.
    pub(crate) fn change(&self, kept: Kept, interval: Duration) {
        *self.rules() = Rules {
            kept: Arc::new(kept),
            interval,
        };
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.0.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host whose connections they are.
    fn host(&self) -> &str {
        &self.0.shelf.host
    }

    /// Publishes what is due. Returns when the next is.
    pub(super) fn publish_due(&self, go_on: &dyn Fn() -> bool) -> Option<Duration> {
        let interval = self.rules().interval;
        let mut journals = self.journals();
        journals.publish_every(interval);
        journals.publish_due(go_on);
        journals.next_due()
    }

    /// Takes note of how many captures that have rows wait for their names.
    pub(super) fn set_waiting(&self, captures: usize) {
        self.journals().set_waiting(captures);
    }

    /// Publishes what there is, for as long as `go_on` says so: no capture will come any more.
    pub(super) fn finish(&self, go_on: &dyn Fn() -> bool) {
        self.journals().finish(go_on);
    }
}

#[cfg(test)]
mod tests;
