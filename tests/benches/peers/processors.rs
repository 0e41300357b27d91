//! Which processor runs what: a sender has one, everything else another; several senders take turns on
//! all of them.

use std::sync::OnceLock;
use std::thread::available_parallelism;

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_setaffinity};

/// How many processors there are: counted before this program stays on one of them.
static COUNT: OnceLock<usize> = OnceLock::new();

/// The sender's processor. It also does the kernel's part of receiving, as the virtual link has no
/// other.
pub(crate) const SENDER: usize = 0;

/// The processor of the tool under test, and of everything else.
pub(crate) const TOOL: usize = 1;

/// The processor of one of so many producers.
pub(crate) fn of_producer(producer: u32, producers: u32) -> Result<usize> {
    if producers == 1 {
        return Ok(SENDER);
    }
    let count = COUNT.get().context("the processors were not counted")?;
    Ok(producer as usize % count)
}

/// Binds this thread and everything that it starts to a processor.
pub(crate) fn stay_on(processor: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set).with_context(|| format!("moving to processor {processor}"))
}

/// Checks that there are enough processors.
pub(crate) fn check() -> Result<()> {
    let count = *COUNT.get_or_init(|| available_parallelism().map_or(1, Into::into));
    ensure!(
        count >= 2,
        "the sender and the tool each need a processor; there is {count}"
    );
    Ok(())
}
