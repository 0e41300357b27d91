//! What the daemon needs from the kernel, and which capabilities.

use std::fmt;
use std::fs;
use std::io;

use anyhow::{Context as _, Error, Result};
use aya::util::KernelVersion;

use model::Diagnostic;

/// CAP_SYS_ADMIN (linux/capability.h), which contains the two that were split from it in 5.8.
const CAP_SYS_ADMIN: u32 = 21;

/// Capabilities (linux/capability.h), and what the daemon needs them for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Loading and attaching programs that see packets and sockets.
    NetAdmin = 12,
    /// Opening packet sockets.
    NetRaw = 13,
    /// Relaxed checks of the verifier, without which it refuses our programs.
    Perfmon = 38,
    /// Loading programs.
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

/// The effective capabilities of a process, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// The capabilities of this process.
    ///
    /// # Errors
    /// When /proc/self/status cannot be read.
    pub fn own() -> Result<Self> {
        let status =
            fs::read_to_string("/proc/self/status").context("reading /proc/self/status")?;
        Self::parse(&status)
    }

    /// Parses /proc/PID/status.
    pub(super) fn parse(status: &str) -> Result<Self> {
        let effective = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .context("/proc/self/status has no CapEff")?;
        let effective = u64::from_str_radix(effective.trim(), 16).context("parsing CapEff")?;
        Ok(Self(effective))
    }

    /// Whether a capability is among these.
    #[must_use]
    pub const fn have(self, capability: Capability) -> bool {
        let contained = matches!(capability, Capability::Perfmon | Capability::Bpf);
        self.0 & (1 << capability as u32) != 0 || contained && self.0 & (1 << CAP_SYS_ADMIN) != 0
    }

    /// Checks that `more`, and the capabilities that every program needs, are among these.
    ///
    /// # Errors
    /// One diagnostic for all that are missing.
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
            "run as root, or grant what is missing",
        ))
    }
}

/// Checks that this kernel can run our programs.
///
/// # Errors
/// A [`Diagnostic`] when it is too old.
pub fn check_kernel() -> Result<()> {
    if kernel_is_at_least(5, 8) {
        return Ok(());
    }
    let release = fs::read_to_string(RELEASE).with_context(|| format!("reading {RELEASE}"))?;
    let release = release.trim();
    let found = format!("this kernel is Linux {release}, but BPF ring buffers need Linux 5.8");
    Err(Diagnostic::new(found, "run on a newer kernel").into())
}

/// The file with the running kernel's version, as `uname -r` prints it.
const RELEASE: &str = "/proc/sys/kernel/osrelease";

/// Whether the running kernel is of this version or later; false if its version cannot be read.
#[must_use]
pub fn kernel_is_at_least(major: u8, minor: u8) -> bool {
    KernelVersion::current().is_ok_and(|current| current >= KernelVersion::new(major, minor, 0))
}

/// Checks that this kernel shows NIC timestamps to programs.
///
/// # Errors
/// When it does not, what that means and what to do.
pub fn shows_hardware_times() -> Result<(), Diagnostic> {
    if kernel_is_at_least(5, 16) {
        return Ok(());
    }
    Err(no_hardware_times())
}

fn no_hardware_times() -> Diagnostic {
    Diagnostic::new(
        "this kernel does not show hardware timestamps to programs (Linux 5.16 does): packets get \
         the kernel's timestamps",
        "omit --timestamp hardware, or run on a newer kernel",
    )
}

/// Whether the kernel refused something with an error of this kind.
#[must_use]
pub fn refused_with(error: &Error, kind: io::ErrorKind) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref());
    causes.any(|cause: &io::Error| cause.kind() == kind)
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
        assert!(found.problem.contains("kernel's timestamps"), "{found}");
        assert!(found.help.contains("--timestamp hardware"), "{found}");
    }
}
