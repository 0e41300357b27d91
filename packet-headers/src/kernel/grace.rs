//! Waits for programs that run.

use std::thread;
use std::time::Duration;

use rustix::thread::{MembarrierCommand, membarrier};

/// For longer than this no program runs, unless it was interrupted.
const LONG_RUN: Duration = Duration::from_millis(100);

/// Waits until every program that runs now has ended, and all that it has stored can be seen; what this
/// thread has stored before is seen by every program that begins later. Some ten milliseconds.
///
/// Programs run under RCU, and this barrier is one grace period (kernel/sched/membarrier.c).
pub(crate) fn wait_for_programs() {
    // Not where processors are left alone for long (nohz_full).
    if membarrier(MembarrierCommand::Global).is_err() {
        thread::sleep(LONG_RUN);
    }
}
