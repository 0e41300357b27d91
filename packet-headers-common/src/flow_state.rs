//! What the kernel knows of a connection that has a name, while it has no place in the table of flows.

use crate::PrimaryTap;

/// Value of the map of flows: a connection that the kernel admitted itself and the daemon has not placed
/// yet, or one for which the [table](crate::flow_entry) has no room.
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
    assert!(core::mem::offset_of!(FlowState, primary_tap) == 16);
};

impl FlowState {
    /// Bytes of the map's value.
    pub const SIZE: usize = 32;

    /// A connection whose packets are captured until `deadline_ns`.
    #[must_use]
    pub const fn new(deadline_ns: u64, cookie: u64) -> Self {
        Self {
            deadline_ns,
            cookie,
            primary_tap: [PrimaryTap::UNKNOWN; 2],
        }
    }

    /// The value as numbers.
    const fn words(&self) -> [u64; 4] {
        let [low, high] = self.primary_tap;
        [self.deadline_ns, self.cookie, low.to_bits(), high.to_bits()]
    }

    /// The value as the map holds it.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        for (place, word) in bytes.chunks_exact_mut(8).zip(self.words()) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// The value of which [`Self::to_bytes`] made these bytes, or a program.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at * 8..][..8]);
            u64::from_ne_bytes(word)
        };
        Self {
            deadline_ns: word(0),
            cookie: word(1),
            primary_tap: [2, 3].map(|at| PrimaryTap::from_bits(word(at))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Direction, TapPoint};

    #[test]
    fn the_bytes_of_a_value_are_those_of_the_map() {
        let mut state = FlowState::new(7, 0x1002);
        let point = TapPoint::new(3, Direction::Egress);
        state.primary_tap[1] = PrimaryTap::new(point, 5 << 20);
        let bytes = state.to_bytes();
        assert_eq!(FlowState::from_bytes(&bytes), state);
        assert_eq!(bytes[..8], 7u64.to_ne_bytes());
        assert_eq!(bytes[8..16], 0x1002_u64.to_ne_bytes());
        assert_eq!(bytes[16..24], [0; 8]);
        assert_eq!(bytes[24..], (5 << 32 | 7_u64).to_ne_bytes());
    }
}
