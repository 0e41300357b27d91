//! Shows that every thread makes progress: each one beats once per turn, and health checks read how
//! long ago that was.

pub mod pulse;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// A thread that has not turned for this long is stuck.
pub const STUCK: Duration = Duration::from_secs(10);

/// How long a thread may wait for work before it turns once more without any: well below [`STUCK`],
/// and rare enough to cost nothing.
pub const LONGEST_WAIT: Duration = Duration::from_secs(4);

/// What a thread may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// Only work: if the thread is stuck, only a restart helps.
    Work,
    /// Also the disk: while that hangs, a restart would not help, and would lose what is in memory.
    Disk,
    /// Also the kernel, which attaches programs under a lock of its own: after a restart, that would
    /// be waited for again.
    Kernel,
}

/// Held by a thread for as long as it should turn.
#[derive(Debug, Clone)]
pub struct Heartbeat(Arc<Thread>);

#[derive(Debug)]
struct Thread {
    name: String,
    waits_for: WaitsFor,
    epoch: Instant,
    /// When it last turned, in milliseconds since `epoch`.
    turned: AtomicU64,
}

/// When a thread last turned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The name of the thread.
    pub name: String,
    /// What it may wait for.
    pub waits_for: WaitsFor,
    /// How long ago it turned.
    pub ago: Duration,
}

/// The threads that should turn. Cheap to clone: clones share one list.
#[derive(Debug, Clone)]
pub struct Heartbeats {
    epoch: Instant,
    threads: Arc<Mutex<Vec<Weak<Thread>>>>,
}

impl Default for Heartbeats {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            threads: Arc::default(),
        }
    }
}

impl Heartbeat {
    /// Records that the thread turns now.
    #[inline]
    pub fn beat(&self) {
        let Thread { epoch, turned, .. } = &*self.0;
        turned.store(milliseconds(epoch.elapsed()), Ordering::Relaxed);
    }
}

impl Heartbeats {
    /// Adds a thread, which must turn from now on, until it drops the returned value.
    #[must_use]
    pub fn add(&self, name: &str, waits_for: WaitsFor) -> Heartbeat {
        let thread = Arc::new(Thread {
            name: name.to_owned(),
            waits_for,
            epoch: self.epoch,
            turned: AtomicU64::new(milliseconds(self.epoch.elapsed())),
        });
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| thread.strong_count() > 0);
        threads.push(Arc::downgrade(&thread));
        Heartbeat(thread)
    }

    /// When each thread last turned.
    #[must_use]
    pub fn turns(&self) -> Vec<Turn> {
        let now = milliseconds(self.epoch.elapsed());
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = threads.iter().filter_map(Weak::upgrade);
        let turn = |thread: Arc<Thread>| Turn {
            name: thread.name.clone(),
            waits_for: thread.waits_for,
            ago: Duration::from_millis(now.saturating_sub(thread.turned.load(Ordering::Relaxed))),
        };
        alive.map(turn).collect()
    }

    /// The threads that are stuck.
    pub fn stuck(&self) -> impl Iterator<Item = Turn> {
        let turns = self.turns().into_iter();
        turns.filter(|turn| turn.ago >= STUCK)
    }
}

#[cfg(test)]
impl Heartbeats {
    /// The heartbeats of a process that started long enough ago for a thread to be stuck.
    pub(crate) fn of_old_process() -> Self {
        Self {
            epoch: Instant::now().checked_sub(STUCK * 2).unwrap(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
impl Heartbeat {
    /// Pretends that the thread last turned when the process started.
    pub(crate) fn stop_turning(&self) {
        self.0.turned.store(0, Ordering::Relaxed);
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_known_for_as_long_as_it_holds_its_heartbeat() {
        let heartbeats = Heartbeats::default();
        let shard = heartbeats.add("shard-0", WaitsFor::Work);
        let writer = heartbeats.add("writer-0", WaitsFor::Disk);
        let names = |turns: Vec<Turn>| turns.into_iter().map(|turn| turn.name).collect::<Vec<_>>();
        assert_eq!(names(heartbeats.turns()), ["shard-0", "writer-0"]);
        drop(writer);
        assert_eq!(names(heartbeats.turns()), ["shard-0"]);
        shard.beat();
        assert_eq!(heartbeats.stuck().count(), 0);
    }

    #[test]
    fn a_thread_that_does_not_turn_is_stuck_until_it_does() {
        let heartbeats = Heartbeats::of_old_process();
        let shard = heartbeats.add("shard-0", WaitsFor::Work);
        shard.stop_turning();
        let stuck: Vec<_> = heartbeats.stuck().collect();
        assert_eq!(stuck.len(), 1);
        assert!(stuck[0].ago > STUCK);
        shard.beat();
        assert_eq!(heartbeats.stuck().count(), 0);
    }
}
