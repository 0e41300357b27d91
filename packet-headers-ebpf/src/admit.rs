//! Decides which packets go to user space, and into which ring.

use core::hint::black_box;

use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use packet_headers_common::settings::Lane;
use packet_headers_common::{FlowEntry, FlowState, KernelDiscard, PrimaryTap, flow_hash};
use packet_headers_ebpf::parse::Headers;

use crate::maps::{FLOWS, IGNORED, SHARDS};
use crate::packet::Packet;
use crate::{entries, filter, icmp};

/// A packet that goes to user space.
pub(crate) struct Admitted {
    /// The shard of its connection.
    pub(crate) shard: u32,
    /// The ring of its shard.
    pub(crate) lane: Lane,
    /// When it was seen: `CLOCK_BOOTTIME` in nanoseconds. The clock is not read for packets that are
    /// discarded without it.
    pub(crate) now_ns: u64,
    /// The token of the connection's entry in the table of flows, or 0 if it has none.
    pub(crate) entry: u32,
}

/// What the kernel knows of a connection, wherever it lies.
struct Known {
    deadline_ns: *mut u64,
    primary_tap: *mut PrimaryTap,
    /// As in [`Admitted`].
    entry: u32,
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
    let hash = entries::hash(&headers.key);
    // The setting is a constant to the verifier.
    let shard = match SHARDS.load() {
        1 => 0,
        shards => flow_hash::shard(hash, shards),
    };
    let as_candidate = || Admitted {
        shard,
        lane: Lane::Candidate,
        now_ns: now(),
        entry: 0,
    };
    let Some(known) = known(headers, hash, shard) else {
        return candidate(headers).map(|()| as_candidate());
    };
    // SAFETY: an entry's memory outlives the program's run. Where another processor marks it as past at
    // the same time that a SYN here marks it as replaced, one of the two wins; if it is the first, the
    // new connection's packets are discarded until the daemon has named it.
    let deadline_ns = unsafe { known.deadline_ns.read() };
    if deadline_ns != 0 {
        let now_ns = now();
        if now_ns < deadline_ns {
            // SAFETY: as above. Another processor may write it at the same time: then one of the two
            // wins, and the other's packets are duplicates from then on.
            let tap = unsafe { &mut *known.primary_tap };
            return if tap.accepts(packet.tap_point(), now_ns) {
                Ok(Admitted {
                    shard,
                    lane: Lane::Admitted,
                    now_ns,
                    entry: known.entry,
                })
            } else {
                Err(KernelDiscard::Duplicate)
            };
        }
        // SAFETY: as above.
        unsafe { known.deadline_ns.write(0) };
    }
    if !headers.is_first_syn() {
        return Err(KernelDiscard::AfterCapture);
    }
    if known.entry == 0 {
        // Gone already when another CPU was faster.
        let _removed = FLOWS.remove(&headers.key);
    } else {
        // SAFETY: as above.
        unsafe { known.deadline_ns.write(FlowEntry::REPLACED) };
    }
    Ok(as_candidate())
}

/// Decides on an ICMP error by what the kernel knows of the connection that it is about. It changes none of
/// that, and goes with the packets of connections that have no name: in that lane, it can be in no way of a
/// connection that has one.
///
/// # Errors
/// Why the error is discarded.
#[inline(always)]
pub(crate) fn admit_error(headers: &Headers) -> Result<Admitted, KernelDiscard> {
    let hash = entries::hash(&headers.key);
    let shard = match SHARDS.load() {
        1 => 0,
        shards => flow_hash::shard(hash, shards),
    };
    let now_ns = now();
    let known = known(headers, hash, shard);
    let entry = match &known {
        Some(known) => {
            // SAFETY: an entry's memory outlives the program's run.
            if now_ns >= unsafe { known.deadline_ns.read() } {
                return Err(KernelDiscard::AfterCapture);
            }
            known.entry
        }
        None => {
            if !filter::passes(&headers.key, filter::selection()) {
                return Err(KernelDiscard::Filtered);
            }
            if IGNORED.get_ptr(&headers.key).is_some() {
                return Err(KernelDiscard::Ignored);
            }
            0
        }
    };
    icmp::allow(hash, known.is_some(), now_ns)?;
    Ok(Admitted {
        shard,
        lane: Lane::Candidate,
        now_ns,
        entry,
    })
}

/// What the kernel knows of the packet's connection, if anything.
#[inline(always)]
fn known(headers: &Headers, hash: u64, shard: u32) -> Option<Known> {
    // The compiler knows that it is 0 or 1; the verifier has to be shown.
    let side = black_box(usize::from(!headers.from_low)) & 1;
    if let Some((entry, token)) = entries::find(&headers.key, hash, shard) {
        // SAFETY: an element of an array is always there.
        let deadline_ns = unsafe { &raw mut (*entry).deadline_ns };
        // SAFETY: as above.
        let primary_tap = unsafe { &raw mut (*entry).primary_tap };
        // SAFETY: as above.
        if unsafe { deadline_ns.read() } != FlowEntry::REPLACED {
            return Some(Known {
                deadline_ns,
                primary_tap: primary_tap.cast::<PrimaryTap>().wrapping_add(side),
                entry: token,
            });
        }
    }
    let flow: *mut FlowState = FLOWS.get_ptr_mut(&headers.key)?;
    // SAFETY: an entry's memory outlives the program's run.
    let deadline_ns = unsafe { &raw mut (*flow).deadline_ns };
    // SAFETY: as above.
    let primary_tap = unsafe { &raw mut (*flow).primary_tap };
    Some(Known {
        deadline_ns,
        primary_tap: primary_tap.cast::<PrimaryTap>().wrapping_add(side),
        entry: 0,
    })
}

/// Decides on a packet of a connection that nobody has named yet.
#[inline(always)]
fn candidate(headers: &Headers) -> Result<(), KernelDiscard> {
    if !filter::passes(&headers.key, filter::selection()) {
        return Err(KernelDiscard::Filtered);
    }
    if IGNORED.get_ptr(&headers.key).is_some() {
        if !headers.is_first_syn() {
            return Err(KernelDiscard::Ignored);
        }
        // Gone already when another CPU was faster.
        let _removed = IGNORED.remove(&headers.key);
    }
    Ok(())
}

#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: takes no argument, exists since 5.8.
    unsafe { bpf_ktime_get_boot_ns() }
}
