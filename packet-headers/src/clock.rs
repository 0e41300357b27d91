//! The two clocks: the kernel's boot clock, by which everything is ordered, and the wall clock,
//! which files carry.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment of `CLOCK_BOOTTIME`, in nanoseconds: what the kernel programs stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootNanos(pub u64);

impl BootNanos {
    /// The moment that is `span` later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let span = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(span))
    }

    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self(nanos(ClockId::Boottime))
    }
}

/// A moment of the wall clock: nanoseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WallNanos(pub u64);

/// What turns boot times into wall times: their distance, sampled again and again, because the wall
/// clock can be set while we run.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    offset: i64,
}

/// How often the pair of clocks is read for one sample; the closest pair counts.
const READS: usize = 3;

/// How far a NIC's time may be from ours, in nanoseconds: a second. Packets wait less than that
/// between the NIC and us; TAI, which NICs' clocks run on by default, is 37 seconds ahead.
const MAX_HARDWARE_DISTANCE: u64 = 1_000_000_000;

impl WallClock {
    /// Reads both clocks.
    #[must_use]
    pub fn sample() -> Self {
        let (offset, _) = measure();
        Self { offset }
    }

    /// Clocks that are this far apart, in nanoseconds: times that others can compute.
    #[must_use]
    pub const fn apart(offset: i64) -> Self {
        Self { offset }
    }

    /// Reads both clocks again, and takes their distance over if it moved by more than the reading's
    /// own uncertainty: both clocks run at one rate, so it only moves when somebody sets the time.
    pub fn resample(&mut self) {
        let (offset, uncertainty) = measure();
        if self.offset.abs_diff(offset) > uncertainty {
            self.offset = offset;
        }
    }

    /// The wall time of a boot time.
    #[must_use]
    pub const fn wall(&self, at: BootNanos) -> WallNanos {
        WallNanos(at.0.saturating_add_signed(self.offset))
    }

    /// The time that a NIC told of a packet which passed at `passed`, if it is to be believed: nobody
    /// may have set the NIC's clock, or set it to another time scale.
    #[must_use]
    pub fn hardware(passed: WallNanos, told: u64) -> Option<WallNanos> {
        (told.abs_diff(passed.0) <= MAX_HARDWARE_DISTANCE).then_some(WallNanos(told))
    }

    /// The boot time of a wall time.
    #[must_use]
    pub const fn boot(&self, at: WallNanos) -> BootNanos {
        BootNanos(at.0.saturating_sub_signed(self.offset))
    }
}

/// Distance of the clocks and how far it may be off, both in nanoseconds.
fn measure() -> (i64, u64) {
    let mut best = (0, u64::MAX);
    for _ in 0..READS {
        let before = nanos(ClockId::Boottime);
        let wall = nanos(ClockId::Realtime);
        let after = nanos(ClockId::Boottime);
        let width = after.saturating_sub(before);
        if width < best.1 {
            let middle = before + width / 2;
            best = (wall.cast_signed().wrapping_sub_unsigned(middle), width);
        }
    }
    best
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_and_wall_times_convert_both_ways() {
        let clock = WallClock::sample();
        let now = BootNanos::now();
        assert_eq!(clock.boot(clock.wall(now)), now);
        let wall = nanos(ClockId::Realtime);
        assert!(wall.abs_diff(clock.wall(now).0) < 1_000_000_000);
    }

    #[test]
    fn a_nic_is_believed_when_it_is_near() {
        let passed = WallNanos(1_700_000_000_000_000_000);
        let told = passed.0 - 5_000;
        assert_eq!(WallClock::hardware(passed, told), Some(WallNanos(told)));
        assert_eq!(WallClock::hardware(passed, passed.0 + 37_000_000_000), None);
        assert_eq!(WallClock::hardware(passed, 1), None);
    }

    #[test]
    fn a_clock_that_was_not_set_keeps_its_distance() {
        let mut clock = WallClock::sample();
        let first = clock.offset;
        for _ in 0..1000 {
            clock.resample();
        }
        assert!(first.abs_diff(clock.offset) < 10_000_000);
    }
}
