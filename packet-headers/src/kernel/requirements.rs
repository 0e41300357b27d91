//! What we need of the kernel and of our privileges; each thing that is missing has a name.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use aya::util::KernelVersion;

/// Capability bits (linux/capability.h).
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Checks that this kernel and these privileges can load and attach our programs.
///
/// # Errors
/// One line for what is missing, with what to do.
pub fn check() -> Result<()> {
    let current = KernelVersion::current().context("asking for the kernel's version")?;
    ensure!(
        kernel_is_at_least(5, 8),
        "this kernel is {current:?}, and BPF ring buffers need Linux 5.8: run on a newer kernel"
    );
    let status = fs::read_to_string("/proc/self/status").context("reading /proc/self/status")?;
    check_capabilities(&status)
}

/// Whether the running kernel is of this version or a later one; one that cannot be asked is not.
#[must_use]
pub fn kernel_is_at_least(major: u8, minor: u8) -> bool {
    KernelVersion::current().is_ok_and(|current| current >= KernelVersion::new(major, minor, 0))
}

/// CAP_SYS_ADMIN contains the two that were split from it in 5.8.
fn check_capabilities(status: &str) -> Result<()> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .context("/proc/self/status has no CapEff")?;
    let effective = u64::from_str_radix(effective.trim(), 16).context("reading CapEff")?;
    let has = |bit: u32| effective & (1 << bit) != 0;
    let mut missing = Vec::new();
    if !has(CAP_NET_ADMIN) {
        missing.push("CAP_NET_ADMIN");
    }
    if !has(CAP_SYS_ADMIN) {
        if !has(CAP_BPF) {
            missing.push("CAP_BPF");
        }
        if !has(CAP_PERFMON) {
            missing.push("CAP_PERFMON");
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "not permitted to load eBPF programs: {} missing; run as root, or grant it",
        missing.join(", ")
    )
}

/// Where the root of the cgroup2 hierarchy is mounted.
///
/// # Errors
/// When it is mounted nowhere that we can see.
pub fn cgroup2_root() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("reading /proc/self/mounts")?;
    find_cgroup2(&mounts).context(
        "no cgroup2 filesystem is mounted, and the kernel flow source needs one: \
         mount -t cgroup2 none /sys/fs/cgroup, or use --flow-source tcpinfo",
    )
}

/// The mount point in a line of proc_pid_mounts(5): `none /sys/fs/cgroup cgroup2 rw 0 0`.
fn find_cgroup2(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (path, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_capability_is_named() {
        let none = check_capabilities("CapEff:\t0000000000000000\n").unwrap_err();
        let none = none.to_string();
        for name in ["CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON"] {
            assert!(none.contains(name), "{none}");
        }
        let no_net = check_capabilities("CapEff:\t000000c000000000\n").unwrap_err();
        assert!(no_net.to_string().contains(": CAP_NET_ADMIN missing"));
        // Split capabilities, and the old one that contains them.
        check_capabilities("CapEff:\t000000c000001000\n").unwrap();
        check_capabilities("CapEff:\t0000000000201000\n").unwrap();
    }

    #[test]
    fn cgroup2_is_found_on_unified_and_hybrid_hosts() {
        let hybrid = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let path = find_cgroup2(hybrid).unwrap();
        assert_eq!(path, PathBuf::from("/sys/fs/cgroup/unified"));
        assert_eq!(find_cgroup2("proc /proc proc rw 0 0\n"), None);
    }
}
