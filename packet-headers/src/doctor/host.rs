//! Other properties of this host: its clock, and its limit of open files.

use rustix::process::{Resource, getrlimit};

use super::clock;
use super::finding::Group;
use crate::clock::find_stamping_clock;
use crate::config::Config;

pub(super) fn check(config: &Config) -> Group {
    let mut group = Group::new("host");
    time(&mut group, clock::is_synchronized());
    if let Err(unknown) = find_stamping_clock() {
        group.diagnostic("time namespace", unknown);
    }
    let limit = getrlimit(Resource::Nofile).current;
    open_files(&mut group, limit, config.sizes.shards);
    group
}

fn time(group: &mut Group, synchronized: Option<bool>) {
    const NAME: &str = "clock";
    match synchronized {
        Some(true) => group.ok(NAME, "synchronized"),
        Some(false) => group.note(
            NAME,
            "not synchronized: packet timestamps and the dates in file paths may be wrong",
            "run an NTP client, such as chrony or systemd-timesyncd",
        ),
        None => group.mention(NAME, "the kernel does not say whether it is synchronized"),
    }
}

/// Files that the daemon keeps open, such as two links for each of some dozens of interfaces, and
/// those that it opens for a moment. Capture files are opened for each write only, so their number
/// does not grow with connections.
const FEW: u64 = 128;

/// Additional open files per shard: its rings and what it waits on.
const PER_SHARD: u64 = 4;

fn open_files(group: &mut Group, limit: Option<u64>, shards: u32) {
    const NAME: &str = "open files";
    let needed = FEW + PER_SHARD * u64::from(shards);
    match limit {
        Some(limit) if limit < needed => group.problem(
            NAME,
            format!("the limit is {limit}, but at least {needed} are needed"),
            "ulimit -n 1024, or LimitNOFILE=1024 in the systemd unit",
        ),
        Some(limit) => group.ok(NAME, format!("up to {limit}; {needed} are enough")),
        None => group.ok(NAME, "no limit"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn a_clock_that_nobody_keeps_right_is_noted() {
        for (synchronized, state) in [
            (Some(true), State::Ok),
            (Some(false), State::Note),
            (None, State::Note),
        ] {
            let mut group = Group::new("host");
            time(&mut group, synchronized);
            assert_eq!(group.the("clock").state, state);
        }
        assert!(clock::is_synchronized().is_some());
    }

    #[test]
    fn too_few_open_files_are_a_problem() {
        for (limit, state) in [
            (Some(1024), State::Ok),
            (None, State::Ok),
            (Some(64), State::Problem),
        ] {
            let mut group = Group::new("host");
            open_files(&mut group, limit, 1);
            assert_eq!(group.the("open files").state, state);
        }
    }
}
