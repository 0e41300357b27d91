//! Where files of rows appear, and in which format.

use std::io::{self, BufRead as _, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use capture_files::{
    Directories, FileError, FileEvent, PartitionedRows, PublishedFile, Room, RowsFileName, SideFile,
};
use flow_stats::Row;
use jiff::Timestamp;
use jiff::civil::Date;
use row_formats::{jsonl, parquet};

use super::DIRECTORY;
use crate::config::RowsFormat;
use crate::stats::Counters;

/// The program that Parquet files say has written them.
const PROGRAM: &str = concat!("packet-headers ", env!("CARGO_PKG_VERSION"));

/// Where files of rows appear, and in which format.
#[derive(Clone)]
pub(super) struct Shelf {
    pub(super) directories: Directories,
    pub(super) room: Room,
    pub(super) counters: Arc<Counters>,
    pub(super) host: String,
    pub(super) format: RowsFormat,
    /// Where the directories are, below the data directory.
    pub(super) below: PathBuf,
}

/// Rows that are complete and not published.
pub(super) struct Unshelved {
    pub(super) file: SideFile,
    /// How many rows are in it, once it is Parquet.
    pub(super) in_parquet: Option<u64>,
    /// What it was made of, and is to be removed.
    pub(super) lines: Option<SideFile>,
}

impl Unshelved {
    /// A journal.
    pub(super) const fn journal(file: SideFile) -> Self {
        Self {
            file,
            in_parquet: None,
            lines: None,
        }
    }

    /// So many rows in Parquet.
    pub(super) const fn parquet(file: SideFile, rows: u64) -> Self {
        Self {
            file,
            in_parquet: Some(rows),
            lines: None,
        }
    }
}

impl Shelf {
    /// Says in rows which file has their packets, if any, by where it is in these directories.
    pub(super) fn set_path(&self, rows: &mut [Row], path: Option<&Path>) {
        let path = path.map(|path| self.below.join(path).to_string_lossy().into_owned());
        for row in rows {
            row.path.clone_from(&path);
        }
    }

    /// Publishes rows of connections that began on this day, of which the file says that there are so many.
    /// Returns how many there were.
    ///
    /// # Errors
    /// They stay where they are.
    pub(super) fn publish(
        &self,
        rows: &mut Unshelved,
        (day, lines): (Date, u64),
        go_on: &dyn Fn() -> bool,
    ) -> Result<u64, FileError> {
        if rows.in_parquet.is_none() && self.format == RowsFormat::Parquet {
            rows.in_parquet = Some(self.convert(rows, go_on)?);
        }
        if let Some(lines) = &rows.lines {
            lines.remove()?;
            let (before, after) = (Some(lines.bytes()), None);
            self.room.note(&FileEvent::Grown { before, after });
            rows.lines = None;
        }
        let bytes = rows.file.bytes();
        let path = self.give_name(rows, day)?;
        let count = rows.in_parquet.unwrap_or(lines);
        tracing::trace!("published {count} rows as {}", path.display());
        let packets = 0;
        let published = PublishedFile {
            path,
            packets,
            bytes,
        };
        self.room.note(&FileEvent::Published(published));
        self.counters.rows.files.add(1);
        Ok(count)
    }

    fn give_name(&self, rows: &mut Unshelved, day: Date) -> Result<PathBuf, FileError> {
        let time = RowsFileName::time_text(Timestamp::now());
        let host = &self.host;
        let file = &mut rows.file;
        if rows.in_parquet.is_some() {
            let directory = PartitionedRows { day, host }.directory();
            return file.publish(&directory, &|number| PartitionedRows::name(&time, number));
        }
        let name = |number| {
            let name = RowsFileName {
                host,
                time: &time,
                number,
                extension: "jsonl",
            };
            name.to_string()
        };
        file.publish(&PathBuf::from(day.strftime("%Y/%m/%d").to_string()), &name)
    }

    /// Makes Parquet of a journal, and puts it in its place. The next start publishes the one whose name says
    /// that it is whole, and removes the other.
    fn convert(&self, rows: &mut Unshelved, go_on: &dyn Fn() -> bool) -> Result<u64, FileError> {
        let journal = &mut rows.file;
        let stem = stem(journal);
        let mut made = SideFile::create(&self.directories, DIRECTORY, &format!("{stem}.tmp"))?;
        let count = match write(journal, &mut made, go_on) {
            Ok(count) => count,
            Err(error) => {
                // If it stays, the next start removes it.
                let _stays = made.remove();
                return Err(journal.error("making Parquet of", error));
            }
        };
        made.sync()?;
        made.rename(&format!("{stem}.{count}.parquet"))?;
        let (before, after) = (None, Some(made.bytes()));
        self.room.note(&FileEvent::Grown { before, after });
        rows.lines = Some(std::mem::replace(journal, made));
        Ok(count)
    }
}

/// Why Parquet could not be written: what the disk said, if it did.
fn failed(error: parquet::ParquetError) -> io::Error {
    let parquet::ParquetError::External(error) = error else {
        return io::Error::other(error);
    };
    match error.downcast::<io::Error>() {
        Ok(error) => *error,
        Err(error) => io::Error::other(error),
    }
}

/// What a journal is called by: its name without the extension.
fn stem(journal: &SideFile) -> String {
    let path = journal.path();
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

/// Writes the rows of a journal as Parquet; how many there were.
fn write(journal: &SideFile, made: &mut SideFile, go_on: &dyn Fn() -> bool) -> io::Result<u64> {
    let mut writer = parquet::Writer::new(BufWriter::new(made), PROGRAM).map_err(failed)?;
    let (mut rows, mut lines) = (0, journal.open().map_err(io::Error::other)?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        if !go_on() {
            return Err(io::Error::other("the daemon stops"));
        }
        // One that cannot be read is lost, and counted by the difference.
        if let Ok(values) = jsonl::read(&line) {
            writer.put_values(values.into_iter()).map_err(failed)?;
            rows += 1;
        }
        line.clear();
    }
    writer.finish().map_err(failed)?.flush()?;
    Ok(rows)
}
