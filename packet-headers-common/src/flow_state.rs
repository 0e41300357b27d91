//! What the kernel knows of a connection that has a name.

use crate::PrimaryTap;

/// Value of the map of flows: a connection that is captured, or that was and whose socket is still
/// open.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowState {
    /// `CLOCK_BOOTTIME` in nanoseconds from which on the connection's packets are counted and
    /// discarded; 0 once that time has passed, or its file is finished.
    pub deadline_ns: u64,
    /// Cookie of the socket for which the connection was admitted, or 0. By it the daemon knows
    /// whether the entry is of the connection that it means, or of a later one on the four-tuple.
    pub cookie: u64,
    /// Where packets are captured, by direction: those that the lower end sent, those that the higher
    /// end sent.
    pub primary_tap: [PrimaryTap; 2],
}

const _: () = {
    assert!(size_of::<FlowState>() == FlowState::SIZE);
    assert!(core::mem::offset_of!(FlowState, cookie) == 8);
};

impl FlowState {
    /// Bytes of the map's value.
    pub const SIZE: usize = 48;

    /// A connection whose packets are captured until `deadline_ns`.
    #[must_use]
    pub const fn new(deadline_ns: u64, cookie: u64) -> Self {
        Self {
            deadline_ns,
            cookie,
            primary_tap: [PrimaryTap::UNKNOWN; 2],
        }
    }

    /// The value as the map holds it. The primary taps are unknown: only the kernel finds them.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..8].copy_from_slice(&self.deadline_ns.to_ne_bytes());
        bytes[8..16].copy_from_slice(&self.cookie.to_ne_bytes());
        bytes
    }

    /// The cookie in a value of the map.
    #[must_use]
    pub fn cookie_of(bytes: &[u8; Self::SIZE]) -> u64 {
        let mut cookie = [0; 8];
        cookie.copy_from_slice(&bytes[8..16]);
        u64::from_ne_bytes(cookie)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_value_are_those_of_the_map() {
        let bytes = FlowState::new(7, 0x1002).to_bytes();
        assert_eq!(FlowState::cookie_of(&bytes), 0x1002);
        assert_eq!(bytes[..8], 7u64.to_ne_bytes());
        assert_eq!(bytes[16..], [0; 32]);
    }
}
