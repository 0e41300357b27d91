//! Why there is no room for new files, and what to do about it.

use capture_files::Limit;

/// In words, for the log and for readiness.
pub(crate) const fn explain(limit: Limit) -> &'static str {
    match limit {
        Limit::Disk => {
            "new files are refused: --max-disk is reached, and there is no older file to remove"
        }
        Limit::Files => {
            "new files are refused: --max-files is reached, and there is no older file to remove"
        }
        Limit::Free => {
            "new files are refused: the filesystem has less free space or inodes than --min-free \
             asks for, and there is no older file to remove, or removing them does not help; make \
             room on it"
        }
    }
}
