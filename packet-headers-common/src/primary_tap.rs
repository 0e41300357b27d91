//! The rule by which a packet that passes several interfaces is captured once.

use crate::Direction;

/// A point where packets can be captured: one direction of one interface.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TapPoint(u64);

impl TapPoint {
    /// No interface has the index 0.
    const NONE: Self = Self(0);

    /// The point where the interface `ifindex` receives packets, or where it sends them.
    #[inline(always)]
    #[must_use]
    pub const fn new(ifindex: u32, direction: Direction) -> Self {
        Self(((ifindex as u64) << 1) | direction as u64)
    }

    #[inline(always)]
    const fn is(self, other: Self) -> bool {
        self.0 == other.0
    }
}

/// How long the primary tap must have been silent before another one takes over, in nanoseconds.
pub const PRIMARY_TAP_SILENCE_NS: u64 = 1_000_000_000;

/// The one tap point at which a direction of a connection is captured. Others show copies of the same
/// packets: a bridge and its port, a bond and its member, both ends of a veth pair.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrimaryTap {
    point: TapPoint,
    /// When a packet was last captured there: `CLOCK_BOOTTIME` in nanoseconds.
    last_ns: u64,
}

impl PrimaryTap {
    /// No packet was captured yet: the first point that shows one becomes the primary tap.
    pub const UNKNOWN: Self = Self {
        point: TapPoint::NONE,
        last_ns: 0,
    };

    /// The point at which a packet was just captured.
    #[must_use]
    pub const fn new(point: TapPoint, now_ns: u64) -> Self {
        Self {
            point,
            last_ns: now_ns,
        }
    }

    /// Whether a packet seen at `point` is to be captured, rather than a copy of one that was.
    /// If so, `point` is the primary tap from now on.
    #[inline(always)]
    pub const fn accepts(&mut self, point: TapPoint, now_ns: u64) -> bool {
        let silent = now_ns.saturating_sub(self.last_ns) > PRIMARY_TAP_SILENCE_NS;
        if !self.point.is(point) && !self.point.is(TapPoint::NONE) && !silent {
            return false;
        }
        *self = Self::new(point, now_ns);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_point_is_primary_until_it_falls_silent() {
        let port = TapPoint::new(7, Direction::Ingress);
        let bridge = TapPoint::new(8, Direction::Ingress);
        let mut tap = PrimaryTap::UNKNOWN;
        let second = PRIMARY_TAP_SILENCE_NS;
        assert!(tap.accepts(port, second));
        assert!(!tap.accepts(bridge, second + 1));
        assert!(tap.accepts(port, second + 2));
        assert!(!tap.accepts(bridge, 2 * second + 2));
        // The port went down.
        assert!(tap.accepts(bridge, 2 * second + 3));
        assert!(!tap.accepts(port, 2 * second + 4));
    }

    #[test]
    fn sending_and_receiving_on_loopback_are_two_points() {
        let mut tap = PrimaryTap::UNKNOWN;
        assert!(tap.accepts(TapPoint::new(1, Direction::Egress), 5));
        assert!(!tap.accepts(TapPoint::new(1, Direction::Ingress), 6));
    }
}
