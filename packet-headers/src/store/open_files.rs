//! How many files this process may have open, and how many of them are capture files between two
//! writes.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that the daemon keeps open, such as two links for each of some dozens of interfaces, and
/// those that it opens for a moment.
const FEW: u64 = 128;

/// Additional open files per shard: its rings and what it waits on.
const PER_SHARD: u64 = 4;

/// The most capture files that stay open. Each takes the kernel some KiB.
const MOST_KEPT: u64 = 16 * 1024;

/// The most open files that this process can have: as many as it may allow itself. `None` is any
/// number.
#[must_use]
pub(crate) fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// Allows this process as many open files as it may have. How many it may have then.
pub(crate) fn raise_limit() -> Option<u64> {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(error) => {
            tracing::warn!("cannot raise the limit of open files to the hard one: {error}");
            before.current
        }
    }
}

/// How many open files the daemon needs, without capture files.
#[must_use]
pub(crate) const fn needed(shards: u32) -> u64 {
    FEW + PER_SHARD * shards as u64
}

/// How many capture files each writer keeps open between two writes: together at most half of the
/// limit, and nothing of what the rest of the daemon needs.
#[must_use]
pub(crate) fn kept_by_each(limit: Option<u64>, shards: u32) -> usize {
    let all = limit.map_or(MOST_KEPT, |limit| {
        let rest = limit.saturating_sub(needed(shards));
        rest.min(limit / 2).min(MOST_KEPT)
    });
    usize::try_from(all / u64::from(shards.max(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_files_leave_the_rest_of_the_daemon_what_it_needs() {
        for (limit, shards, each) in [
            (Some(1024), 1, 512),
            (Some(1024), 4, 128),
            (Some(256), 1, 124),
            (Some(132), 1, 0),
            (Some(16), 1, 0),
            (Some(1 << 20), 2, 8192),
            (None, 1, 16_384),
            (None, 0, 16_384),
        ] {
            assert_eq!(kept_by_each(limit, shards), each, "{limit:?}, {shards}");
        }
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_may_be() {
        let most = limit();
        assert_eq!(raise_limit(), most);
        assert_eq!(getrlimit(Resource::Nofile).current, most);
    }
}
