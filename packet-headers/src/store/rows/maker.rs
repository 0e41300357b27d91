//! Makes rows of finished captures.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;

use capture_files::FinishedFile;
use capture_query::{Buffer, Trouble, rows_of_file};
use flow_stats::Row;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use model::Owner;
use packet_headers_common::SocketTotals;

/// What this host knew of a connection, with the ends of that as the capture shows them: pcap has no place for
/// it.
#[derive(Default)]
pub(super) struct Known<'a> {
    kernel: Option<([SocketAddr; 2], &'a SocketTotals)>,
    owner: Option<([SocketAddr; 2], &'a Owner)>,
}

impl<'a> Known<'a> {
    pub(super) fn of(file: &'a FinishedFile) -> Self {
        Self {
            kernel: file.kernel(),
            owner: file.owner(),
        }
    }

    /// Adds to a row what its capture has not said. Packets of other ends are not in this capture.
    fn complete(&self, row: &mut Row) {
        if let Some((ends, totals)) = self.kernel
            && row.kernel.end.is_none()
        {
            let _is_it = row.set_kernel(ends, totals);
        }
        if let Some((ends, owner)) = self.owner
            && row.owner.end.is_none()
        {
            let _is_it = row.set_owner(ends, owner);
        }
    }
}

/// Makes rows of finished captures, one after the other.
pub(super) struct RowMaker {
    host: String,
    buffer: Buffer,
}

impl RowMaker {
    pub(super) fn new(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            buffer: Buffer::default(),
        }
    }

    /// The rows of a capture that is open, read for as long as `go_on` says so.
    ///
    /// # Errors
    /// It cannot be read to its end.
    pub(super) fn make(
        &mut self,
        (source, path): (impl Read, &Path),
        known: &Known<'_>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Vec<Row>, Trouble> {
        let source = Box::new(Stoppable { source, go_on });
        let mut rows = rows_of_file((source, path), &mut self.buffer)?;
        for row in &mut rows {
            row.host = Some(self.host.clone());
            known.complete(row);
        }
        Ok(rows)
    }
}

/// What can be read for as long as `go_on` says so.
struct Stoppable<'a, R> {
    source: R,
    go_on: &'a dyn Fn() -> bool,
}

impl<R: Read> Read for Stoppable<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if (self.go_on)() {
            self.source.read(into)
        } else {
            Err(io::Error::other("told to stop"))
        }
    }
}

/// The day on which a connection began, in UTC.
pub(super) fn day_of(rows: &[Row]) -> Date {
    let began = rows.first().map_or(0, |row| row.start_time.0);
    let began = Timestamp::from_nanosecond(began.into()).unwrap_or_default();
    Offset::UTC.to_datetime(began).date()
}
