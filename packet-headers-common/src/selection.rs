//! Which connections the programs take. The daemon may change that while they run.

use crate::settings::{EXCLUDED, INCLUDED};

/// Which connections are taken: one number, so that no program sees a part of a change.
///
/// Ports and networks are in maps that have room for two sets of them. The number says which of the two
/// is in force; the daemon fills the other one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection(u64);

/// The marks that a port or a network has in one set.
const MARKS: u8 = INCLUDED | EXCLUDED;

/// How many bits these are.
const MARK_BITS: u32 = MARKS.count_ones();

impl Selection {
    /// The connections that pass these checks, the `FILTER_` bits, by set 0 or 1; of these, those of one
    /// of the `WANT_` values.
    #[must_use]
    pub const fn new(checks: u8, direction: u8, set: Set) -> Self {
        Self(checks as u64 | (direction as u64) << 8 | (set.0 as u64) << 16)
    }

    /// The number that [`Self::to_bits`] gave.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// As a number.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The `FILTER_` bits.
    #[inline(always)]
    #[must_use]
    pub const fn checks(self) -> u8 {
        self.0 as u8
    }

    /// The `WANT_` value.
    #[inline(always)]
    #[must_use]
    pub const fn direction(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// Which ports and networks are meant.
    #[inline(always)]
    #[must_use]
    pub const fn set(self) -> Set {
        Set((self.0 >> 16) as u8 & 1)
    }
}

/// One of the two sets of ports and networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Set(u8);

impl Set {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        Self(self.0 ^ 1)
    }

    /// 0 or 1.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// What a port's value says of this set.
    #[inline(always)]
    #[must_use]
    pub const fn marks(self, value: u8) -> u8 {
        value >> (self.0 as u32 * MARK_BITS) & MARKS
    }

    /// A port's value with these marks in this set, and what it had in the other.
    #[must_use]
    pub const fn marked(self, value: u8, marks: u8) -> u8 {
        let place = self.0 as u32 * MARK_BITS;
        value & !(MARKS << place) | marks << place
    }

    /// The set as a network's key begins with it, in four bytes.
    #[inline(always)]
    #[must_use]
    pub const fn as_net_word(self) -> u32 {
        (self.0 as u32).to_be()
    }

    /// The data of a network's key: the set, then the address.
    #[must_use]
    pub const fn net(self, [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]: [u8; 16]) -> NetKey {
        let set = self.0;
        [0, 0, 0, set, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }
}

/// A set and an address, as [`NETS`](crate::settings::NETS) has them.
pub type NetKey = [u8; 20];

/// How many bits of a key precede the address.
pub const SET_BITS: u32 = 32;

/// Bits of an address; IPv4 is v4-mapped.
pub const ADDRESS_BITS: u32 = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{FILTER_EXCLUDE_NET, FILTER_PORT, WANT_OUTGOING};

    const SETS: [Set; 2] = [Set(0), Set(1)];

    #[test]
    fn a_selection_is_one_number() {
        for set in SETS {
            let checks = FILTER_PORT | FILTER_EXCLUDE_NET;
            let selection = Selection::new(checks, WANT_OUTGOING, set);
            let read = Selection::from_bits(selection.to_bits());
            assert_eq!(read.checks(), checks);
            assert_eq!(read.direction(), WANT_OUTGOING);
            assert_eq!(read.set(), set);
            assert_eq!(set.other().other(), set);
            assert_eq!(SETS[set.index()], set);
        }
        assert_eq!(Selection::default(), Selection::new(0, 0, Set::default()));
    }

    #[test]
    fn a_port_is_marked_in_one_set_and_stays_as_it_was_in_the_other() {
        for value in 0..=0b1111 {
            for marks in 0..=MARKS {
                for set in SETS {
                    let marked = set.marked(value, marks);
                    assert_eq!(set.marks(marked), marks);
                    assert_eq!(set.other().marks(marked), set.other().marks(value));
                }
            }
        }
    }

    #[test]
    fn the_sets_of_networks_have_nothing_in_common() {
        let octets = core::array::from_fn(|at| at as u8 + 1);
        let [first, second] = SETS.map(|set| set.net(octets));
        let of_set = SET_BITS as usize / 8;
        assert_ne!(first[..of_set], second[..of_set]);
        assert_eq!(first[of_set..], octets);
        assert_eq!(second[of_set..], octets);
        let words = SETS.map(|set| set.as_net_word().to_ne_bytes());
        assert_eq!([&first[..of_set], &second[..of_set]], words);
        assert_eq!(first.len() * 8, (SET_BITS + ADDRESS_BITS) as usize);
    }
}
