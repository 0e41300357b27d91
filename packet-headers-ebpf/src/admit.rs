//! Decides which packets go to user space, and into which ring.

use core::hint::black_box;

use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use packet_headers_common::KernelDiscard;
use packet_headers_common::settings::Lane;
use packet_headers_ebpf::parse::Headers;

use crate::filter;
use crate::maps::{FLOWS, IGNORED};
use crate::packet::Packet;

/// A packet that goes to user space.
pub(crate) struct Admitted {
    /// The ring of its shard.
    pub(crate) lane: Lane,
    /// When it was seen: `CLOCK_BOOTTIME` in nanoseconds. The clock is not read for packets that are
    /// discarded without it.
    pub(crate) now_ns: u64,
    /// The connection's entry in the table of flows, or 0 if it has none.
    pub(crate) entry: u32,
}

/// Decides by what the kernel knows of the packet's connection.
///
/// A SYN that begins a new connection makes the kernel forget that the four-tuple was finished or
/// ignored. It does not affect a connection that is being captured: anybody can forge one.
///
/// # Errors
/// Why the packet is discarded.
#[inline(always)]
pub(crate) fn admit<const DIRECT: bool>(
    packet: &Packet<DIRECT>,
    headers: &Headers,
) -> Result<Admitted, KernelDiscard> {
    let Some(flow) = FLOWS.get_ptr_mut(&headers.key) else {
        return candidate(headers);
    };
    // SAFETY: an entry's memory outlives the program's run. Another CPU may write a primary tap at the
    // same time: then one of the two wins, and the other's packets are duplicates from then on.
    let flow = unsafe { &mut *flow };
    if flow.deadline_ns != 0 {
        let now_ns = now();
        if now_ns < flow.deadline_ns {
            // The compiler knows that it is 0 or 1; the verifier has to be shown.
            let side = black_box(usize::from(!headers.from_low)) & 1;
            let tap = &mut flow.primary_tap[side];
            return if tap.accepts(packet.tap_point(), now_ns) {
                Ok(Admitted {
                    lane: Lane::Admitted,
                    now_ns,
                    entry: 0,
                })
            } else {
                Err(KernelDiscard::Duplicate)
            };
        }
        flow.deadline_ns = 0;
    }
    if !headers.is_first_syn() {
        return Err(KernelDiscard::AfterCapture);
    }
    // Gone already when another CPU was faster.
    let _removed = FLOWS.remove(&headers.key);
    Ok(as_candidate())
}

/// Decides on a packet of a connection that nobody has named yet.
#[inline(always)]
fn candidate(headers: &Headers) -> Result<Admitted, KernelDiscard> {
    if !filter::passes(&headers.key) {
        return Err(KernelDiscard::Filtered);
    }
    if IGNORED.get_ptr(&headers.key).is_some() {
        if !headers.is_first_syn() {
            return Err(KernelDiscard::Ignored);
        }
        // Gone already when another CPU was faster.
        let _removed = IGNORED.remove(&headers.key);
    }
    Ok(as_candidate())
}

#[inline(always)]
fn as_candidate() -> Admitted {
    Admitted {
        lane: Lane::Candidate,
        now_ns: now(),
        entry: 0,
    }
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: takes no argument, exists since 5.8.
    unsafe { bpf_ktime_get_boot_ns() }
}
