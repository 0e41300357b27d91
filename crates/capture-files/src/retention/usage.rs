//! Disk space and files, counted together.

use std::ops::{Add, AddAssign};

/// An amount of disk space, and a number of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes, as the filesystem counts them: whole blocks.
    pub bytes: u64,
    /// Files, each of which takes an inode.
    pub files: u64,
}

impl Usage {
    /// One file of so many bytes.
    pub(super) const fn file(bytes: u64) -> Self {
        Self { bytes, files: 1 }
    }

    /// What is left of it without `other`; nothing less than nothing.
    #[must_use]
    pub(super) const fn without(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            files: self.files.saturating_sub(other.files),
        }
    }

    /// The larger of both amounts, and the larger of both numbers.
    #[must_use]
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            files: self.files.max(other.files),
        }
    }

    /// One part in so many of it.
    pub(super) const fn part(self, of: u64) -> Self {
        Self {
            bytes: self.bytes / of,
            files: self.files / of,
        }
    }

    pub(super) fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            files: self.files.saturating_add(other.files),
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
