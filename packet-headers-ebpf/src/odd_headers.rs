//! Log lines about packets whose headers are odd; the counters know how many there were.

use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_log_ebpf::warn;
use packet_headers_common::KernelDiscard;
use packet_headers_ebpf::parse::Bytes as _;

use crate::maps::LAST_LOG;
use crate::packet::Packet;

/// How often a line is written at most, in nanoseconds.
const INTERVAL: u64 = 1_000_000_000;

/// Whether it is logged that a packet was discarded for this reason: by a program of its own.
#[inline(always)]
pub(crate) const fn are_logged(reason: KernelDiscard) -> bool {
    matches!(
        reason,
        KernelDiscard::Malformed | KernelDiscard::HeadersTooLong
    )
}

/// Logs that a packet was discarded for odd headers.
#[inline(always)]
pub(crate) fn log<const DIRECT: bool>(packet: &Packet<DIRECT>) {
    let Some(last) = LAST_LOG.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: takes no argument, exists since 5.8.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    // SAFETY: the map's one element; two CPUs that race write two lines.
    let last = unsafe { &mut *last };
    if now.wrapping_sub(*last) < INTERVAL && *last != 0 {
        return;
    }
    *last = now;
    let (interface, length) = (packet.ifindex(), packet.length());
    warn!(
        packet,
        "interface {}: the headers of a packet of {} bytes are malformed or too long",
        interface,
        length
    );
}
