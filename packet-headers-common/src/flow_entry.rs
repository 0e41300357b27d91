//! The table of flows: what the programs know of the connections that the daemon has named.
//!
//! Each shard has buckets of its own, by the connection's [hash](crate::flow_hash), and only the shard
//! puts entries into them and takes them out. Programs change nothing but an entry's deadline and its
//! primary taps. So no two writers ever want the same place, and nobody takes a lock, or needs an atomic
//! operation that kernels before Linux 5.12 lack.
//!
//! A program that looks for a connection
//!
//! 1. loads a place's token, which is 0 when the place is empty;
//! 2. compares the key, where the token says that the entry lies;
//! 3. loads the token again. If it is another one, the place has changed its connection meanwhile.
//!
//! A shard stores the token last when it puts an entry in, clears it first when it takes it out, and
//! leaves the place empty for [`REST_NS`].

use crate::{FlowKey, PrimaryTap};

/// Places of a bucket.
pub const PLACES: usize = 4;

/// The bits of a token that tell the place of its entry. Above them is which of the place's entries it
/// is, counted from 1 on.
pub const SLOT_BITS: u32 = 18;

/// The most entries of the table.
pub const MAX_ENTRIES: u32 = 1 << SLOT_BITS;

/// For how long a place stays empty when its connection has left it, in nanoseconds.
///
/// A program that has found the entry just before still uses it. It runs with preemption disabled and
/// ends within microseconds, unless a hypervisor stops its processor. Should that be stopped for longer,
/// right between the last look at the token and the use of the entry, and the place be taken by then, the
/// program may make the entry's new connection look finished, or give it a primary tap that another one
/// takes over a second later. The packet's record has the right connection and token nevertheless.
pub const REST_NS: u64 = 64 << 20;

/// An entry's name: its place in the table, and which of the place's connections it means. It is not
/// used again before 16,383 connections have had the place: 18 minutes at the least.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Token(pub u32);

impl Token {
    /// Of no entry.
    pub const NONE: Self = Self(0);

    /// Of the first connection that has a place.
    #[must_use]
    pub const fn first(slot: u32) -> Self {
        Self((1 << SLOT_BITS) | (slot & (MAX_ENTRIES - 1)))
    }

    /// Of the next connection that has the place.
    #[must_use]
    pub const fn next(self) -> Self {
        let next = self.0.wrapping_add(1 << SLOT_BITS);
        // It is never 0 as a whole, and never that of the place 0 without a connection.
        if next >> SLOT_BITS == 0 {
            return Self::first(next);
        }
        Self(next)
    }

    /// The number of the entry's place.
    #[inline(always)]
    #[must_use]
    pub const fn slot(self) -> u32 {
        self.0 & (MAX_ENTRIES - 1)
    }

    /// Its place within the bucket.
    #[inline(always)]
    #[must_use]
    pub const fn place(self) -> usize {
        self.0 as usize & (PLACES - 1)
    }
}

/// What programs know of a connection. One cache line.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FlowEntry {
    /// The connection, while there is a token.
    pub key: FlowKey,
    /// The entry's [`Token`], or 0 when the place is empty.
    pub token: u32,
    /// `CLOCK_BOOTTIME` in nanoseconds from which on the connection's packets are counted and
    /// discarded; 0 once that time has passed, or its file is finished; or [`Self::REPLACED`].
    pub deadline_ns: u64,
    /// Where packets are captured, by direction: those that the lower end sent, those that the higher
    /// end sent.
    pub primary_tap: [PrimaryTap; 2],
}

impl FlowEntry {
    /// A deadline: the connection's capture was over when a SYN began another on the four-tuple. As if
    /// there were no entry.
    pub const REPLACED: u64 = 1;
}

/// Element of the map [`ENTRIES`](crate::settings::ENTRIES): places for connections with hashes that end
/// alike.
#[repr(C)]
pub struct Bucket {
    /// The places.
    pub places: [FlowEntry; PLACES],
}

const _: () = {
    assert!(size_of::<FlowEntry>() == 64);
    assert!(core::mem::offset_of!(FlowEntry, key) == 0);
    assert!(core::mem::offset_of!(FlowEntry, token) == FlowKey::SIZE);
    assert!(core::mem::offset_of!(FlowEntry, deadline_ns) == 40);
    assert!(core::mem::offset_of!(FlowEntry, primary_tap) == 48);
    assert!(size_of::<Bucket>() == PLACES * size_of::<FlowEntry>());
    assert!(PLACES.is_power_of_two());
};

/// The number of the bucket of a connection with this [hash](crate::FlowHash), of a shard that has a power of
/// two of them.
#[inline(always)]
#[must_use]
pub const fn bucket(hash: u64, shard: u32, buckets_per_shard: u32) -> u32 {
    shard * buckets_per_shard + (hash as u32 & (buckets_per_shard - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_a_place_and_which_of_its_connections() {
        for slot in [0, 1, 6, MAX_ENTRIES - 1] {
            let first = Token::first(slot);
            let mut token = first;
            for connection in 1..1 << (u32::BITS - SLOT_BITS) {
                assert_eq!(token, Token(connection << SLOT_BITS | slot));
                assert_eq!(
                    (token.slot(), token.place()),
                    (slot, slot as usize % PLACES)
                );
                token = token.next();
            }
            assert_eq!(token, first, "all numbers were used, and none is 0");
        }
        assert_eq!(Token::first(MAX_ENTRIES + 7), Token::first(7));
    }

    #[test]
    fn each_shard_has_buckets_of_its_own_and_uses_all() {
        let buckets = (0..3).flat_map(|shard| (0..8).map(move |hash| bucket(hash, shard, 8)));
        assert!(buckets.eq(0..24));
        assert_eq!(bucket(0xffff_ffff_0000_000d, 2, 8), 21);
    }
}
