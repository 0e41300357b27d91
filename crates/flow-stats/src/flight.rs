//! Bytes in flight: what one end has sent and the other one has not acknowledged.

use crate::rtt::elapsed;

/// How much was in flight, and for how long.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flight {
    now: u64,
    since: i64,
    max: u64,
    /// Nanoseconds in which something was.
    busy: u128,
    /// Bytes times nanoseconds.
    area: u128,
}

impl Flight {
    /// From now on, so much is in flight.
    pub(crate) fn becomes(&mut self, bytes: u64, now: i64) {
        if self.now > 0
            && let Some(time) = elapsed(self.since, now)
        {
            self.busy = self.busy.saturating_add(time.into());
            self.area = self
                .area
                .saturating_add(u128::from(self.now) * u128::from(time));
        }
        self.now = bytes;
        self.since = now;
        self.max = self.max.max(bytes);
    }

    /// What is in flight.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// The most that was in flight.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// The mean over the time in which something was.
    pub(crate) fn mean(&self) -> Option<u64> {
        let mean = self.area.checked_div(self.busy)?;
        u64::try_from(mean).ok()
    }
}
