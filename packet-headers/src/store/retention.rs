//! How much published files may take, and how old they may get.

use std::time::Duration;

/// How much published files may take, and how old they may get.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Bytes on disk.
    pub disk: Option<u64>,
    /// Since they were last written.
    pub age: Option<Duration>,
}
