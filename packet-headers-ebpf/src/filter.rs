//! Which connections the operator wants. Filters that are not set cost nothing: the settings are
//! constants to the verifier.

use aya_ebpf::btf_maps::lpm_trie::Key;
use packet_headers_common::settings::{
    EXCLUDED, FILTER_EXCLUDE_NET, FILTER_EXCLUDE_PORT, FILTER_NET, FILTER_PORT, INCLUDED,
};
use packet_headers_common::{Endpoint, FlowKey};

use crate::maps::{EXCLUDED_NETS, FILTERS, NETS, PORTS};

/// Bits of an address; IPv4 is v4-mapped.
const ADDRESS_BITS: u32 = 128;

/// Whether the filters let a connection through, by its ports and addresses.
#[inline(always)]
pub(crate) fn passes(key: &FlowKey) -> bool {
    let filters = FILTERS.load();
    if filters == 0 {
        return true;
    }
    let (low, high) = key.ends();
    let marks = mark(&low) | mark(&high);
    if filters & FILTER_PORT != 0 && marks & INCLUDED == 0 {
        return false;
    }
    if filters & FILTER_EXCLUDE_PORT != 0 && marks & EXCLUDED != 0 {
        return false;
    }
    if filters & (FILTER_NET | FILTER_EXCLUDE_NET) == 0 {
        return true;
    }
    let low = Key::new(ADDRESS_BITS, low.octets());
    let high = Key::new(ADDRESS_BITS, high.octets());
    if filters & FILTER_NET != 0 && NETS.get(&low).is_none() && NETS.get(&high).is_none() {
        return false;
    }
    filters & FILTER_EXCLUDE_NET == 0
        || (EXCLUDED_NETS.get(&low).is_none() && EXCLUDED_NETS.get(&high).is_none())
}

/// How the filters mark an end's port.
#[inline(always)]
fn mark(end: &Endpoint) -> u8 {
    PORTS.get(u32::from(end.port())).copied().unwrap_or(0)
}
