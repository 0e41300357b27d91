//! What may change while a shard works: the rules for its connections.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use flow_table::FlowTable;
use model::{BootNanos, Timing, Wanted};

/// The rules for a shard's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Their durations.
    pub(crate) timing: Timing,
    /// Which are wanted, by who sent the SYN.
    pub(crate) wanted: Wanted,
    /// When other filters came into force than before, if ever.
    pub(crate) refiltered: Option<BootNanos>,
}

impl Rules {
    /// The same, for flows that may be silent for so long.
    pub(crate) const fn with_silence(self, idle: Duration) -> Self {
        let timing = Timing {
            idle,
            ..self.timing
        };
        Self { timing, ..self }
    }

    /// Puts them in force.
    pub(super) fn apply(&self, table: &mut FlowTable) {
        table.set_timing(self.timing);
        if let Some(since) = self.refiltered {
            table.set_wanted(self.wanted, since);
        }
    }
}

/// Rules that a shard is to take over.
#[derive(Debug, Default)]
pub(crate) struct RulesChange {
    /// Whether there are any: a shard looks in every turn.
    waits: AtomicBool,
    rules: Mutex<Option<Rules>>,
    taken: Condvar,
}

impl RulesChange {
    /// Leaves rules for the shard. It takes them over when it has taken all packets that passed before.
    pub(crate) fn leave(&self, rules: Rules) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = Some(rules);
        self.waits.store(true, Ordering::Release);
    }

    /// Waits until it has, for so long at most: its thread may be held up.
    pub(crate) fn wait(&self, most: Duration) {
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = |rules: &mut Option<Rules>| rules.is_some();
        let waited = self.taken.wait_timeout_while(rules, most, wait);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether there are rules to be taken over.
    pub(super) fn waits(&self) -> bool {
        self.waits.load(Ordering::Acquire)
    }

    /// Takes them over, once.
    pub(super) fn take(&self) -> Option<Rules> {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        self.waits.store(false, Ordering::Release);
        self.taken.notify_all();
        rules.take()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn the_last_rules_are_taken_over_once() {
        let rules = |seconds| Rules {
            timing: Timing {
                uuid_wait: Duration::ZERO,
                capture: Duration::ZERO,
                idle: Duration::from_secs(seconds),
                linger: Duration::ZERO,
                spill: Duration::ZERO,
            },
            wanted: Wanted::All,
            refiltered: None,
        };
        let change = RulesChange::default();
        change.wait(Duration::from_secs(60));
        assert_eq!((change.waits(), change.take()), (false, None));
        change.leave(rules(1));
        change.leave(rules(2));
        assert!(change.waits());
        thread::scope(|scope| {
            let waiting = scope.spawn(|| change.wait(Duration::from_secs(60)));
            assert_eq!(change.take(), Some(rules(2)));
            waiting.join().unwrap();
        });
        assert_eq!((change.waits(), change.take()), (false, None));
    }
}
