//! Captures that are published with their rows, or removed when these are enough.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::Error;
use capture_files::{FinishedFile, Publisher};
use flow_stats::Row;
use jiff::civil::Date;

use super::journals::{Journals, Lines};
use super::maker::{Known, RowMaker, day_of};
use super::{Rows, Shared};
use crate::rate_limit::RateLimit;
use crate::stats::rows::RowLoss;
use crate::store::writer::Counting;

/// Publishes captures with their rows.
pub(in crate::store) struct RowedCaptures {
    rows: Rows,
    maker: RowMaker,
    unreadable: RateLimit,
}

/// A capture that is to be published.
struct Made {
    file: FinishedFile,
    rows: Vec<Row>,
    is_kept: bool,
}

impl RowedCaptures {
    pub(in crate::store) fn new(rows: Rows) -> Self {
        Self {
            maker: RowMaker::new(rows.host()),
            rows,
            unreadable: RateLimit::default(),
        }
    }

    /// Publishes captures. With rows, these are written first, and only those captures are published that are
    /// kept, or have no row. `go_on` is whether there is still time; when there is none, captures are left
    /// to the next start, which writes their rows.
    pub(in crate::store) fn publish(
        &mut self,
        files: Vec<FinishedFile>,
        publisher: &mut Publisher<Counting>,
        with_rows: bool,
        go_on: &dyn Fn() -> bool,
    ) {
        let (mut made, mut without, mut late) = (Vec::new(), Vec::new(), Vec::new());
        for file in files {
            if !with_rows {
                self.lose(RowLoss::Behind);
                without.push(file);
                continue;
            }
            match self.make(&file, go_on) {
                _ if !go_on() => late.push(file),
                Some((rows, is_kept)) => made.push(Made {
                    file,
                    rows,
                    is_kept,
                }),
                None => without.push(file),
            }
        }
        let rows = self.rows.clone();
        let mut journals = rows.journals();
        let (kept, removed) = self.write(made, &mut journals);
        removed.into_iter().for_each(|file| publisher.remove(file));
        without.extend(kept);
        publisher.publish(without);
        publisher.leave(late);
        journals.set_waiting(publisher.unpublished().len());
    }

    /// The rows of a capture, and whether it is kept.
    fn make(&mut self, file: &FinishedFile, go_on: &dyn Fn() -> bool) -> Option<(Vec<Row>, bool)> {
        let path = file.path();
        let made = match file.open() {
            Ok(source) => {
                let made = self.maker.make((source, &path), &Known::of(file), go_on);
                made.map_err(|trouble| trouble.to_string())
            }
            Err(error) => Err(format!("{:#}", Error::from(error))),
        };
        match made {
            Ok(rows) if !rows.is_empty() => {
                let is_kept = self.rows.kept().takes(&rows);
                Some((rows, is_kept))
            }
            _ if !go_on() => None,
            made => {
                self.lose(RowLoss::Unreadable);
                if let Some(more) = self.unreadable.pass() {
                    let why = made.err().unwrap_or_else(|| "no packet is TCP".to_owned());
                    let path = path.display();
                    tracing::warn!("there is no row of {path}, which is kept: {why}{more}");
                }
                None
            }
        }
    }

    /// Writes rows; which captures are to be published, and which to be removed.
    fn write(
        &self,
        made: Vec<Made>,
        journals: &mut Journals,
    ) -> (Vec<FinishedFile>, Vec<FinishedFile>) {
        let Shared { shelf, naming, .. } = &*self.rows.0;
        let (mut days, mut taken) = (BTreeMap::<Date, Batch>::new(), HashSet::<PathBuf>::new());
        for Made {
            mut file,
            mut rows,
            is_kept,
        } in made
        {
            let path = is_kept.then(|| {
                let is_taken = |path: &Path| taken.contains(path);
                file.choose_name(&shelf.directories, *naming, &is_taken)
            });
            shelf.set_path(&mut rows, path.as_deref());
            taken.extend(path);
            let day = day_of(&rows);
            let batch = days.entry(day).or_default();
            batch.put(&rows);
            if is_kept {
                batch.kept.push(file);
            } else {
                batch.others.push(file);
            }
        }
        let (mut kept, mut removed) = (Vec::new(), Vec::new());
        for (day, batch) in days {
            kept.extend(batch.kept);
            // Where there is no row, the capture is all that there is.
            match journals.append(day, &batch.lines) {
                Ok(()) => removed.extend(batch.others),
                Err(_) => kept.extend(batch.others),
            }
        }
        (kept, removed)
    }

    fn lose(&self, loss: RowLoss) {
        self.rows.0.shelf.counters.rows.lost.add(loss, 1);
    }
}

/// Captures of connections that began on the same day.
#[derive(Default)]
struct Batch {
    lines: Lines,
    kept: Vec<FinishedFile>,
    others: Vec<FinishedFile>,
}

impl Batch {
    fn put(&mut self, rows: &[Row]) {
        rows.iter().for_each(|row| self.lines.put(row));
    }
}
