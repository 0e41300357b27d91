//! What may change while a shard works: the durations of its connections.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use model::Timing;

/// Durations that a shard is to take over.
#[derive(Debug, Default)]
pub(crate) struct TimingChange {
    /// Whether there are any: a shard looks in every turn.
    waits: AtomicBool,
    timing: Mutex<Option<Timing>>,
}

impl TimingChange {
    /// Leaves durations for the shard.
    pub(crate) fn leave(&self, timing: Timing) {
        *self.timing.lock().unwrap_or_else(PoisonError::into_inner) = Some(timing);
        self.waits.store(true, Ordering::Release);
    }

    /// Takes them over, once.
    pub(super) fn take(&self) -> Option<Timing> {
        if !self.waits.load(Ordering::Relaxed) || !self.waits.swap(false, Ordering::Acquire) {
            return None;
        }
        let mut timing = self.timing.lock().unwrap_or_else(PoisonError::into_inner);
        timing.take()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_last_durations_are_taken_over_once() {
        let timing = |seconds| Timing {
            uuid_wait: Duration::ZERO,
            capture: Duration::ZERO,
            idle: Duration::from_secs(seconds),
            linger: Duration::ZERO,
            spill: Duration::ZERO,
        };
        let change = TimingChange::default();
        assert_eq!(change.take(), None);
        change.leave(timing(1));
        change.leave(timing(2));
        assert_eq!(change.take(), Some(timing(2)));
        assert_eq!(change.take(), None);
    }
}
