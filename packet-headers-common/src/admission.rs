//! What the kernel knows of a connection that is being captured, and of one that is not any more.

/// Value of the map of flows: one connection that somebody named.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowState {
    /// `CLOCK_BOOTTIME` in nanoseconds from which on its packets are counted and dropped; 0 when it is
    /// past, or its file is finished already.
    pub deadline_ns: u64,
    /// The cookie of the socket that it was admitted for, or 0. It tells the daemon whether the
    /// entry is still that of the connection it means, or of a later one on the same four-tuple.
    pub cookie: u64,
    /// Where its packets are taken from, by direction: from the lower end, from the higher end.
    pub home: [Home; 2],
}

const _: () = {
    assert!(size_of::<FlowState>() == FlowState::SIZE);
    assert!(core::mem::offset_of!(FlowState, cookie) == 8);
};

impl FlowState {
    /// Bytes of the map's value.
    pub const SIZE: usize = 48;

    /// A connection whose packets are taken until `deadline_ns`.
    #[must_use]
    pub const fn new(deadline_ns: u64, cookie: u64) -> Self {
        Self {
            deadline_ns,
            cookie,
            home: [Home::NOWHERE; 2],
        }
    }

    /// The value as the map holds it; user space knows no home.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..8].copy_from_slice(&self.deadline_ns.to_ne_bytes());
        bytes[8..16].copy_from_slice(&self.cookie.to_ne_bytes());
        bytes
    }

    /// The cookie of a value that the map holds.
    #[must_use]
    pub fn cookie_of(bytes: &[u8; Self::SIZE]) -> u64 {
        let mut cookie = [0; 8];
        cookie.copy_from_slice(&bytes[8..16]);
        u64::from_ne_bytes(cookie)
    }
}

/// How long one place must have been silent before another one becomes the home, in nanoseconds.
pub const HOME_SILENCE: u64 = 1_000_000_000;

/// The one place where packets of a flow's direction are taken. The others show the same packet
/// again: a bridge and its port, a bond and its member, both ends of a veth pair.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Home {
    /// [`tap`] of the place; 0 for none yet.
    tap: u64,
    /// When a packet was last taken there: `CLOCK_BOOTTIME` in nanoseconds.
    last_ns: u64,
}

/// A place where packets pass: an interface, and whether it receives or sends them.
#[inline(always)]
#[must_use]
pub const fn tap(ifindex: u32, direction: crate::Direction) -> u64 {
    ((ifindex as u64) << 1) | direction as u64
}

impl Home {
    /// No home yet: the first place that shows a packet becomes it.
    pub const NOWHERE: Self = Self { tap: 0, last_ns: 0 };

    /// A home that is settled: somebody else made sure of it.
    #[must_use]
    pub const fn at(tap: u64, now_ns: u64) -> Self {
        Self {
            tap,
            last_ns: now_ns,
        }
    }

    /// Whether a packet at this place is to be taken, rather than the copy of one that was.
    #[inline(always)]
    pub const fn takes(&mut self, tap: u64, now_ns: u64) -> bool {
        let silent = now_ns.saturating_sub(self.last_ns) > HOME_SILENCE;
        if self.tap != tap && self.tap != 0 && !silent {
            return false;
        }
        self.tap = tap;
        self.last_ns = now_ns;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Direction;

    #[test]
    fn the_first_place_is_home_until_it_falls_silent() {
        let port = tap(7, Direction::Ingress);
        let bridge = tap(8, Direction::Ingress);
        let mut home = Home::NOWHERE;
        let second = HOME_SILENCE;
        assert!(home.takes(port, second));
        assert!(!home.takes(bridge, second + 1));
        assert!(home.takes(port, second + 2));
        assert!(!home.takes(bridge, 2 * second + 2));
        // The port went down.
        assert!(home.takes(bridge, 2 * second + 3));
        assert!(!home.takes(port, 2 * second + 4));
    }

    #[test]
    fn sending_and_receiving_on_loopback_are_two_places() {
        let mut home = Home::NOWHERE;
        assert!(home.takes(tap(1, Direction::Egress), 5));
        assert!(!home.takes(tap(1, Direction::Ingress), 6));
    }

    #[test]
    fn the_bytes_of_a_value_are_those_of_the_map() {
        let bytes = FlowState::new(7, 0x1002).to_bytes();
        assert_eq!(FlowState::cookie_of(&bytes), 0x1002);
        assert_eq!(bytes[..8], 7u64.to_ne_bytes());
        assert_eq!(bytes[16..], [0; 32]);
    }
}
