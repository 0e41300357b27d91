//! How much of the filesystem is free, and how much is to stay free.

use std::os::fd::AsFd;

use rustix::fs::{StatVfs, fstatvfs};
use rustix::io::Result;

use super::usage::Usage;

/// A filesystem at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Space {
    /// What it holds at most. Filesystems that make inodes as they are needed say 0 files.
    pub(super) size: Usage,
    /// What is left of that for ordinary users.
    pub(super) free: Usage,
}

impl Space {
    /// Of the filesystem that a file is on.
    pub(super) fn of(file: impl AsFd) -> Result<Self> {
        Ok(Self::from(fstatvfs(file)?))
    }

    /// So many percent of it.
    pub(super) const fn wanted(self, percent: u64) -> Usage {
        const fn part(size: u64, percent: u64) -> u64 {
            size / 100 * percent + size % 100 * percent / 100
        }
        Usage {
            bytes: part(self.size.bytes, percent),
            files: part(self.size.files, percent),
        }
    }

    /// What is to stay free if so many percent are. `ours` is what we take already.
    ///
    /// On a filesystem that has less to begin with, nothing is removed for that, and we take no
    /// more than half of what others left: `None` for what was to stay free until now.
    pub(super) fn floor(self, percent: u64, until_now: Option<Usage>, ours: Usage) -> Usage {
        let wanted = self.wanted(percent);
        let floor = |of: fn(Usage) -> u64| {
            let (wanted, free) = (of(wanted), of(self.free));
            if free >= wanted {
                return wanted;
            }
            let less = || free.min(free.saturating_add(of(ours)) / 2);
            until_now.map_or_else(less, of)
        };
        Usage {
            bytes: floor(|usage| usage.bytes),
            files: floor(|usage| usage.files),
        }
    }
}

impl From<StatVfs> for Space {
    fn from(found: StatVfs) -> Self {
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Self {
            size: Usage {
                bytes: bytes(found.f_blocks),
                files: found.f_files,
            },
            free: Usage {
                bytes: bytes(found.f_bavail),
                files: found.f_favail,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn usage(bytes: u64, files: u64) -> Usage {
        Usage { bytes, files }
    }

    fn floor(free: Usage, ours: Usage) -> Usage {
        let size = usage(1000, 100);
        Space { size, free }.floor(5, None, ours)
    }

    #[test]
    fn the_floor_is_a_part_of_the_filesystem() {
        assert_eq!(floor(usage(500, 50), usage(0, 0)), usage(50, 5));
    }

    #[test]
    fn a_filesystem_that_is_fuller_at_the_start_loses_nothing_and_still_takes_files() {
        assert_eq!(floor(usage(40, 4), usage(0, 0)), usage(20, 2));
        // After a restart it is the same.
        assert_eq!(floor(usage(20, 2), usage(20, 2)), usage(20, 2));
        // Where most of it is ours, we grow no more.
        assert_eq!(floor(usage(10, 1), usage(800, 80)), usage(10, 1));
    }

    #[test]
    fn a_filesystem_without_a_number_of_inodes_has_no_floor_of_them() {
        let space = Space {
            size: usage(1000, 0),
            free: usage(1000, 0),
        };
        assert_eq!(space.floor(5, None, usage(0, 0)), usage(50, 0));
    }

    #[test]
    fn a_floor_that_was_lowered_rises_when_others_make_room() {
        let space = |free| Space {
            size: usage(1000, 100),
            free: usage(free, 50),
        };
        let low = space(40).floor(5, None, usage(0, 0));
        assert_eq!(low, usage(20, 5));
        assert_eq!(space(10).floor(5, Some(low), usage(30, 0)), low);
        assert_eq!(space(60).floor(5, Some(low), usage(0, 0)), usage(50, 5));
    }
}
