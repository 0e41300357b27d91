//! Lets everything that makes load pause together, and end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The time between two looks at the gate.
const PERIOD: Duration = Duration::from_millis(10);

/// Where everything that makes load passes between two pieces of work.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    closed: AtomicBool,
    over: AtomicBool,
}

impl Gate {
    /// Waits while the gate is closed; returns whether there is to be more work.
    pub(crate) fn pass(&self) -> bool {
        while self.closed.load(Ordering::Relaxed) && !self.is_over() {
            thread::sleep(PERIOD);
        }
        !self.is_over()
    }

    /// Passes `span` from now on.
    pub(crate) fn pass_after(&self, span: Duration) -> bool {
        self.pass_at(Instant::now() + span)
    }

    /// Passes at a moment.
    pub(crate) fn pass_at(&self, at: Instant) -> bool {
        while !self.is_over() {
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::sleep(left.min(PERIOD));
        }
        self.pass()
    }

    /// Closes the gate: there is no new work until it is opened.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Opens it again.
    pub(crate) fn open(&self) {
        self.closed.store(false, Ordering::Relaxed);
    }

    /// Ends all work.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Whether all work has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Ends all work when it is dropped: also when what it was done for has failed.
pub(crate) struct EndsWork<'a>(pub(crate) &'a Gate);

impl Drop for EndsWork<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
