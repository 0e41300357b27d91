//! A histogram of durations. An observation takes two additions and no lock.

use std::time::{Duration, Instant};

use model::Count;

/// How many buckets there are. The first takes a microsecond, each further one twice as much as the
/// one before: up to 8.4 seconds.
pub const BUCKETS: usize = 24;

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Durations {
    buckets: [Count; BUCKETS],
    longer: Count,
    nanos: Count,
}

impl Durations {
    /// Runs `work`, and observes how long it takes.
    pub fn observe<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.add(begun.elapsed());
        done
    }

    /// Observes a duration.
    pub(crate) fn add(&self, took: Duration) {
        let micros = took.as_nanos().div_ceil(1000).max(1);
        // The first bucket whose bound is not exceeded.
        let bucket = micros.next_power_of_two().ilog2() as usize;
        let bucket = self.buckets.get(bucket).unwrap_or(&self.longer);
        bucket.add(1);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.add(nanos);
    }

    /// The upper bound of each bucket, and how many observations are within it.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.buckets
            .iter()
            .enumerate()
            .scan(0, |sum, (at, bucket)| {
                *sum += bucket.get();
                Some((Duration::from_micros(1 << at), *sum))
            })
    }

    /// How many observations exceed the last bucket.
    #[must_use]
    pub fn longer(&self) -> u64 {
        self.longer.get()
    }

    /// The sum of all observations.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanos.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_in_the_first_bucket_that_holds_it() {
        let durations = Durations::default();
        for micros in [0, 1, 2, 3, 1 << 23] {
            durations.add(Duration::from_micros(micros));
        }
        durations.add(Duration::from_nanos(1_000_001));
        durations.add(Duration::from_secs(9));
        let counts: Vec<_> = durations.cumulative().collect();
        let up_to = |micros| {
            let bound = Duration::from_micros(micros);
            counts.iter().find(|(at, _)| *at == bound).unwrap().1
        };
        assert_eq!((up_to(1), up_to(2), up_to(4)), (2, 3, 4));
        assert_eq!((up_to(512), up_to(1024)), (4, 5));
        assert_eq!((up_to(1 << 22), up_to(1 << 23)), (5, 6));
        assert_eq!(durations.longer(), 1);
        assert_eq!(
            durations.sum(),
            Duration::from_nanos(6_000 + (8_388_608_000) + 1_000_001 + 9_000_000_000)
        );
    }
}
