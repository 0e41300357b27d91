//! Answers that are not made anew for every request.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// An answer that is good for a moment: however often it is asked for, making it takes a bounded part
/// of a processor.
#[derive(Debug)]
pub(super) struct Cached<T> {
    lasts: Duration,
    made: Mutex<Option<(Instant, T)>>,
}

impl<T: Clone> Cached<T> {
    /// An answer that is made again when it is older than this.
    pub(super) fn new(lasts: Duration) -> Self {
        Self {
            lasts,
            made: Mutex::default(),
        }
    }

    /// The answer, made now unless it was made a moment before. The lock is held meanwhile, but one
    /// thread serves all requests, so nobody waits for it.
    pub(super) fn get(&self, now: Instant, make: impl FnOnce() -> T) -> T {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            Some((at, answer)) if now.saturating_duration_since(*at) < self.lasts => answer.clone(),
            _ => made.insert((now, make())).1.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_made_once_in_a_while() {
        const LASTS: Duration = Duration::from_millis(100);
        let cached = Cached::new(LASTS);
        let began = Instant::now();
        let mut made = 0;
        for millisecond in 0..1000 {
            let answer = cached.get(began + Duration::from_millis(millisecond), || {
                made += 1;
                made
            });
            assert_eq!(answer, millisecond / 100 + 1);
        }
        assert_eq!(made, 10);
        // After a pause it is made at once.
        let later = began + Duration::from_secs(60);
        assert_eq!(cached.get(later, || 11), 11);
    }
}
