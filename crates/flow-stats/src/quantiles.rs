//! Quantiles of many values in bounded memory.
//!
//! A few values are kept as they are: most connections have no more. Further ones make a histogram whose
//! buckets grow with the values: 64 for each power of two, so that no value is further than 0.8 % from the
//! middle of its bucket. As the values of one connection are close to each other, it has few of them: a power of
//! two takes 256 bytes, and values from 1 µs to a minute would take 7 KiB. The usual crates take several
//! times that for each connection (hdrhistogram begins at 0), or a logarithm for each value (`DDSketch`).

/// Buckets of a power of two, as a power of two.
const BITS: u32 = 6;
const BUCKETS: usize = 1 << BITS;

/// How many values are kept as they are.
const FEW: usize = 16;

/// Values, or how many of them had each size, rounded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Quantiles {
    few: Vec<u64>,
    /// From the power of two `first` on; empty while there are few.
    counts: Vec<u32>,
    first: u32,
    count: u64,
    min: u64,
}

impl Quantiles {
    /// Adds a value.
    pub(crate) fn add(&mut self, value: u64) {
        self.min = if self.count == 0 {
            value
        } else {
            self.min.min(value)
        };
        self.count += 1;
        if !self.counts.is_empty() {
            self.note(value);
        } else if self.few.len() < FEW {
            self.few.push(value);
        } else {
            for value in std::mem::take(&mut self.few) {
                self.note(value);
            }
            self.note(value);
        }
    }

    fn note(&mut self, value: u64) {
        let (power, bucket) = place(value);
        if self.counts.is_empty() {
            self.first = power;
        }
        if power < self.first {
            let more = (self.first - power) as usize * BUCKETS;
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.first = power;
        }
        let at = (power - self.first) as usize * BUCKETS + bucket;
        if at >= self.counts.len() {
            self.counts.resize((at / BUCKETS + 1) * BUCKETS, 0);
        }
        self.counts[at] = self.counts[at].saturating_add(1);
    }

    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.counts.capacity() * size_of::<u32>() + self.few.capacity() * size_of::<u64>()
    }

    /// How many values there were.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The smallest one, as it was.
    pub(crate) fn min(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min)
    }

    /// The value that `percent` of the values do not exceed (the nearest rank): to 0.8 %, and exactly if there
    /// are few.
    pub(crate) fn percentile(&self, percent: u64) -> Option<u64> {
        if self.counts.is_empty() {
            let mut few = self.few.clone();
            few.sort_unstable();
            let at = rank(few.len() as u64, percent) - 1;
            return few.get(usize::try_from(at).ok()?).copied();
        }
        // Of the counts, which do not overflow, so that a rank is always found.
        let rank = rank(
            self.counts.iter().map(|count| u64::from(*count)).sum(),
            percent,
        );
        let mut below = 0;
        for (at, count) in self.counts.iter().enumerate() {
            below += u64::from(*count);
            if below >= rank {
                return Some(middle(self.first, at).max(self.min));
            }
        }
        None
    }
}

/// The nearest rank, from 1 on.
fn rank(count: u64, percent: u64) -> u64 {
    count.saturating_mul(percent).div_ceil(100).max(1)
}

/// Which power of two a value is in, and which of its buckets. All below 64 are in one, and exact.
fn place(value: u64) -> (u32, usize) {
    let power = value.checked_ilog2().unwrap_or(0).saturating_sub(BITS - 1);
    let shift = power.saturating_sub(1);
    #[expect(clippy::cast_possible_truncation, reason = "it is below BUCKETS")]
    let bucket = ((value >> shift) as usize) & (BUCKETS - 1);
    (power, bucket)
}

/// The value in the middle of a bucket.
fn middle(first: u32, at: usize) -> u64 {
    let power = first + u32::try_from(at / BUCKETS).unwrap_or(u32::MAX);
    let bucket = (at % BUCKETS) as u64;
    match power.checked_sub(1) {
        None => bucket,
        Some(shift) => ((BUCKETS as u64 | bucket) << shift) + ((1 << shift) >> 1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_has_no_quantile() {
        let none = Quantiles::default();
        assert_eq!(
            (none.min(), none.percentile(50), none.count()),
            (None, None, 0)
        );
    }

    #[test]
    fn few_values_and_small_ones_are_exact() {
        let mut quantiles = Quantiles::default();
        (0..16).for_each(|value| quantiles.add(1_000_007 * (16 - value)));
        let found = [50, 95, 100].map(|percent| quantiles.percentile(percent));
        assert_eq!(found, [8, 16, 16].map(|value| Some(1_000_007 * value)));
        let mut quantiles = Quantiles::default();
        (1..=60).rev().for_each(|value| quantiles.add(value));
        let found = [50, 95, 99, 100].map(|percent| quantiles.percentile(percent));
        assert_eq!(found, [30, 57, 60, 60].map(Some));
    }

    proptest! {
        #[test]
        fn quantiles_are_true_to_one_percent(mut values in prop::collection::vec(0..1u64 << 45, 1..500)) {
            let mut quantiles = Quantiles::default();
            values.iter().for_each(|value| quantiles.add(*value));
            values.sort_unstable();
            prop_assert_eq!(quantiles.min(), values.first().copied());
            for percent in [1, 50, 95, 99, 100] {
                let rank = (values.len() * percent).div_ceil(100).max(1);
                let (exact, found) = (values[rank - 1], quantiles.percentile(percent as u64).unwrap());
                prop_assert!(exact.abs_diff(found) * 1000 <= exact * 8, "{exact} and {found}");
            }
        }

        #[test]
        fn any_values_fit(values in prop::collection::vec(any::<u64>(), 1..50)) {
            let mut quantiles = Quantiles::default();
            values.iter().for_each(|value| quantiles.add(*value));
            prop_assert!(quantiles.percentile(50).unwrap() >= *values.iter().min().unwrap());
            prop_assert!(quantiles.counts.len() <= 60 * BUCKETS);
        }
    }
}
