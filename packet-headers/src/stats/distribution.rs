//! A histogram of any figure, in buckets that are chosen for it. An observation takes two additions and
//! no lock.

use model::Count;

/// A histogram. Bounds and observations are in millionths: microseconds, or parts per million.
#[derive(Debug)]
pub struct Distribution {
    /// The upper bound of each bucket, ascending.
    bounds: &'static [u64],
    buckets: Box<[Count]>,
    above: Count,
    millionths: Count,
}

impl Distribution {
    /// An empty histogram with these upper bounds, which ascend.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            buckets: bounds.iter().map(|_| Count::default()).collect(),
            above: Count::default(),
            millionths: Count::default(),
        }
    }

    /// Observes a value.
    pub fn add(&self, millionths: u64) {
        // The first bucket whose bound is not exceeded.
        let bucket = self.bounds.partition_point(|&bound| bound < millionths);
        self.buckets.get(bucket).unwrap_or(&self.above).add(1);
        self.millionths.add(millionths);
    }

    /// The upper bound of each bucket in whole units, and how many observations are within it.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let bounds = self.bounds.iter().zip(&self.buckets);
        bounds.scan(0, |sum, (&bound, bucket)| {
            *sum += bucket.get();
            Some((whole(bound), *sum))
        })
    }

    /// How many observations exceed the last bucket.
    #[must_use]
    pub fn above(&self) -> u64 {
        self.above.get()
    }

    /// The sum of all observations in whole units.
    #[must_use]
    pub fn sum(&self) -> f64 {
        whole(self.millionths.get())
    }
}

fn whole(millionths: u64) -> f64 {
    millionths as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_in_the_first_bucket_that_holds_it() {
        let distribution = Distribution::new(&[0, 1_000, 2_500_000]);
        for millionths in [0, 0, 1, 1_000, 1_001, 2_500_000, 2_500_001] {
            distribution.add(millionths);
        }
        let counts: Vec<_> = distribution.cumulative().collect();
        assert_eq!(counts, [(0.0, 2), (0.001, 4), (2.5, 6)]);
        assert_eq!(distribution.above(), 1);
        assert_eq!(distribution.sum(), 5.002_003);
    }
}
