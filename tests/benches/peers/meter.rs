//! The processor time of a process and its threads, also after its end: by a cgroup of its own.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use end_to_end::world::{cgroup, wait};

/// A tool that uses less than the first time in the second has nothing left to do.
const QUIET: (Duration, Duration) = (Duration::from_millis(3), Duration::from_millis(150));

/// How long a tool may take to become quiet.
const QUIET_WITHIN: Duration = Duration::from_secs(60);

/// A cgroup; removed on drop.
#[derive(Debug)]
pub(crate) struct Meter(PathBuf);

impl Meter {
    /// Begins to measure a process.
    pub(crate) fn attach(process: u32) -> Result<Self> {
        let path = cgroup::root()?.join(format!("packet-headers-bench-{process}"));
        fs::create_dir(&path).with_context(|| format!("making the cgroup {path:?}"))?;
        let meter = Self(path);
        let members = meter.0.join("cgroup.procs");
        fs::write(&members, process.to_string()).with_context(|| format!("{members:?}"))?;
        Ok(meter)
    }

    /// The time that it has used since, in user space and in the kernel.
    pub(crate) fn used(&self) -> Result<Duration> {
        let path = self.0.join("cpu.stat");
        let text = fs::read_to_string(&path).with_context(|| format!("{path:?}"))?;
        let found = text
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "));
        let microseconds = found.with_context(|| format!("no usage_usec in {path:?}"))?;
        Ok(Duration::from_micros(microseconds.parse()?))
    }

    /// Waits until the process has nothing left to do.
    pub(crate) fn wait_until_quiet(&self) -> Result<()> {
        wait::within(QUIET_WITHIN, "the tool is done", || {
            let before = self.used()?;
            std::thread::sleep(QUIET.1);
            Ok((self.used()? - before < QUIET.0).then_some(()))
        })
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            eprintln!("removing the cgroup {:?}: {error}", self.0);
        }
    }
}
