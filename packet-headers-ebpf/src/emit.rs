//! Puts a packet's headers into the ring of its shard.

use core::hint::black_box;
use core::mem::MaybeUninit;
use core::ptr;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{bpf_ktime_get_boot_ns, bpf_ringbuf_query, bpf_skb_load_bytes};
use aya_ebpf::programs::TcContext;
use packet_headers_common::record::{CLASSES, Record};
use packet_headers_common::{Counter, Direction, LinkType, RecordHeader};
use packet_headers_ebpf::parse::Headers;

use crate::maps::{PACKET_RINGS, PacketRing, SHARDS, WAKEUP_BYTES};

const SMALL: usize = CLASSES[0];
const MEDIUM: usize = CLASSES[1];
const LARGE: usize = CLASSES[2];
const LARGEST: usize = CLASSES[3];

/// Copies the headers into the smallest class of record that holds them.
///
/// # Errors
/// The [`Counter`] that says why there is no record.
#[inline(always)]
pub(crate) fn emit(
    ctx: &TcContext,
    headers: &Headers,
    direction: Direction,
    link: LinkType,
) -> Result<(), Counter> {
    let shard = headers.key.shard(SHARDS.load());
    let ring = PACKET_RINGS.get(shard).ok_or(Counter::RingFull)?;
    let header = fixed_part(ctx, headers, direction, link);
    match headers.end {
        ..=SMALL => record::<SMALL>(ctx, ring, &header),
        ..=MEDIUM => record::<MEDIUM>(ctx, ring, &header),
        ..=LARGE => record::<LARGE>(ctx, ring, &header),
        _ => record::<LARGEST>(ctx, ring, &header),
    }
}

#[inline(always)]
fn fixed_part(
    ctx: &TcContext,
    headers: &Headers,
    direction: Direction,
    link: LinkType,
) -> RecordHeader {
    let skb = ctx.skb.skb;
    // SAFETY: the context of a classifier is valid while it runs; the verifier checks each field.
    let (ifindex, tagged) = unsafe { ((*skb).ifindex, (*skb).vlan_present) };
    let (vlan_tci, vlan_protocol) = if tagged == 0 {
        (0, 0)
    } else {
        // SAFETY: as above.
        unsafe {
            (
                (*skb).vlan_tci as u16,
                u16::from_be((*skb).vlan_proto as u16),
            )
        }
    };
    RecordHeader {
        // SAFETY: takes no argument, exists since 5.8.
        boot_ns: unsafe { bpf_ktime_get_boot_ns() },
        wire_len: ctx.len(),
        ifindex,
        header_len: headers.end as u16,
        l3_offset: headers.l3 as u16,
        l4_offset: headers.l4 as u16,
        vlan_tci,
        vlan_protocol,
        direction: direction as u8,
        link_type: link as u8,
        reserved: 0,
    }
}

#[inline(always)]
fn record<const N: usize>(
    ctx: &TcContext,
    ring: &PacketRing,
    header: &RecordHeader,
) -> Result<(), Counter> {
    let Some(mut entry) = ring.reserve_untyped::<Record<N>>(0) else {
        return Err(Counter::RingFull);
    };
    let record: *mut Record<N> = MaybeUninit::as_mut_ptr(&mut entry);
    // SAFETY: the ring gave us room for a whole record, aligned to 8 bytes.
    unsafe { ptr::write(&raw mut (*record).header, *header) };
    // The compiler knows that the length fits, and would leave out the check by which the verifier
    // learns it.
    let length = black_box(u32::from(header.header_len)).clamp(1, N as u32);
    // SAFETY: `length` bytes fit into `bytes`; the kernel checks that the packet has them.
    let copied =
        unsafe { bpf_skb_load_bytes(ctx.as_ptr(), 0, (&raw mut (*record).bytes).cast(), length) };
    if copied != 0 {
        entry.discard(BPF_RB_NO_WAKEUP.into());
        return Err(Counter::CopyFailed);
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
