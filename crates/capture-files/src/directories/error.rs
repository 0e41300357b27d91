//! Why directories cannot be used.

use std::io;
use std::path::PathBuf;

use crate::disk::Untrusted;
use crate::error::FileError;

/// Directories cannot be used for capture files.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another process uses one of them.
    #[error("{} is used by another process{}", directory.display(), show(*pid))]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// The process, where it can be seen.
        pid: Option<u32>,
    },
    /// One is within the other: who watches the data directory must see whole files only.
    #[error("{} and {} overlap", data.display(), partial.display())]
    Nested {
        /// The data directory.
        data: PathBuf,
        /// The directory of partial files.
        partial: PathBuf,
    },
    /// One of them, which was there already, is not safe: others could exchange what is in it.
    #[error("{} {why}", directory.display())]
    Untrusted {
        /// The directory.
        directory: PathBuf,
        /// Whether it is that of partial files, which must be private, or the data directory, which
        /// a group may share.
        is_partial: bool,
        /// Why it is not safe.
        why: Untrusted,
    },
    /// Files cannot be moved from one to the other: they are on different filesystems, or the data
    /// directory cannot be written.
    #[error("moving a file from {} to {}", partial.display(), data.display())]
    Unmovable {
        /// The data directory.
        data: PathBuf,
        /// The directory of partial files.
        partial: PathBuf,
        /// Why a file could not be moved.
        source: io::Error,
    },
    /// One of them cannot be made, opened or written.
    #[error(transparent)]
    Io(#[from] FileError),
}

/// What an error says of a process.
fn show(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(", pid {pid}"))
}
