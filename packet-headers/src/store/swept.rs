//! Counts what retention removed, whichever thread did it.

use capture_files::{FileError, Sweep};

use crate::stats::Counters;

/// Counts what a sweep removed; the first of its errors.
pub(super) fn count(sweep: Sweep, counters: &Counters) -> Option<FileError> {
    let Sweep {
        files,
        bytes,
        failures,
        failure,
    } = sweep;
    counters.expired.add(files);
    counters.expired_bytes.add(bytes);
    if files > 0 {
        tracing::trace!("removed the {files} oldest files, which took {bytes} bytes on disk");
    }
    if failures > 1 {
        tracing::debug!("{failures} files or directories could not be removed");
    }
    failure
}
