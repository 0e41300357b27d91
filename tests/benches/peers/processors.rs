//! Which processor runs what: the sender has one, everything else another.

use std::thread::available_parallelism;

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_setaffinity};

/// The sender's processor. It also does the kernel's part of receiving, as the virtual link has no
/// other.
pub(crate) const SENDER: usize = 0;

/// The processor of the tool under test, and of everything else.
pub(crate) const TOOL: usize = 1;

/// Binds this thread and everything that it starts to a processor.
pub(crate) fn stay_on(processor: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set).with_context(|| format!("moving to processor {processor}"))
}

/// Checks that there are enough processors.
pub(crate) fn check() -> Result<()> {
    let count = available_parallelism()?.get();
    ensure!(
        count >= 2,
        "the sender and the tool each need a processor; there is {count}"
    );
    Ok(())
}
