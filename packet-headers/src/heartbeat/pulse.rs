//! The moments at which tasks do what has to be done now and then: the same for all of them, so that an
//! idle daemon wakes once for everything.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

/// The time between two pulses: one slot of the third level of tokio's timer wheel (64 times 64 ms). A
/// timer that ends with such a slot wakes its runtime once; any other one wakes it on each level on its
/// way down the wheel.
pub const PERIOD: Duration = Duration::from_millis(64 * 64);

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Begins to count pulses. To be called right before a runtime is started, whose wheel then turns in
/// time with them.
pub(crate) fn begin() {
    LazyLock::force(&EPOCH);
}

/// The next pulse.
pub(crate) fn next() -> Instant {
    after(Instant::now())
}

fn after(now: Instant) -> Instant {
    let since = now.saturating_duration_since(*EPOCH).as_millis();
    let past = since / PERIOD.as_millis();
    let past = u32::try_from(past).unwrap_or(u32::MAX);
    *EPOCH + PERIOD * past.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_before_a_pulse_is_told_the_same_one() {
        begin();
        let first = after(*EPOCH);
        assert_eq!(first, *EPOCH + PERIOD);
        assert_eq!(after(first - Duration::from_nanos(1)), first);
        assert_eq!(after(first), first + PERIOD);
        assert_eq!(after(first + PERIOD / 2), first + PERIOD);
    }
}
