//! What a process and its threads use of a processor, also after its end: by a cgroup of its own.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use end_to_end::world::wait;

/// A tool that has used less than this in that time has nothing left to do.
const QUIET: (Duration, Duration) = (Duration::from_millis(3), Duration::from_millis(150));

/// How long a tool may take to become quiet.
const LIMIT: Duration = Duration::from_secs(60);

/// A cgroup; removed on drop.
#[derive(Debug)]
pub(crate) struct Meter(PathBuf);

impl Meter {
    /// Begins to count what a process uses.
    pub(crate) fn attach(process: u32) -> Result<Self> {
        let path = root()?.join(format!("packet-headers-bench-{process}"));
        fs::create_dir(&path).with_context(|| format!("making the cgroup {path:?}"))?;
        let meter = Self(path);
        let members = meter.0.join("cgroup.procs");
        fs::write(&members, process.to_string()).with_context(|| format!("{members:?}"))?;
        Ok(meter)
    }

    /// What it has used since, in user space and in the kernel.
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
        wait::until("the tool is done", LIMIT, || {
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

/// Where cgroup2 is mounted.
fn root() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let found = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let place = fields.next()?;
        (fields.next()? == "cgroup2").then_some(place)
    });
    found.map(PathBuf::from).context("no cgroup2 is mounted")
}
