//! Reads the two clocks: the kernel's boot clock, which stamps packets, and the wall clock, which
//! files carry.

use std::sync::OnceLock;

use model::{BootNanos, Diagnostic, WallClock};
use rustix::time::{ClockId, clock_gettime};

mod time_namespace;

/// How far the boot clock that this process reads is ahead of the kernel's, in nanoseconds.
static AHEAD: OnceLock<i64> = OnceLock::new();

/// Finds out how far the boot clock that this process reads is ahead of the one that stamps packets:
/// another time namespace (`unshare --time`) may have its own. Until then they count as one. Returns
/// the distance in nanoseconds.
///
/// # Errors
/// When the kernel does not say; and what to do.
pub fn find_stamping_clock() -> Result<i64, Diagnostic> {
    let ahead = time_namespace::ahead()?;
    Ok(*AHEAD.get_or_init(|| ahead))
}

/// How often the pair of clocks is read for one sample; the closest pair counts.
const READS: usize = 3;

/// Now, by the clock that stamps packets.
#[must_use]
pub fn now() -> BootNanos {
    BootNanos(stamping())
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
        let before = stamping();
        let wall = nanos(ClockId::Realtime);
        let after = stamping();
        let width = after.saturating_sub(before);
        if width < best.1 {
            let middle = before + width / 2;
            best = (wall.cast_signed().wrapping_sub_unsigned(middle), width);
        }
    }
    best
}

/// The clock that stamps packets.
fn stamping() -> u64 {
    let ahead = AHEAD.get().copied().unwrap_or(0);
    nanos(ClockId::Boottime).saturating_sub_signed(ahead)
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
