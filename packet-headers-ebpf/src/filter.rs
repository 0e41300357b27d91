//! Which connections the operator wants. The daemon may change that at any time.

use aya_ebpf::btf_maps::lpm_trie::Key;
use packet_headers_common::selection::{ADDRESS_BITS, NetKey, SET_BITS, Set};
use packet_headers_common::settings::{
    CAPTURE_NS, EXCLUDED, FILTER_EXCLUDE_NET, FILTER_EXCLUDE_PORT, FILTER_NET, FILTER_PORT,
    INCLUDED, SELECTION, UDP_SILENCE_NS,
};
use packet_headers_common::{Endpoint, FlowKey, Selection};

use crate::maps::{CHOICE, NETS, PORTS};

/// What is in force now. Who asks it several questions reads it once.
///
/// On arm64 the marks of the maps may be loaded before it, although they are looked at later. The daemon
/// waits for a grace period between filling a set and putting it in force, so that no program does both too
/// early and too late.
#[inline(always)]
pub(crate) fn selection() -> Selection {
    Selection::from_bits(chosen(SELECTION))
}

/// Nanoseconds for which a connection is captured that is established now.
#[inline(always)]
pub(crate) fn capture_ns() -> u64 {
    chosen(CAPTURE_NS)
}

/// Nanoseconds for which a UDP flow may be silent.
#[inline(always)]
pub(crate) fn udp_silence_ns() -> u64 {
    chosen(UDP_SILENCE_NS)
}

#[inline(always)]
fn chosen(place: u32) -> u64 {
    // SAFETY: an element of an array is always there; the daemon stores it by one instruction.
    CHOICE
        .get_ptr(place)
        .map_or(0, |number| unsafe { number.read_volatile() })
}

/// Whether the filters let a connection through, by its ports and addresses.
#[inline(always)]
pub(crate) fn passes(key: &FlowKey, selection: Selection) -> bool {
    let checks = selection.checks();
    if checks == 0 {
        return true;
    }
    let set = selection.set();
    let (low, high) = key.ends();
    let ports = of_port(set, &low) | of_port(set, &high);
    if checks & FILTER_PORT != 0 && ports & INCLUDED == 0 {
        return false;
    }
    if checks & FILTER_EXCLUDE_PORT != 0 && ports & EXCLUDED != 0 {
        return false;
    }
    if checks & (FILTER_NET | FILTER_EXCLUDE_NET) == 0 {
        return true;
    }
    let nets = of_address(set, &low) | of_address(set, &high);
    (checks & FILTER_NET == 0 || nets & INCLUDED != 0)
        && (checks & FILTER_EXCLUDE_NET == 0 || nets & EXCLUDED == 0)
}

/// How the filters mark an end's port.
#[inline(always)]
fn of_port(set: Set, end: &Endpoint) -> u8 {
    let marks = PORTS.get(u32::from(end.port()));
    set.marks(marks.copied().unwrap_or(0))
}

/// A key of the map of networks: what the kernel takes for a prefix, as whole words.
#[repr(C)]
struct WholeKey {
    /// How many bits follow.
    bits: u32,
    set: u32,
    address: [u64; 2],
}

const _: () = assert!(size_of::<WholeKey>() == size_of::<Key<NetKey>>());

/// How the filters mark an end's address.
#[inline(always)]
fn of_address(set: Set, end: &Endpoint) -> u8 {
    let key = WholeKey {
        bits: SET_BITS + ADDRESS_BITS,
        set: set.as_net_word(),
        address: end.address().map(u64::to_be),
    };
    // SAFETY: it has the same length and no padding, and a packed key may lie anywhere.
    let key = unsafe { &*(&raw const key).cast::<Key<NetKey>>() };
    NETS.get(key).copied().unwrap_or(0)
}
