//! Keeps others from filling the log: each kind of line is written at most once in a while, with the
//! number of lines withheld since.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

/// How often one kind of line is written, unless it has a pause of its own.
const EVERY: Duration = Duration::from_secs(1);

/// One kind of log line.
#[derive(Debug)]
pub(crate) struct RateLimit {
    every: Duration,
    last: Cell<Option<Instant>>,
    withheld: Cell<u64>,
}

/// How many lines were withheld since the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Withheld(u64);

impl Default for RateLimit {
    fn default() -> Self {
        Self::every(EVERY)
    }
}

impl RateLimit {
    /// A line that is written at most once in so long.
    pub(crate) const fn every(every: Duration) -> Self {
        Self {
            every,
            last: Cell::new(None),
            withheld: Cell::new(0),
        }
    }

    /// `Some` if the line may be written now, with the number of lines withheld before it.
    pub(crate) fn pass(&self) -> Option<Withheld> {
        let now = Instant::now();
        let quiet = self.last.get().is_none_or(|last| now - last >= self.every);
        if quiet {
            self.last.set(Some(now));
            Some(Withheld(self.withheld.take()))
        } else {
            self.withheld.set(self.withheld.get() + 1);
            None
        }
    }
}

impl fmt::Display for Withheld {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            n => write!(out, " (and {n} more like it)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_one_line() {
        let limit = RateLimit::default();
        assert_eq!(
            limit.pass().map(|more| more.to_string()),
            Some(String::new())
        );
        assert_eq!(limit.pass(), None);
        assert_eq!(limit.pass(), None);
        limit.last.set(Instant::now().checked_sub(EVERY));
        assert_eq!(
            limit.pass().map(|m| m.to_string()).unwrap(),
            " (and 2 more like it)"
        );
    }
}
