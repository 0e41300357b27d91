//! The rows of captures that earlier runs left.

use std::path::Path;
use std::sync::MutexGuard;

use anyhow::Error;
use capture_files::{FileError, Gate, LeftFile, Passage};
use flow_stats::Row;

use super::Rows;
use super::journals::{Journals, Lines};
use super::left::Left;
use super::maker::{Known, RowMaker, day_of};
use crate::rate_limit::RateLimit;
use crate::stats::rows::RowLoss;

/// The rows of captures that earlier runs left, and what these left of rows. A row that is there is not
/// written again.
pub(in crate::store) struct RecoveredRows<'a> {
    rows: &'a Rows,
    left: Left,
    maker: RowMaker,
    go_on: &'a dyn Fn() -> bool,
    /// Held until the capture has its name.
    journals: Option<MutexGuard<'a, Journals>>,
    unreadable: RateLimit,
}

impl<'a> RecoveredRows<'a> {
    /// Finds what earlier runs left of rows.
    pub(in crate::store) fn find(rows: &'a Rows, go_on: &'a dyn Fn() -> bool) -> Self {
        let found = rows.take_left();
        let left = Left::of(&rows.0.shelf, found, go_on, &mut |error| {
            note(rows, error, "rows of an earlier run cannot be read");
        });
        Self {
            rows,
            left,
            maker: RowMaker::new(rows.host()),
            go_on,
            journals: None,
            unreadable: RateLimit::default(),
        }
    }

    /// Publishes what earlier runs left of rows: all their captures have been looked at.
    pub(in crate::store) fn finish(self) {
        let Self {
            rows, left, go_on, ..
        } = self;
        left.publish(&rows.0.shelf, go_on, &mut |error| {
            let what = "rows of an earlier run are left to the next start";
            note(rows, error, what);
        });
    }

    fn make(&mut self, file: &LeftFile<'_>) -> Result<Vec<Row>, String> {
        let source = file.open().map_err(|error| error.to_string())?;
        let made = self
            .maker
            .make((source, file.path()), &Known::default(), self.go_on);
        let rows = made.map_err(|trouble| trouble.to_string())?;
        if rows.is_empty() {
            return Err("no packet is TCP".to_owned());
        }
        Ok(rows)
    }

    fn lose(&self, path: &Path, why: &str) {
        let counters = &self.rows.0.shelf.counters;
        counters.rows.lost.add(RowLoss::Unreadable, 1);
        if let Some(more) = self.unreadable.pass() {
            let path = path.display();
            tracing::warn!("there is no row of {path}, which is kept: {why}{more}");
        }
    }
}

impl Gate for RecoveredRows<'_> {
    fn judge(&mut self, file: &LeftFile<'_>) -> Passage {
        let mut rows = match self.make(file) {
            Ok(rows) => rows,
            Err(why) => {
                self.lose(file.path(), &why);
                return Passage::Publish;
            }
        };
        let known: Vec<_> = rows.iter().map(|row| self.left.knows(row)).collect();
        let is_kept = match known.iter().flatten().next() {
            // As it was decided then.
            Some(is_kept) => *is_kept,
            None => self.rows.kept().takes(&rows),
        };
        let mut journals = self.rows.journals();
        let path = is_kept.then(|| file.published_path());
        self.rows.0.shelf.set_path(&mut rows, path.as_deref());
        let (day, mut lines) = (day_of(&rows), Lines::default());
        for (row, known) in rows.iter().zip(known) {
            if known.is_none() {
                lines.put(row);
            }
        }
        let written = lines.is_empty() || journals.append(day, &lines).is_ok();
        self.journals = Some(journals);
        if is_kept || !written {
            Passage::Publish
        } else {
            Passage::Remove
        }
    }

    fn done(&mut self) {
        self.journals = None;
    }
}

fn note(rows: &Rows, error: FileError, what: &str) {
    rows.0.shelf.counters.note_file_error(&error);
    let error = Error::from(error);
    tracing::error!("{what}: {error:#}");
}
