//! Keeps the data directory within limits: the oldest published files are removed first.
//!
//! Only regular files with names that only ours have are counted and removed, in directories named
//! as ours are, and no symbolic link is followed. Files of others are treated as if they were not
//! there. Memory does not grow with the number of files.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;

use crate::error::{FileError, FileStep};

mod oldest;
mod sweep;
mod tree;

pub use sweep::Sweep;
use tree::Tree;

/// How much is kept; `None` for any amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetentionLimits {
    /// The disk space that all published files together may take, in bytes.
    pub disk: Option<u64>,
    /// How long ago a file may have been modified last.
    pub age: Option<Duration>,
}

/// Keeps a data directory within its limits.
///
/// ```
/// use capture_files::{Retention, RetentionLimits};
/// use std::fs;
/// use std::time::{Duration, SystemTime};
///
/// let data = tempfile::tempdir()?;
/// let day = data.path().join("2026/11/23");
/// fs::create_dir_all(&day)?;
/// let ours = day.join("host_1700000000_unsafe_00000000000010AB.pcap");
/// fs::write(&ours, b"...")?;
/// fs::write(day.join("notes.txt"), b"...")?;
///
/// let hour = Duration::from_secs(3600);
/// let limits = RetentionLimits { age: Some(hour), ..RetentionLimits::default() };
/// let retention = Retention::new(data.path(), limits);
/// assert_eq!(retention.sweep(SystemTime::now())?.files, 0);
/// assert_eq!(retention.sweep(SystemTime::now() + 2 * hour)?.files, 1);
/// assert!(!ours.exists() && day.join("notes.txt").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Retention {
    data: PathBuf,
    limits: RetentionLimits,
}

impl Retention {
    /// For the published files in the data directory `data`.
    #[must_use]
    pub fn new(data: &Path, limits: RetentionLimits) -> Self {
        Self {
            data: data.to_owned(),
            limits,
        }
    }

    /// Removes what is over the limits.
    ///
    /// # Errors
    /// If the data directory cannot be read. One that does not exist is empty.
    pub fn sweep(&self, now: SystemTime) -> Result<Sweep, FileError> {
        self.sweep_while(now, &|| true)
    }

    /// Removes what is over the limits, for as long as `go_on` says so.
    ///
    /// # Errors
    /// If the data directory cannot be read. One that does not exist is empty.
    pub fn sweep_while(
        &self,
        now: SystemTime,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Sweep, FileError> {
        let tree = match Tree::open(&self.data, go_on) {
            Ok(tree) => tree,
            Err(Errno::NOENT) => return Ok(Sweep::default()),
            Err(error) => {
                return Err(FileError::new(FileStep::Open, "reading", &self.data, error));
            }
        };
        let mut sweep = Sweep::default();
        sweep.run(&tree, self.limits, now);
        Ok(sweep)
    }
}

#[cfg(test)]
mod tests;
