//! What became of rows.

use model::Count;

model::counter_set! {
    /// Why a connection has no row.
    RowLosses by RowLoss {
        /// More files were finished than could be read.
        Behind = "behind",
        /// Its file could not be read.
        Unreadable = "unreadable",
        /// The files take as much as `--max-disk`, `--max-files` or `--min-free` allows.
        NoRoom = "no_room",
        /// It could not be written.
        WriteFailed = "write_failed",
    }
}

/// What became of rows. Each was written, is held or was lost.
#[derive(Debug, Default)]
pub struct RowCounters {
    /// Rows in published files.
    pub written: Count,
    /// Rows in files that are not published yet.
    pub held: Count,
    /// Rows that are in no file, by reason.
    pub lost: RowLosses,
    /// Rows of earlier runs that were published.
    pub recovered: Count,
    /// Files of rows that were published.
    pub files: Count,
    /// Captures that were removed, as their rows are enough.
    pub not_kept: Count,
}

impl RowCounters {
    /// Moves `rows` that were held to written.
    pub(crate) fn write_held(&self, rows: u64) {
        self.held.sub(rows);
        self.written.add(rows);
    }

    /// Moves `rows` that were held to lost.
    pub(crate) fn lose_held(&self, loss: RowLoss, rows: u64) {
        self.held.sub(rows);
        self.lost.add(loss, rows);
    }
}
