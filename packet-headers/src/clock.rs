//! Reads the two clocks: the kernel's boot clock, which stamps packets, and the wall clock, which
//! files carry.

use model::{BootNanos, WallClock};
use rustix::time::{ClockId, clock_gettime};

/// How often the pair of clocks is read for one sample; the closest pair counts.
const READS: usize = 3;

/// Now, by the clock that stamps packets.
#[must_use]
pub fn now() -> BootNanos {
    BootNanos(nanos(ClockId::Boottime))
}

/// How far apart both clocks are now.
#[must_use]
pub fn sample() -> WallClock {
    let (offset, _) = measure();
    WallClock::apart(offset)
}

/// Reads both clocks again, and takes their distance over if it moved by more than the reading's
/// own uncertainty: both clocks run at one rate, so it only moves when somebody sets the time.
pub fn resample(clock: &mut WallClock) {
    let (offset, uncertainty) = measure();
    if clock.offset().abs_diff(offset) > uncertainty {
        *clock = WallClock::apart(offset);
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
    fn the_wall_clock_is_the_systems() {
        let wall = nanos(ClockId::Realtime);
        assert!(wall.abs_diff(sample().wall(now()).0) < 1_000_000_000);
    }

    #[test]
    fn a_clock_that_was_not_set_keeps_its_distance() {
        let mut clock = sample();
        let first = clock.offset();
        for _ in 0..1000 {
            resample(&mut clock);
        }
        assert!(first.abs_diff(clock.offset()) < 10_000_000);
    }
}
