//! Where this machine has its cgroup2 hierarchies.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// Every place where cgroup2 is mounted, in the order of their mounting.
///
/// # Errors
/// /proc is not mounted.
pub fn mounts() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let cgroup2 = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let place = words.next()?;
        (words.next()? == "cgroup2").then(|| place.into())
    });
    Ok(cgroup2.collect())
}

/// The first of [`mounts`].
///
/// # Errors
/// There is none.
pub fn root() -> Result<PathBuf> {
    let first = mounts()?.into_iter().next();
    first.context("this machine has no cgroup2")
}
