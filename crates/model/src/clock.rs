//! The two clocks: the kernel's boot clock, which orders everything, and the wall clock, whose times
//! are in files. They are read elsewhere; these are the types of their readings.

use std::time::Duration;

/// A time of `CLOCK_BOOTTIME` in nanoseconds, as the kernel programs take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootNanos(pub u64);

impl BootNanos {
    /// The time that is `span` later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        // Without the division that 128 bits would take: this is done for each packet.
        let seconds = span.as_secs().saturating_mul(1_000_000_000);
        let span = seconds.saturating_add(span.subsec_nanos().into());
        Self(self.0.saturating_add(span))
    }
}

/// A time of the wall clock: nanoseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WallNanos(pub u64);

/// Converts boot times to wall times: the difference of the two clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallClock {
    offset: i64,
}

/// How far a NIC's timestamp may be from the kernel's, in nanoseconds: one second. Packets take less
/// than that from the NIC to the kernel programs, and TAI, the default of NIC clocks, is 37 seconds
/// ahead.
const MAX_HARDWARE_DISTANCE: u64 = 1_000_000_000;

impl WallClock {
    /// Takes the difference in nanoseconds: the wall clock's reading minus the boot clock's.
    #[must_use]
    pub const fn apart(offset: i64) -> Self {
        Self { offset }
    }

    /// The difference in nanoseconds: the wall clock's reading minus the boot clock's.
    #[must_use]
    pub const fn offset(&self) -> i64 {
        self.offset
    }

    /// The wall time of a boot time.
    #[must_use]
    pub const fn wall(&self, at: BootNanos) -> WallNanos {
        WallNanos(at.0.saturating_add_signed(self.offset))
    }

    /// The time by this clock of a moment whose time by another clock is `at`.
    #[must_use]
    pub const fn redated(&self, at: WallNanos, by: &Self) -> WallNanos {
        let later = self.offset.wrapping_sub(by.offset);
        WallNanos(at.0.saturating_add_signed(later))
    }

    /// The NIC's timestamp `told` for a packet that passed at `passed`, if it is plausible: the NIC's
    /// clock may never have been set, or may run on another time scale.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_and_wall_times_convert_both_ways() {
        let clock = WallClock::apart(1_700_000_000_000_000_000);
        assert_eq!(clock.offset(), 1_700_000_000_000_000_000);
        let at = BootNanos(5);
        assert_eq!(clock.wall(at), WallNanos(1_700_000_000_000_000_005));
        assert_eq!(clock.boot(clock.wall(at)), at);
    }

    #[test]
    fn a_moment_has_a_time_by_each_clock() {
        let (before, after) = (WallClock::apart(5_000), WallClock::apart(2_000));
        let moment = BootNanos(10_000);
        assert_eq!(
            before.redated(after.wall(moment), &after),
            before.wall(moment)
        );
        assert_eq!(
            after.redated(before.wall(moment), &before),
            after.wall(moment)
        );
    }

    #[test]
    fn no_span_is_too_long() {
        let at = BootNanos(5);
        assert_eq!(at.after(Duration::from_secs(2)), BootNanos(2_000_000_005));
        assert_eq!(at.after(Duration::MAX), BootNanos(u64::MAX));
    }

    #[test]
    fn a_nic_is_believed_when_it_is_near() {
        let passed = WallNanos(1_700_000_000_000_000_000);
        let told = passed.0 - 5_000;
        assert_eq!(WallClock::hardware(passed, told), Some(WallNanos(told)));
        let limit = passed.0 + 1_000_000_000;
        assert_eq!(WallClock::hardware(passed, limit), Some(WallNanos(limit)));
        assert_eq!(WallClock::hardware(passed, limit + 1), None);
        assert_eq!(WallClock::hardware(passed, passed.0 + 37_000_000_000), None);
        assert_eq!(WallClock::hardware(passed, 1), None);
    }
}
