//! What waits for a writer: how much, and for how long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::Count;

/// What waits for a writer. Whoever queues and the writer change it, anybody reads it.
#[derive(Debug)]
pub struct Backlog {
    bytes: Count,
    epoch: Instant,
    /// When the oldest of it was queued, in microseconds since `epoch`.
    oldest: AtomicU64,
    /// Until when the writer may take for all of it, in microseconds since `epoch`.
    deadline: AtomicU64,
}

impl Default for Backlog {
    fn default() -> Self {
        Self {
            bytes: Count::default(),
            epoch: Instant::now(),
            oldest: AtomicU64::new(0),
            deadline: AtomicU64::new(u64::MAX),
        }
    }
}

impl Backlog {
    /// So many bytes are queued now.
    pub fn add(&self, bytes: u64, now: Instant) {
        if self.bytes.get() == 0 {
            self.begin(now);
        }
        self.bytes.add(bytes);
    }

    /// The writer begins with what was queued at that time, after everything that was queued before.
    pub fn begin(&self, queued: Instant) {
        self.oldest.store(self.micros(queued), Ordering::Relaxed);
    }

    /// Nobody waits for the writer longer than until then.
    pub fn end_by(&self, deadline: Instant) {
        self.deadline
            .store(self.micros(deadline), Ordering::Relaxed);
    }

    /// Whether there is such a time: the daemon stops.
    #[must_use]
    pub fn ends(&self) -> bool {
        self.deadline.load(Ordering::Relaxed) != u64::MAX
    }

    /// Whether the daemon stops, and there is at least this much time.
    #[must_use]
    pub fn ends_after(&self, span: Duration, now: Instant) -> bool {
        self.ends() && !self.is_late(now + span)
    }

    /// Whether nobody waits for the writer any more.
    #[must_use]
    pub fn is_late(&self, now: Instant) -> bool {
        self.micros(now) > self.deadline.load(Ordering::Relaxed)
    }

    /// A moment, in microseconds since `epoch`.
    fn micros(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.epoch);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    /// So many bytes are written, or given up.
    pub fn sub(&self, bytes: u64) {
        self.bytes.sub(bytes);
    }

    /// How many bytes wait.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// How long the oldest of it has been waiting.
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        if self.bytes() == 0 {
            return Duration::ZERO;
        }
        let oldest = Duration::from_micros(self.oldest.load(Ordering::Relaxed));
        now.saturating_duration_since(self.epoch)
            .saturating_sub(oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_late_only_after_a_deadline() {
        let backlog = Backlog::default();
        let at = |seconds| backlog.epoch + Duration::from_secs(seconds);
        assert!(!backlog.is_late(at(1_000_000)) && !backlog.ends());
        assert!(!backlog.ends_after(Duration::ZERO, at(0)));
        backlog.end_by(at(7));
        assert!(backlog.ends());
        let after = |now| backlog.ends_after(Duration::from_secs(2), at(now));
        assert_eq!([4, 5, 6].map(after), [true, true, false]);
        assert_eq!(
            [6, 7, 8].map(|it| backlog.is_late(at(it))),
            [false, false, true]
        );
    }

    #[test]
    fn it_is_as_old_as_what_waits_longest() {
        let backlog = Backlog::default();
        let at = |seconds| backlog.epoch + Duration::from_secs(seconds);
        let age = |seconds| backlog.age(at(seconds)).as_secs();
        assert_eq!(age(5), 0);
        backlog.add(10, at(5));
        backlog.add(20, at(8));
        assert_eq!((backlog.bytes(), age(9)), (30, 4));
        backlog.begin(at(5));
        backlog.sub(10);
        backlog.begin(at(8));
        assert_eq!((backlog.bytes(), age(9)), (20, 1));
        backlog.sub(20);
        assert_eq!(age(100), 0);
        backlog.add(1, at(100));
        assert_eq!(age(101), 1);
    }
}
