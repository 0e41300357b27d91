//! Other properties of this host: its clock, and its limit of open files.

use super::clock;
use super::finding::Group;
use crate::clock::find_stamping_clock;
use crate::config::Config;
use crate::store::open_files;

pub(super) fn check(config: &Config) -> Group {
    let mut group = Group::new("host");
    time(&mut group, clock::is_synchronized());
    if let Err(unknown) = find_stamping_clock() {
        group.diagnostic("time namespace", unknown);
    }
    limit_of_files(&mut group, open_files::limit(), config.all_shards());
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

fn limit_of_files(group: &mut Group, limit: Option<u64>, shards: u32) {
    const NAME: &str = "open files";
    let needed = open_files::needed(shards);
    match limit {
        Some(limit) if limit < needed => group.problem(
            NAME,
            format!("the limit is {limit}, but at least {needed} are needed"),
            "ulimit -Hn 1024, or LimitNOFILE=1024 in the systemd unit",
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
            limit_of_files(&mut group, limit, 1);
            assert_eq!(group.the("open files").state, state);
        }
    }
}
