//! A number that many threads change and anybody reads.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter, or a gauge that goes up and down.
///
/// Whoever reads a change also sees every change that the same thread made to other counts before
/// it. So a reader can look at several counts in an order that makes sense of them together.
///
/// ```
/// let held = model::Count::default();
/// held.add(5);
/// held.sub(2);
/// assert_eq!(held.get(), 3);
/// ```
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Nothing counted yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts `n` more.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Release);
    }

    /// Counts `n` less.
    #[inline]
    pub fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Release);
    }

    /// Replaces the number.
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Release);
    }

    /// The number now.
    #[inline]
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_goes_up_and_down_and_can_be_set() {
        let count = Count::default();
        count.add(5);
        count.sub(2);
        assert_eq!(count.get(), 3);
        count.set(7);
        assert_eq!(count.get(), 7);
    }
}
