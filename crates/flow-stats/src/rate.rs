//! How fast payload came: on the average, and at most.

use crate::rtt::elapsed;

/// Over how long the peak is: nanoseconds.
const PERIOD: u64 = 100_000_000;

const SECOND: u128 = 1_000_000_000;

/// Payload of one end over time, each byte once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rate {
    /// When the first payload came, and the last one.
    times: Option<(i64, i64)>,
    bytes: u64,
    /// Which period is being counted, and its bytes.
    period: u64,
    in_period: u64,
    most: u64,
}

impl Rate {
    /// Payload came, of which so many bytes were new.
    pub(crate) fn came(&mut self, bytes: u64, now: i64) {
        let (first, last) = self.times.unwrap_or((now, now));
        self.times = Some((first, last.max(now)));
        self.bytes += bytes;
        let period = elapsed(first, now).unwrap_or(0) / PERIOD;
        if period > self.period {
            self.period = period;
            self.in_period = 0;
        }
        self.in_period += bytes;
        self.most = self.most.max(self.in_period);
    }

    /// When the first payload came, and the last one.
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        self.times
    }

    /// New bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bits per second from the first to the last payload, or to `acknowledged` if that is later.
    pub(crate) fn mean(&self, acknowledged: Option<i64>) -> Option<u64> {
        let (first, last) = self.times?;
        let end = acknowledged.map_or(last, |end| end.max(last));
        per_second(self.bytes, elapsed(first, end)?)
    }

    /// Bits per second in the best period, once there was more than one.
    pub(crate) fn peak(&self) -> Option<u64> {
        let (first, last) = self.times?;
        elapsed(first, last).filter(|time| *time >= PERIOD)?;
        per_second(self.most, PERIOD)
    }
}

fn per_second(bytes: u64, time: u64) -> Option<u64> {
    let bits = u128::from(bytes) * 8 * SECOND;
    u64::try_from(bits.checked_div(time.into())?).ok()
}
