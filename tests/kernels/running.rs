//! The running kernel: which features it has, and what is noted about it.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write as _;

use anyhow::{Context, Result, ensure};

/// A feature that kernels have since some version.
pub(crate) struct Feature {
    since: (u32, u32),
    /// What the daemon prints where it is missing.
    named_by: &'static str,
}

impl Feature {
    /// Programs can read the network namespace of a socket.
    pub(crate) const NETNS_COOKIE: Self = Self {
        since: (5, 15),
        named_by: "Linux 5.15",
    };
    /// Programs can read the NIC's timestamps.
    pub(crate) const HARDWARE_TIMESTAMPS: Self = Self {
        since: (5, 16),
        named_by: "Linux 5.16",
    };
    /// Classifiers can be attached as links.
    pub(crate) const TCX: Self = Self {
        since: (6, 6),
        named_by: "Linux 6.6",
    };

    /// Whether the running kernel has it.
    pub(crate) fn is_here(&self) -> Result<bool> {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let mut numbers = release.split('.').map(str::parse);
        let version = numbers.next().zip(numbers.next());
        let (major, minor) = version.with_context(|| release.clone())?;
        Ok((major?, minor?) >= self.since)
    }

    /// Checks that the daemon's output names it if, and only if, the kernel lacks it.
    pub(crate) fn is_named_where_it_lacks(&self, transcript: &str) -> Result<()> {
        let named = transcript.contains(self.named_by);
        ensure!(named != self.is_here()?, "{}: {transcript}", self.named_by);
        Ok(())
    }
}

/// Whether this host allows a socket filter of several thousand instructions of 8 bytes each.
pub(crate) fn has_room_for_large_filters() -> Result<bool> {
    const ENOUGH: usize = 64 << 10;
    let most = fs::read_to_string("/proc/sys/net/core/optmem_max")?;
    Ok(most.trim().parse::<usize>()? >= ENOUGH)
}

/// Notes how the daemon captured, and its warnings, in the file `PACKET_HEADERS_FACTS`.
pub(crate) fn note(test: &str, transcript: &str) -> Result<()> {
    let Some(path) = env::var_os("PACKET_HEADERS_FACTS") else {
        return Ok(());
    };
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    for line in transcript.lines() {
        for mark in ["packets  ", "WARN ", "ERROR "] {
            if let Some((_, fact)) = line.split_once(mark) {
                writeln!(file, "{test}\t{fact}")?;
            }
        }
    }
    Ok(())
}
