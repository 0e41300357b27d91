//! What earlier runs left of rows: journals that were not published.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufRead as _};

use capture_files::{FileError, FileEvent, LeftSideFile, SideFile};
use flow_stats::{COLUMNS, Row, Value, time_text};
use jiff::civil::Date;
use row_formats::jsonl;

use super::shelf::{Shelf, Unshelved};

/// The longest line that is a row, in bytes; rows have some six thousand.
const LONGEST_LINE: u64 = 1 << 20;

/// What earlier runs left of rows.
#[derive(Default)]
pub(super) struct Left {
    files: Vec<LeftRows>,
    /// The rows that are in these files, and whether their captures are kept.
    known: HashMap<u64, bool>,
}

struct LeftRows {
    rows: Unshelved,
    day: Date,
    lines: u64,
}

/// What the name of a file says.
enum Named {
    /// It was being made.
    Unfinished,
    /// A journal, of connections that began on a day.
    Journal(Date),
    /// So many rows of such connections in Parquet, complete. The journal may be there, too.
    Parquet(Date, u64),
}

impl Left {
    /// Looks at what earlier runs left, as long as `go_on` says so, and removes what is of no use. What is wrong
    /// with a file is given to `problem`; it stays then.
    pub(super) fn of(
        shelf: &Shelf,
        found: Vec<LeftSideFile>,
        go_on: &dyn Fn() -> bool,
        problem: &mut dyn FnMut(FileError),
    ) -> Self {
        let mut left = Self::default();
        let mut made = Vec::new();
        for LeftSideFile { name, file } in found {
            if !go_on() {
                break;
            }
            let taken = match named(&name) {
                Some(Named::Unfinished) => file.remove(),
                Some(Named::Parquet(day, lines)) => {
                    made.push(stem(&name));
                    count(shelf, &file);
                    let rows = Unshelved::parquet(file, lines);
                    left.files.push(LeftRows { rows, day, lines });
                    Ok(())
                }
                // What was made of it is complete: only its removal is missing.
                Some(Named::Journal(_)) if made.contains(&stem(&name)) => file.remove(),
                Some(Named::Journal(day)) => left.take(shelf, (file, day), go_on),
                None => {
                    let path = file.path();
                    tracing::warn!("{} is left alone: it has no name of ours", path.display());
                    Ok(())
                }
            };
            taken.unwrap_or_else(&mut *problem);
        }
        left
    }

    /// Takes a journal as far as it is whole.
    fn take(
        &mut self,
        shelf: &Shelf,
        (mut file, day): (SideFile, Date),
        go_on: &dyn Fn() -> bool,
    ) -> Result<(), FileError> {
        let (mut whole, mut lines) = (0, 0);
        let read = self.read(&file, (&mut whole, &mut lines), go_on);
        read.map_err(|error| file.error("reading", error))?;
        if lines == 0 {
            return file.remove();
        }
        if whole < file.bytes() {
            file.cut(whole)?;
        }
        count(shelf, &file);
        let rows = Unshelved::journal(file);
        self.files.push(LeftRows { rows, day, lines });
        Ok(())
    }

    /// Reads the rows of a journal up to one that is torn: how long they are, and how many.
    fn read(
        &mut self,
        file: &SideFile,
        (whole, lines): (&mut u64, &mut u64),
        go_on: &dyn Fn() -> bool,
    ) -> io::Result<()> {
        let mut reader = file.open().map_err(io::Error::other)?;
        let mut line = Vec::new();
        loop {
            if !go_on() {
                return Err(io::Error::other("told to stop"));
            }
            line.clear();
            let length = io::Read::take(&mut reader, LONGEST_LINE).read_until(b'\n', &mut line)?;
            let Some(values) = line.ends_with(b"\n").then(|| jsonl::read(&line)) else {
                return Ok(());
            };
            let Ok(values) = values else {
                return Ok(());
            };
            let is_kept = values.get(column("path")) != Some(&Value::Absent);
            self.known.insert(key(&values), is_kept);
            *whole += length as u64;
            *lines += 1;
        }
    }

    /// Whether the capture of this row is kept, if the row is there already.
    pub(super) fn knows(&self, row: &Row) -> Option<bool> {
        if self.known.is_empty() {
            return None;
        }
        self.known
            .get(&key(&row.values().collect::<Vec<_>>()))
            .copied()
    }

    /// Publishes everything: the captures have their names now.
    pub(super) fn publish(
        self,
        shelf: &Shelf,
        go_on: &dyn Fn() -> bool,
        problem: &mut dyn FnMut(FileError),
    ) {
        for LeftRows {
            mut rows,
            day,
            lines,
        } in self.files
        {
            if !go_on() {
                return;
            }
            match shelf.publish(&mut rows, (day, lines), go_on) {
                Ok(rows) => shelf.counters.rows.recovered.add(rows),
                Err(error) => problem(error),
            }
        }
    }
}

/// Counts what a file takes among those that grow.
fn count(shelf: &Shelf, file: &SideFile) {
    let (before, after) = (None, Some(file.bytes()));
    shelf.room.note(&FileEvent::Grown { before, after });
}

/// What tells a row from all others, whatever its capture is called.
fn key(values: &[Value<'_>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for name in ["uuid", "community_id", "start_time", "end_time", "packets"] {
        match values.get(column(name)) {
            Some(Value::Text(text)) => text.hash(&mut hasher),
            // As precise as a journal is.
            Some(Value::Time(time)) => time_text(*time).hash(&mut hasher),
            Some(Value::Count(count)) => count.hash(&mut hasher),
            Some(Value::Flag(_) | Value::Absent) | None => 0_u8.hash(&mut hasher),
        }
    }
    hasher.finish()
}

fn column(name: &str) -> usize {
    let found = COLUMNS.iter().position(|column| column.name == name);
    found.unwrap_or(usize::MAX)
}

/// Reads a name: that of a journal is `run-….NUMBER.DAY.jsonl`.
fn named(name: &str) -> Option<Named> {
    let (stem, extension) = name.rsplit_once('.')?;
    let day = |stem: &str| stem.rsplit_once('.')?.1.parse::<Date>().ok();
    match extension {
        "tmp" => Some(Named::Unfinished),
        "jsonl" => day(stem).map(Named::Journal),
        "parquet" => {
            let (stem, rows) = stem.rsplit_once('.')?;
            Some(Named::Parquet(day(stem)?, rows.parse().ok()?))
        }
        _ => None,
    }
}

/// The name of the journal without its extension, of whatever was made of it.
fn stem(name: &str) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let is_parquet = name.ends_with(".parquet");
    let journal = stem.rsplit_once('.').filter(|_| is_parquet);
    journal.map_or(stem, |(journal, _)| journal).to_owned()
}
