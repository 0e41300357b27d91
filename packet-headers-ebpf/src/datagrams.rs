//! Decides which UDP packets go to user space. A flow begins with a packet after a silence, and nobody else tells of
//! it.
//!
//! Anybody can forge a packet of a flow. One that comes first begins it, so that the flow's time is over sooner; where
//! it comes by another interface than the true ones, it may be taken for the copy at the primary tap for as long as
//! more of them follow. The same is so of connections that nobody tells of. What one may not do is to have more kept
//! of other packets: see [`quic_state`](packet_headers_common::quic_state).

use core::hint::black_box;

use aya_ebpf::bindings::{BPF_ANY, BPF_EXIST, BPF_NOEXIST};
use packet_headers_common::settings::Lane;
use packet_headers_common::{DatagramState, KernelDiscard, PrimaryTap, QuicState, datagram_state};
use packet_headers_ebpf::parse::Datagram;

use crate::admit::{Admitted, now};
use crate::kept::Kept;
use crate::maps::{DATAGRAMS, SHARDS};
use crate::packet::Packet;
use crate::scratch::{Scratch, through};
use crate::{filter, quic};

/// Where a UDP packet goes, whether it begins a flow there, and how much of it is kept.
pub(crate) struct AdmittedDatagram {
    pub(crate) admitted: Admitted,
    pub(crate) begins: bool,
    pub(crate) kept: Kept,
}

/// Decides by what the kernel knows of the packet's flow.
///
/// # Errors
/// Why the packet is discarded.
#[inline(always)]
pub(crate) fn admit<const DIRECT: bool>(
    packet: &Packet<DIRECT>,
    datagram: &Datagram,
    scratch: &mut Scratch,
) -> Result<AdmittedDatagram, KernelDiscard> {
    let headers = &datagram.headers;
    let now_ns = now();
    let known: Option<*mut DatagramState> = DATAGRAMS.get_ptr_mut(&headers.key);
    let state = match known {
        // SAFETY: an entry's memory outlives the program's run.
        Some(flow) => unsafe { goes_on(packet, headers.from_low, flow, now_ns) }?,
        None => None,
    };
    let goes_on = state.is_some();
    let flow = match state {
        Some(flow) => flow,
        None => begin(packet, datagram, now_ns)?,
    };
    let mut flow = through(&mut scratch.flow, flow);
    let kept = quic::learn(packet, datagram, &mut flow, !goes_on);
    let kept = through(&mut scratch.kept, kept);
    let flow = through(&mut scratch.flow, flow);
    let begins = if goes_on {
        if kept.has_changed {
            // As a whole, as the entry may be another flow's by now. What another processor has learned meanwhile is
            // learned again, from the next packet.
            let _gone = DATAGRAMS.insert(&headers.key, &flow, BPF_EXIST.into());
        }
        false
    } else {
        let flags = match known {
            // Two processors that do so at the same time both begin a flow, and user space makes one of them.
            Some(_silent) => BPF_ANY,
            // Where another one was faster, this packet does not begin it.
            None => BPF_NOEXIST,
        };
        DATAGRAMS.insert(&headers.key, &flow, flags.into()).is_ok()
    };
    Ok(AdmittedDatagram {
        admitted: Admitted {
            // Behind those of connections.
            shard: SHARDS.load(),
            lane: Lane::Admitted,
            now_ns,
            entry: 0,
        },
        begins,
        kept,
    })
}

/// What is known of the flow that the packet belongs to; `None` if that was silent.
///
/// # Errors
/// Why the packet is discarded.
///
/// # Safety
/// There must be an entry of the map.
#[inline(always)]
unsafe fn goes_on<const DIRECT: bool>(
    packet: &Packet<DIRECT>,
    from_low: bool,
    flow: *mut DatagramState,
    now_ns: u64,
) -> Result<Option<DatagramState>, KernelDiscard> {
    // SAFETY: the caller vouches for it. What two processors write at the same time, one of them wins: the next
    // packet corrects it.
    let flow = unsafe { &mut *flow };
    let active_ns = flow.active_ns;
    if !DatagramState::goes_on(active_ns, now_ns, filter::udp_silence_ns()) {
        return Ok(None);
    }
    if now_ns.saturating_sub(active_ns) >= datagram_state::NOTED_AFTER_NS {
        flow.active_ns = now_ns;
    }
    if now_ns >= flow.deadline_ns {
        return Err(KernelDiscard::AfterCapture);
    }
    // The compiler knows that it is 0 or 1; the verifier has to be shown.
    let side = black_box(usize::from(!from_low)) & 1;
    let taps = (&raw mut flow.primary_tap).cast::<PrimaryTap>();
    // SAFETY: as above; there are two.
    let tap = unsafe { &mut *taps.wrapping_add(side) };
    match tap.accepts(packet.tap_point(), now_ns) {
        true => Ok(Some(*flow)),
        false => Err(KernelDiscard::Duplicate),
    }
}

/// A flow that begins now, with this packet.
///
/// # Errors
/// Why the packet is discarded.
#[inline(always)]
fn begin<const DIRECT: bool>(
    packet: &Packet<DIRECT>,
    datagram: &Datagram,
    now_ns: u64,
) -> Result<DatagramState, KernelDiscard> {
    let headers = &datagram.headers;
    if !filter::passes(&headers.key, filter::selection()) {
        return Err(KernelDiscard::Filtered);
    }
    let mut flow = DatagramState {
        quic: QuicState::none_by(black_box(0)),
        ..DatagramState::new(now_ns, now_ns + filter::capture_ns())
    };
    let point = PrimaryTap::new(packet.tap_point(), now_ns);
    match headers.from_low {
        true => flow.primary_tap[0] = point,
        false => flow.primary_tap[1] = point,
    }
    Ok(flow)
}
