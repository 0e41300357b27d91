//! How many packets this host has lost, and when: a file says how many were lost while it grew.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use model::{Count, WallNanos};

/// How many changes are remembered. When packets are lost all the time, these cover half an hour,
/// because losses are noted twice a second.
const MEMORY: usize = 4096;

/// The losses of the kernel programs when last noted, and how the sum of all losses grew.
#[derive(Debug, Default)]
pub struct Losses {
    rings: Count,
    /// Each sum, and when it was first noted. Empty before the first loss.
    history: Mutex<VecDeque<(WallNanos, u64)>>,
}

impl Losses {
    /// Notes how many packets the kernel programs have lost so far, and how many were lost `beside`
    /// them.
    pub fn note(&self, now: WallNanos, rings: u64, beside: u64) {
        self.rings.set(rings);
        let sum = rings + beside;
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        if history.back().map_or(0, |&(_, last)| last) >= sum {
            return;
        }
        if history.len() >= MEMORY {
            history.pop_front();
        }
        history.push_back((now, sum));
    }

    /// The losses of the kernel programs when they were last noted.
    #[must_use]
    pub fn rings(&self) -> u64 {
        self.rings.get()
    }

    /// The sum of all losses that had been noted by a moment.
    #[must_use]
    pub fn before(&self, moment: WallNanos) -> u64 {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let later = history.partition_point(|&(seen, _)| seen <= moment);
        let known = later.checked_sub(1).and_then(|last| history.get(last));
        known.map_or(0, |&(_, sum)| sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_known_by_the_moment_before_which_they_were() {
        let losses = Losses::default();
        let noted = [(10, 0, 0), (20, 3, 0), (30, 3, 0), (40, 3, 4), (50, 9, 4)];
        for (now, rings, beside) in noted {
            losses.note(WallNanos(now), rings, beside);
        }
        let sums = [5, 19, 20, 39, 40, 45, 60].map(|moment| losses.before(WallNanos(moment)));
        assert_eq!(sums, [0, 0, 3, 3, 7, 7, 13]);
        assert_eq!(losses.rings(), 9);
    }

    #[test]
    fn memory_is_bounded() {
        let losses = Losses::default();
        for n in 1..=10_000 {
            losses.note(WallNanos(n), n, 0);
        }
        assert_eq!(losses.history.lock().unwrap().len(), MEMORY);
        assert_eq!(losses.before(WallNanos(10_000)), 10_000);
    }
}
