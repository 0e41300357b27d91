//! The kernel that runs, what it has, and what is to be told of it.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write as _;

use anyhow::{Context, Result, ensure};

/// Something that kernels have since some version.
pub(crate) struct Feature {
    since: (u32, u32),
    /// What the daemon says where it is not.
    said: &'static str,
}

impl Feature {
    /// A program can ask for the network namespace of a socket.
    pub(crate) const NETNS_COOKIE: Self = Self {
        since: (5, 15),
        said: "Linux 5.15",
    };
    /// A program can see the NIC's times.
    pub(crate) const HARDWARE_TIMESTAMPS: Self = Self {
        since: (5, 16),
        said: "Linux 5.16",
    };
    /// Classifiers can be attached as links.
    pub(crate) const TCX: Self = Self {
        since: (6, 6),
        said: "Linux 6.6",
    };

    /// Whether the running kernel has it.
    pub(crate) fn is_here(&self) -> Result<bool> {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let mut numbers = release.split('.').map(str::parse);
        let version = numbers.next().zip(numbers.next());
        let (major, minor) = version.with_context(|| release.clone())?;
        Ok((major?, minor?) >= self.since)
    }

    /// Checks that the daemon's output names it where the kernel lacks it, and only there.
    pub(crate) fn is_named_where_it_lacks(&self, transcript: &str) -> Result<()> {
        let named = transcript.contains(self.said);
        ensure!(named != self.is_here()?, "{}: {transcript}", self.said);
        Ok(())
    }
}

/// Notes how the daemon captured and what it warned of, in the file `PACKET_HEADERS_FACTS`.
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
