//! What we need of the kernel and of our privileges; each thing that is missing has a name.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, Error, Result};
use aya::util::KernelVersion;

use model::Diagnostic;

/// CAP_SYS_ADMIN (linux/capability.h), which contains the two that were split from it in 5.8.
const CAP_SYS_ADMIN: u32 = 21;

/// What a process may be permitted to do (linux/capability.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// To load and attach programs that see a network's packets and sockets.
    NetAdmin = 12,
    /// To open packet sockets.
    NetRaw = 13,
    /// To load programs that may read what they can reach.
    Perfmon = 38,
    /// To load programs.
    Bpf = 39,
}

impl fmt::Display for Capability {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::NetRaw => "CAP_NET_RAW",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        })
    }
}

/// What this process is permitted to do: a bit for each capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// This process's.
    ///
    /// # Errors
    /// When /proc does not tell.
    pub fn own() -> Result<Self> {
        let status =
            fs::read_to_string("/proc/self/status").context("reading /proc/self/status")?;
        Self::parse(&status)
    }

    /// Of a process's /proc/PID/status.
    pub(super) fn parse(status: &str) -> Result<Self> {
        let effective = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .context("/proc/self/status has no CapEff")?;
        let effective = u64::from_str_radix(effective.trim(), 16).context("reading CapEff")?;
        Ok(Self(effective))
    }

    /// Whether it is among them.
    #[must_use]
    pub const fn have(self, capability: Capability) -> bool {
        let contained = matches!(capability, Capability::Perfmon | Capability::Bpf);
        self.0 & (1 << capability as u32) != 0 || contained && self.0 & (1 << CAP_SYS_ADMIN) != 0
    }

    /// Checks that these, and those that every program needs, are among them.
    ///
    /// # Errors
    /// One line for all that are missing, with what to do.
    pub fn need(self, more: &[Capability]) -> Result<(), Diagnostic> {
        let needed = more.iter().chain(&[Capability::Bpf, Capability::Perfmon]);
        let missing: Vec<_> = needed
            .filter(|&&needed| !self.have(needed))
            .map(ToString::to_string)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing = missing.join(", ");
        Err(Diagnostic::new(
            format!("not permitted to load eBPF programs: {missing} missing"),
            "run as root, or grant it",
        ))
    }
}

/// Checks that this kernel can run our programs.
///
/// # Errors
/// What it lacks.
pub fn check_kernel() -> Result<()> {
    let current = KernelVersion::current().context("asking for the kernel's version")?;
    if kernel_is_at_least(5, 8) {
        return Ok(());
    }
    let found = format!("this kernel is {current:?}, and BPF ring buffers need Linux 5.8");
    Err(Diagnostic::new(found, "run on a newer kernel").into())
}

/// Whether the running kernel is of this version or a later one; one that cannot be asked is not.
#[must_use]
pub fn kernel_is_at_least(major: u8, minor: u8) -> bool {
    KernelVersion::current().is_ok_and(|current| current >= KernelVersion::new(major, minor, 0))
}

/// Checks that this kernel shows programs the NIC's times.
///
/// # Errors
/// When it does not, and what that means.
pub fn shows_hardware_times() -> Result<(), Diagnostic> {
    if kernel_is_at_least(5, 16) {
        return Ok(());
    }
    Err(no_hardware_times())
}

fn no_hardware_times() -> Diagnostic {
    Diagnostic::new(
        "this kernel does not show hardware timestamps to programs (Linux 5.16 does): packets have \
         the kernel's times",
        "leave --timestamp hardware out, or run on a newer kernel",
    )
}

/// Whether the kernel refused something with an error of this kind.
#[must_use]
pub fn refused_with(error: &Error, kind: io::ErrorKind) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref());
    causes.any(|cause: &io::Error| cause.kind() == kind)
}

/// Where the root of the cgroup2 hierarchy is mounted.
///
/// # Errors
/// When it is mounted nowhere that we can see.
pub fn cgroup2_root() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("reading /proc/self/mounts")?;
    let missing = || {
        Diagnostic::new(
            "no cgroup2 filesystem is mounted, and the kernel flow source needs one",
            "mount -t cgroup2 none /sys/fs/cgroup, or use --flow-source tcpinfo",
        )
    };
    Ok(find_cgroup2(&mounts).ok_or_else(missing)?)
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

    fn need(status: &str, more: &[Capability]) -> Result<(), Diagnostic> {
        Capabilities::parse(status).unwrap().need(more)
    }

    #[test]
    fn each_missing_capability_is_named() {
        let admin = &[Capability::NetAdmin];
        let none = need("CapEff:\t0000000000000000\n", admin).unwrap_err();
        let none = none.to_string();
        for name in ["CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON"] {
            assert!(none.contains(name), "{none}");
        }
        let no_net = need("CapEff:\t000000c000000000\n", admin).unwrap_err();
        assert!(no_net.to_string().contains(": CAP_NET_ADMIN missing"));
        let no_raw = need("CapEff:\t000000c000001000\n", &[Capability::NetRaw]).unwrap_err();
        assert!(no_raw.to_string().contains(": CAP_NET_RAW missing"));
        // Split capabilities, and the old one that contains them.
        need("CapEff:\t000000c000001000\n", admin).unwrap();
        need("CapEff:\t0000000000201000\n", admin).unwrap();
    }

    #[test]
    fn a_kernel_that_shows_no_hardware_times_is_noted_with_the_consequence() {
        let found = no_hardware_times();
        assert!(found.problem.contains("kernel's times"), "{found}");
        assert!(found.help.contains("--timestamp hardware"), "{found}");
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
