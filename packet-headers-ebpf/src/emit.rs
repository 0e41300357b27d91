//! Puts a packet's headers into the ring of its shard.

use core::hint::black_box;
use core::mem::MaybeUninit;
use core::ptr;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{bpf_ringbuf_query, bpf_skb_load_bytes};
use aya_ebpf::programs::TcContext;
use packet_headers_common::record::{
    CLASSES, FLAG_HARDWARE_TIME, FLAG_PRIMARY_TAP, FLAG_TRUNCATED, HARDWARE_TIME_LEN,
    RECORD_HEADER_LEN, Record, TRUNCATED_META_LEN, TruncatedMeta,
};
use packet_headers_common::settings::{LANES, Lane};
use packet_headers_common::{FlowKey, KernelDiscard, RecordHeader};
use packet_headers_ebpf::parse::Headers;

use crate::Place;
use crate::admit::Admitted;
use crate::maps::{HARDWARE_CLOCK, HEADER_BYTES, PACKET_RINGS, PacketRing, SHARDS, WAKEUP_BYTES};
use crate::skb::{Frame, load};

const SMALLEST: usize = CLASSES[0];
const SMALL: usize = CLASSES[1];
const MEDIUM: usize = CLASSES[2];
const LARGE: usize = CLASSES[3];
const LARGEST: usize = CLASSES[4];

/// What of a packet's headers went into its record.
pub(crate) enum Kept {
    /// All.
    Whole,
    /// As many bytes as a record may keep.
    Part,
}

/// Copies the headers into the smallest class of record that holds them.
///
/// # Errors
/// The [`KernelDiscard`] that says why there is no record.
#[inline(always)]
pub(crate) fn emit(
    ctx: &TcContext,
    packet: &impl Frame,
    headers: &Headers,
    place: &Place,
    admitted: &Admitted,
) -> Result<Kept, KernelDiscard> {
    let full = match admitted.lane {
        Lane::Admitted => KernelDiscard::AdmittedRingFull,
        Lane::Candidate => KernelDiscard::CandidateRingFull,
    };
    let number = shard(&headers.key) * LANES + admitted.lane as u32;
    let ring = PACKET_RINGS.get(number).ok_or(full)?;
    let mut header = fixed_part(ctx, headers, place, admitted);
    let limit = HEADER_BYTES.load() as usize;
    let (cut, kept) = if headers.end > limit {
        header.header_len = limit as u16;
        header.flags |= FLAG_TRUNCATED;
        (Some(cut(ctx, headers)?), Kept::Part)
    } else {
        (None, Kept::Whole)
    };
    let outcome = if HARDWARE_CLOCK.load() == 0 {
        put(ctx, ring, &header, cut.as_ref(), None)
    } else {
        header.flags |= FLAG_HARDWARE_TIME;
        put(
            ctx,
            ring,
            &header,
            cut.as_ref(),
            Some(packet.hardware_time()),
        )
    };
    match outcome {
        Ok(()) => Ok(kept),
        Err(Refusal::RingFull) => Err(full),
        Err(Refusal::CopyFailed) => Err(KernelDiscard::CopyFailed),
    }
}

/// The shard of a connection. The setting is a constant to the verifier: a single shard costs no hash.
#[inline(always)]
fn shard(key: &FlowKey) -> u32 {
    match SHARDS.load() {
        1 => 0,
        shards => key.shard(shards),
    }
}

/// What of the headers a record has to tell that may lie beyond its bytes.
///
/// By the helper: verifiers before Linux 6.8 have lost the offset's bound by now.
#[inline(always)]
fn cut(ctx: &TcContext, headers: &Headers) -> Result<TruncatedMeta, KernelDiscard> {
    let tcp: [u8; 14] = load(ctx, headers.l4).ok_or(KernelDiscard::CopyFailed)?;
    Ok(TruncatedMeta {
        key: headers.key,
        sequence: u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]),
        tcp_flags: tcp[13],
        from_low: headers.from_low.into(),
        reserved: [0; 6],
    })
}

#[inline(always)]
fn put(
    ctx: &TcContext,
    ring: &PacketRing,
    header: &RecordHeader,
    cut: Option<&TruncatedMeta>,
    time: Option<u64>,
) -> Result<(), Refusal> {
    let length = usize::from(header.header_len);
    if cut.is_some() {
        return if length <= LARGE - TRUNCATED_META_LEN - HARDWARE_TIME_LEN {
            record::<LARGE>(ctx, ring, header, cut, time)
        } else {
            record::<LARGEST>(ctx, ring, header, cut, time)
        };
    }
    let more = if time.is_some() { HARDWARE_TIME_LEN } else { 0 };
    if length + more <= SMALLEST {
        record::<SMALLEST>(ctx, ring, header, None, time)
    } else if length + more <= SMALL {
        record::<SMALL>(ctx, ring, header, None, time)
    } else if length + more <= MEDIUM {
        record::<MEDIUM>(ctx, ring, header, None, time)
    } else if length + more <= LARGE {
        record::<LARGE>(ctx, ring, header, None, time)
    } else {
        record::<LARGEST>(ctx, ring, header, None, time)
    }
}

/// Why a ring took no record.
enum Refusal {
    RingFull,
    CopyFailed,
}

#[inline(always)]
fn fixed_part(
    ctx: &TcContext,
    headers: &Headers,
    place: &Place,
    admitted: &Admitted,
) -> RecordHeader {
    let skb = ctx.skb.skb;
    /// Reads one field of the packet's context.
    macro_rules! field {
        ($name:ident) => {
            // SAFETY: the context is valid while a classifier runs; the verifier checks the field.
            unsafe { (*skb).$name }
        };
    }
    let (vlan_tci, vlan_protocol) = if field!(vlan_present) == 0 {
        (0, 0)
    } else {
        let protocol = field!(vlan_proto) as u16;
        (field!(vlan_tci) as u16, u16::from_be(protocol))
    };
    RecordHeader {
        boot_ns: admitted.now_ns,
        wire_len: ctx.len(),
        ifindex: place.ifindex,
        header_len: headers.end as u16,
        l3_offset: headers.l3 as u16,
        l4_offset: headers.l4 as u16,
        vlan_tci,
        vlan_protocol,
        direction: place.direction as u8,
        link_type: place.link as u8,
        flags: match admitted.lane {
            Lane::Admitted => FLAG_PRIMARY_TAP,
            Lane::Candidate => 0,
        },
        reserved: 0,
        segments: segments(ctx, headers),
    }
}

/// How many packets on the wire this one stands for; 0 when the NIC does nothing to it.
///
/// A virtual machine's packets tell only how large each is to become.
#[inline(always)]
fn segments(ctx: &TcContext, headers: &Headers) -> u16 {
    let skb = ctx.skb.skb;
    // SAFETY: the context is valid while a classifier runs; the field exists since 5.7.
    let size = unsafe { (*skb).gso_size };
    if size == 0 {
        return 0;
    }
    // SAFETY: the same; this field exists since 5.1.
    let told = unsafe { (*skb).gso_segs };
    let segments = if told == 0 {
        let payload = ctx.len().saturating_sub(headers.end as u32);
        payload.div_ceil(size)
    } else {
        told
    };
    segments.min(u16::MAX.into()) as u16
}

#[inline(always)]
fn record<const N: usize>(
    ctx: &TcContext,
    ring: &PacketRing,
    header: &RecordHeader,
    cut: Option<&TruncatedMeta>,
    time: Option<u64>,
) -> Result<(), Refusal> {
    let Some(mut entry) = ring.reserve_untyped::<Record<N>>(0) else {
        return Err(Refusal::RingFull);
    };
    let record: *mut Record<N> = MaybeUninit::as_mut_ptr(&mut entry);
    // SAFETY: the ring gave us room for a whole record, aligned to 8 bytes, and it begins so.
    unsafe { record.cast::<RecordHeader>().write(*header) };
    let behind = record.cast::<u8>().wrapping_add(RECORD_HEADER_LEN);
    let (bytes, room) = match cut {
        None => (behind, N),
        Some(cut) => {
            // SAFETY: the classes of cut records have room for it behind the header, aligned to 8.
            unsafe { behind.cast::<TruncatedMeta>().write(*cut) };
            (
                behind.wrapping_add(TRUNCATED_META_LEN),
                N - TRUNCATED_META_LEN,
            )
        }
    };
    let (bytes, room) = match time {
        None => (bytes, room),
        Some(time) => {
            // SAFETY: the class has room for it, and what precedes it is whole words of 8 bytes.
            unsafe { bytes.cast::<u64>().write(time) };
            (
                bytes.wrapping_add(HARDWARE_TIME_LEN),
                room - HARDWARE_TIME_LEN,
            )
        }
    };
    // The compiler knows that the length fits, and would leave out the check by which the verifier
    // learns it. That it is not 0, verifiers before Linux 6.8 learn from a sum, not from a comparison.
    let beyond_first = black_box(u32::from(header.header_len).wrapping_sub(1));
    let length = beyond_first.min(room as u32 - 1) + 1;
    // SAFETY: `length` bytes fit behind the header; the kernel checks that the packet has them.
    let copied = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), 0, bytes.cast(), length) };
    if copied != 0 {
        entry.discard(BPF_RB_NO_WAKEUP.into());
        return Err(Refusal::CopyFailed);
    }
    entry.submit(wakeup(ring));
    Ok(())
}

/// The reader looks by itself every few milliseconds; it is woken early only when much is waiting.
#[inline(always)]
fn wakeup(ring: &PacketRing) -> u64 {
    // SAFETY: a map definition's address is the map; the query reads one number of it.
    let waiting = unsafe {
        bpf_ringbuf_query(
            ptr::from_ref(ring).cast_mut().cast(),
            BPF_RB_AVAIL_DATA.into(),
        )
    };
    if waiting > u64::from(WAKEUP_BYTES.load()) {
        BPF_RB_FORCE_WAKEUP.into()
    } else {
        BPF_RB_NO_WAKEUP.into()
    }
}
