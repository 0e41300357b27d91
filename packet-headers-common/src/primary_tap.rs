//! The rule by which a packet that passes several interfaces is captured once.

use crate::Direction;

/// A point where packets can be captured: one direction of one interface.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TapPoint(u32);

impl TapPoint {
    /// No interface has the index 0.
    const NONE: Self = Self(0);

    /// The point where the interface `ifindex` receives packets, or where it sends them. The kernel
    /// numbers interfaces from 1 on, by an `int`.
    #[inline(always)]
    #[must_use]
    pub const fn new(ifindex: u32, direction: Direction) -> Self {
        Self((ifindex << 1) | direction as u32)
    }

    #[inline(always)]
    const fn is(self, other: Self) -> bool {
        self.0 == other.0
    }
}

/// The unit in which a primary tap tells time: 2^20 ns, about a millisecond. As 32 bits, it wraps after
/// 52 days.
const UNIT_BITS: u32 = 20;

/// How long the primary tap must have been silent before another one takes over, in nanoseconds.
pub const PRIMARY_TAP_SILENCE_NS: u64 = 1_000_000_000;

/// A packet is noted only so long after the last one that was: eight times a second at most.
const NOTED_AFTER: u32 = units(PRIMARY_TAP_SILENCE_NS / 8);

/// The packet that was noted may have been followed by others for this long.
const SILENCE: u32 = units(PRIMARY_TAP_SILENCE_NS) + NOTED_AFTER;

/// How far the time of one packet may lie before that of another that was noted first: the programs on
/// two processors read the clock before they look here, and batches are not quite in the order of time.
const DISORDER: u32 = units(PRIMARY_TAP_SILENCE_NS);

/// So many nanoseconds in units of a primary tap, rounded up.
const fn units(ns: u64) -> u32 {
    (ns.div_ceil(1 << UNIT_BITS)) as u32
}

/// The one tap point at which a direction of a connection is captured. Others show copies of the same
/// packets: a bridge and its port, a bond and its member, both ends of a veth pair.
///
/// One number, so that it is read and written as a whole: the point, and above it when a packet was last
/// noted there, in units of 2^20 ns of `CLOCK_BOOTTIME`.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrimaryTap(u64);

impl PrimaryTap {
    /// No packet was captured yet: the first point that shows one becomes the primary tap.
    pub const UNKNOWN: Self = Self(0);

    /// The point at which a packet was just captured.
    #[inline(always)]
    #[must_use]
    pub const fn new(point: TapPoint, now_ns: u64) -> Self {
        let noted = (now_ns >> UNIT_BITS) as u32;
        Self(((noted as u64) << 32) | point.0 as u64)
    }

    /// The number, as a map holds it.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The tap of which [`Self::to_bits`] made this number.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Whether this one is the same point as another one.
    #[inline(always)]
    #[must_use]
    pub const fn is_at(self, other: Self) -> bool {
        TapPoint(self.0 as u32).is(TapPoint(other.0 as u32))
    }

    /// Whether a packet seen at `point` is to be captured, rather than a copy of one that was.
    /// If so, `point` is the primary tap from now on.
    ///
    /// It is written only when another point takes over, or some time after it was last: programs on
    /// other processors have it in their caches.
    #[inline(always)]
    pub const fn accepts(&mut self, point: TapPoint, now_ns: u64) -> bool {
        let known = *self;
        let now = Self::new(point, now_ns);
        // Wrapping: what lies slightly before is as far away as can be, but for the disorder.
        let since = ((now.0 >> 32) as u32).wrapping_sub((known.0 >> 32) as u32);
        let since_disorder = since.wrapping_add(DISORDER);
        if TapPoint(known.0 as u32).is(point) {
            if since_disorder > NOTED_AFTER + DISORDER {
                *self = now;
            }
            return true;
        }
        if !TapPoint(known.0 as u32).is(TapPoint::NONE) && since_disorder <= SILENCE + DISORDER {
            return false;
        }
        *self = now;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = PRIMARY_TAP_SILENCE_NS;
    const PORT: TapPoint = TapPoint::new(7, Direction::Ingress);
    const BRIDGE: TapPoint = TapPoint::new(8, Direction::Ingress);

    #[test]
    fn the_first_point_is_primary_until_it_falls_silent() {
        let mut tap = PrimaryTap::UNKNOWN;
        assert!(tap.accepts(PORT, SECOND));
        assert!(!tap.accepts(BRIDGE, SECOND + 1));
        assert!(tap.accepts(PORT, SECOND + 2));
        assert!(!tap.accepts(BRIDGE, 2 * SECOND + 2));
        // The port went down.
        let later = 2 * SECOND + SECOND / 4;
        assert!(tap.accepts(BRIDGE, later));
        assert!(!tap.accepts(PORT, later + 1));
    }

    #[test]
    fn sending_and_receiving_on_loopback_are_two_points() {
        let mut tap = PrimaryTap::UNKNOWN;
        assert!(tap.accepts(TapPoint::new(1, Direction::Egress), 5));
        assert!(!tap.accepts(TapPoint::new(1, Direction::Ingress), 6));
    }

    /// At any rate of packets, and whenever the last one was noted.
    #[test]
    fn a_tap_that_is_not_silent_for_a_second_stays() {
        for step in [SECOND / 1000, SECOND / 9, SECOND / 7, SECOND - 1] {
            let mut tap = PrimaryTap::UNKNOWN;
            for n in 1..50 {
                assert!(tap.accepts(PORT, n * step));
                assert!(!tap.accepts(BRIDGE, n * step + step / 2));
            }
        }
    }

    #[test]
    fn it_is_written_eight_times_a_second_at_most() {
        let mut tap = PrimaryTap::UNKNOWN;
        let mut written = 0;
        for n in 1..=10_000 {
            let before = tap;
            assert!(tap.accepts(PORT, n * (SECOND / 1000)));
            written += u32::from(tap != before);
        }
        assert!((70..=80).contains(&written), "{written}");
    }

    #[test]
    fn it_is_written_when_it_is_older_than_an_eighth_of_a_second() {
        let noted = PrimaryTap::new(PORT, SECOND);
        let later = |units: u32| {
            let mut tap = noted;
            assert!(tap.accepts(PORT, SECOND + (u64::from(units) << UNIT_BITS)));
            tap
        };
        assert_eq!(later(NOTED_AFTER), noted);
        assert_ne!(later(NOTED_AFTER + 1), noted);
    }

    /// The number of the time wraps after 52 days.
    #[test]
    fn a_silence_of_days_is_one() {
        for days in [1, 20, 26, 27, 40, 51, 53, 400] {
            let mut tap = PrimaryTap::new(PORT, SECOND);
            let later = SECOND + days * 86_400 * SECOND;
            assert!(tap.accepts(BRIDGE, later), "{days}");
            assert!(!tap.accepts(PORT, later + SECOND / 2), "{days}");
        }
    }

    #[test]
    fn a_packet_of_slightly_before_is_no_sign_of_silence() {
        let noted = (1 << 52) + 5;
        for before in [1, 1 << UNIT_BITS, SECOND / 2] {
            let mut tap = PrimaryTap::new(PORT, noted);
            assert!(!tap.accepts(BRIDGE, noted - before));
            assert!(tap.accepts(PORT, noted - before));
            assert_eq!(tap, PrimaryTap::new(PORT, noted));
        }
    }
}
