//! Looks for a connection in the table of flows.
//!
//! The protocol: [`packet_headers_common::flow_entry`].

use core::hint::black_box;
use core::mem::offset_of;

use packet_headers_common::flow_entry::{self, PLACES};
use packet_headers_common::{FlowEntry, FlowHash, FlowKey, Token};

use crate::maps::{BUCKETS, ENTRIES, HASH};

/// The connection's hash.
#[inline(always)]
pub(crate) fn hash(key: &FlowKey) -> u64 {
    // Each word by itself: an array would be copied to the stack.
    let hash = FlowHash::with_key([
        HASH[0].load(),
        HASH[1].load(),
        HASH[2].load(),
        HASH[3].load(),
        HASH[4].load(),
        HASH[5].load(),
        HASH[6].load(),
        HASH[7].load(),
        HASH[8].load(),
    ]);
    hash.of(key)
}

/// The connection's entry, and its token.
///
/// What is read of an entry is read where its token says that it lies. So no processor reads it before
/// the token, not even one that otherwise reads in any order, as arm64's do: an address that is computed from
/// what a load has read cannot be known before. Neither verifier nor JIT compiler replaces that
/// computation, as a token is any number to them. So what a shard has written before it stored the token,
/// with release, is seen.
///
/// The second look at the token may come early by some instructions, even before the key is read. That is no
/// matter, as a place is empty for far longer before it has another token; and a processor that is stopped
/// in between, by an interrupt or a hypervisor, forgets what it has loaded too early, and goes on in the
/// order of the program. The two are tried, each without the other, in
/// `crates/flow-entries/src/tests/interleavings.rs`.
#[inline(always)]
pub(crate) fn find(key: &FlowKey, hash: u64, shard: u32) -> Option<(*mut FlowEntry, u32)> {
    let number = flow_entry::bucket(hash, shard, BUCKETS.load());
    let bucket: *mut FlowEntry = ENTRIES.get_ptr_mut(number)?.cast();
    // Hidden from the compiler, which would write each turn out.
    let places = black_box(PLACES);
    for place in 0..places {
        // SAFETY: an element of an array is always there, and has so many places.
        let token = unsafe { load_token(bucket.wrapping_add(place)) };
        if token == Token::NONE.0 {
            continue;
        }
        // It is the place that was just looked at, but the verifier does not know which: it need not look
        // at what follows for each.
        let entry = bucket.wrapping_add(Token(token).place());
        // SAFETY: as above.
        let difference = unsafe { differs(entry, key) };
        // SAFETY: as above.
        let again = unsafe { load_token(entry) };
        if difference | u64::from(again ^ token) == 0 {
            return Some((entry, token));
        }
    }
    None
}

/// # Safety
/// `entry` must be a place of the table.
#[inline(always)]
unsafe fn load_token(entry: *mut FlowEntry) -> u32 {
    let token = entry
        .cast::<u8>()
        .wrapping_add(offset_of!(FlowEntry, token));
    // SAFETY: the caller vouches for it. The shard stores it as a whole.
    unsafe { token.cast::<u32>().read_volatile() }
}

/// 0 if the entry has this key. Without branches: the verifier would follow each.
///
/// # Safety
/// `entry` must be a place of the table.
#[inline(always)]
unsafe fn differs(entry: *mut FlowEntry, key: &FlowKey) -> u64 {
    let mut difference = 0;
    let words = key.words();
    let at = entry.cast::<u64>();
    for (number, word) in words[..4].iter().enumerate() {
        // SAFETY: the caller vouches for it, and the key begins there; entries are aligned to 64 bytes.
        // Should the shard write it at the same time, the second look at the token tells.
        difference |= unsafe { at.wrapping_add(number).read_volatile() } ^ word;
    }
    // SAFETY: as above.
    let ports = unsafe { at.wrapping_add(4).cast::<u32>().read_volatile() };
    difference | (u64::from(ports) ^ words[4])
}
