//! The privileges of this process, and the limits that apply to it.

use std::fs;

use bytesize::ByteSize;
use rustix::process::{Resource, getrlimit};

use super::finding::Group;
use crate::config::Config;
use crate::kernel::Candidate;
use crate::kernel::requirements::kernel_is_at_least;
use crate::sandbox::{self, Confinement};
use model::AttachMethod;

pub(super) fn check(config: &Config, candidate: &Candidate) -> Group {
    let mut group = Group::new("privileges");
    match candidate.is_permitted() {
        Ok(()) => {
            let needs: Vec<_> = candidate.needs().iter().map(ToString::to_string).collect();
            let (needs, method) = (needs.join(", "), candidate.method);
            group.ok("capabilities", format!("{needs}, for {method}"));
        }
        Err(diagnostic) => group.diagnostic("capabilities", diagnostic),
    }
    if candidate.method != AttachMethod::Raw {
        let limit = getrlimit(Resource::Memlock).current;
        let by_cgroup = kernel_is_at_least(5, 11);
        locked_memory(&mut group, by_cgroup, limit, needed_memory(config));
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    seccomp(&mut group, &status);
    if config.sandbox {
        sandbox(&mut group, &sandbox::try_out());
    } else {
        group.mention(SANDBOX, "off: bugs of the daemon are not confined");
    }
    group
}

const SANDBOX: &str = "sandbox";

/// Says which parts of the daemon's sandbox this kernel has, and which it lacks.
fn sandbox(group: &mut Group, confinement: &Confinement) {
    if confinement.lacking().is_empty() {
        return group.ok(SANDBOX, format!("in force for {}", confinement.in_force()));
    }
    for lacking in confinement.lacking() {
        group.warning(SANDBOX, lacking.diagnostic.clone());
    }
}

/// Bytes that maps take on top of the rings: the kernel's tables of connections.
const TABLES: u64 = 64 << 20;

fn needed_memory(config: &Config) -> u64 {
    let ring = u64::from(config.sizes.ring);
    u64::from(config.all_shards()) * (ring + ring / 4) + TABLES
}

/// Before Linux 5.11 the kernel counted maps as locked memory; since then, the memory cgroup does.
fn locked_memory(group: &mut Group, by_cgroup: bool, limit: Option<u64>, needed: u64) {
    const NAME: &str = "locked memory";
    match limit {
        _ if by_cgroup => group.ok(NAME, "its limit does not matter since Linux 5.11"),
        Some(limit) if limit < needed => group.problem(
            NAME,
            format!(
                "the limit is {}, but the maps take about {}",
                ByteSize(limit),
                ByteSize(needed)
            ),
            "run ulimit -l unlimited, or set LimitMEMLOCK=infinity in the systemd unit",
        ),
        _ => group.ok(NAME, "the limit is high enough"),
    }
}

/// Reads the mode from /proc/PID/status: 0 is none, 1 strict, 2 a filter.
fn seccomp(group: &mut Group, status: &str) {
    const NAME: &str = "seccomp";
    let mode = status
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp:"))
        .map(str::trim);
    match mode {
        Some("0") => group.ok(NAME, "no filter"),
        Some("2") => group.mention(
            NAME,
            "system calls are filtered; \"programs and maps\" above shows whether bpf(2) is allowed",
        ),
        _ => group.mention(NAME, "the kernel does not say"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;
    use crate::kernel::method::Asked;

    #[test]
    fn locked_memory_is_a_problem_of_old_kernels_only() {
        let judged = |by_cgroup, limit| {
            let mut group = Group::new("privileges");
            locked_memory(&mut group, by_cgroup, limit, 80 << 20);
            group.the("locked memory").clone()
        };
        assert_eq!(judged(true, Some(65536)).state, State::Ok);
        assert_eq!(judged(false, None).state, State::Ok);
        assert_eq!(judged(false, Some(1 << 30)).state, State::Ok);
        let low = judged(false, Some(65536));
        assert_eq!(low.state, State::Problem);
        assert!(low.found.contains("64.0 KiB") && low.found.contains("80.0 MiB"));
        assert!(low.help.unwrap().contains("LimitMEMLOCK=infinity"));
    }

    #[test]
    fn the_sandbox_can_be_tried_and_declined() {
        let found = |flags: &[&str]| {
            let config = super::super::tests::config(flags);
            let candidate = Candidate::find(Asked {
                method: Some(AttachMethod::Tcx),
                watches_sockets: false,
                hardware_clock: false,
                datagrams: false,
            });
            check(&config, &candidate.unwrap()).the(SANDBOX).clone()
        };
        let filters = || {
            let status = fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = status
                .lines()
                .find(|line| line.starts_with("Seccomp_filters:"));
            line.unwrap().to_owned()
        };
        let before = filters();
        assert!(found(&[]).found.contains("system calls"));
        // Only the thread that tried it is confined.
        assert_eq!(filters(), before);
        assert_eq!(found(&["--sandbox=off"]).state, State::Note);
    }

    #[test]
    fn a_seccomp_filter_is_mentioned() {
        for (status, state) in [
            ("Name:\tx\nSeccomp:\t0\nSeccomp_filters:\t0\n", State::Ok),
            ("Seccomp:\t2\nSeccomp_filters:\t1\n", State::Note),
            ("", State::Note),
        ] {
            let mut group = Group::new("privileges");
            seccomp(&mut group, status);
            assert_eq!(group.the("seccomp").state, state, "{status}");
        }
    }
}
