//! Copies a packet's headers into a ring of its shard.

use core::hint::black_box;
use core::ptr;

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::bpf_ringbuf_query;
use packet_headers_common::record::{
    FLAG_HARDWARE_TIME, FLAG_PRIMARY_TAP, FLAG_TRUNCATED, HARDWARE_TIME_LEN, RECORD_HEADER_LEN,
    TRUNCATED_META_LEN, TruncatedMeta, class,
};
use packet_headers_common::settings::{LANES, Lane};
use packet_headers_common::{FlowKey, KernelDiscard, RecordHeader};
use packet_headers_ebpf::parse::{Bytes as _, Headers};

use crate::admit::Admitted;
use crate::maps::{HARDWARE_CLOCK, HEADER_BYTES, PACKET_RINGS, PacketRing, SHARDS, WAKEUP_BYTES};
use crate::packet::Packet;

/// How much of a packet's headers was copied.
pub(crate) enum Copied {
    /// All.
    Full,
    /// As many bytes as a record may keep.
    Truncated,
}

/// Copies the headers into a record of the smallest class that holds them.
///
/// # Errors
/// Why there is no record.
#[inline(always)]
pub(crate) fn emit<const DIRECT: bool>(
    packet: &Packet<DIRECT>,
    headers: &Headers,
    admitted: &Admitted,
) -> Result<Copied, KernelDiscard> {
    let ring = Ring::of(&headers.key, admitted.lane)?;
    let mut header = record_header(packet, headers, admitted);
    let most = HEADER_BYTES.load() as usize;
    // User space puts the tag back that the NIC removed.
    let limit = most - packet.stripped_tag_len();
    // Written in two places, as older verifiers would not remember in one which of the two it is.
    if headers.end <= limit {
        header.header_len = headers.end as u16;
        write(packet, &ring, header, headers.end, None)?;
        Ok(Copied::Full)
    } else {
        header.flags |= FLAG_TRUNCATED;
        header.header_len = limit as u16;
        // With room for the most, which is a constant: Linux 6.1 would not know the class otherwise.
        write(packet, &ring, header, most, Some(truncated_meta(headers)))?;
        Ok(Copied::Truncated)
    }
}

/// Where a packet's record goes.
struct Ring {
    map: &'static PacketRing,
    /// Why a packet is discarded when the ring has no room.
    full: KernelDiscard,
}

impl Ring {
    /// The ring of a connection's shard.
    #[inline(always)]
    fn of(key: &FlowKey, lane: Lane) -> Result<Self, KernelDiscard> {
        let full = match lane {
            Lane::Admitted => KernelDiscard::AdmittedRingFull,
            Lane::Candidate => KernelDiscard::CandidateRingFull,
        };
        let map = PACKET_RINGS.get(shard(key) * LANES + lane as u32);
        let map = map.ok_or(full)?;
        Ok(Self { map, full })
    }
}

/// Writes a record with as many of the packet's first bytes as its fixed part says, and room for
/// `most`.
#[inline(always)]
fn write<const DIRECT: bool>(
    packet: &Packet<DIRECT>,
    ring: &Ring,
    mut header: RecordHeader,
    most: usize,
    meta: Option<TruncatedMeta>,
) -> Result<(), KernelDiscard> {
    let header_len = header.header_len;
    let mut length = most;
    if meta.is_some() {
        length += TRUNCATED_META_LEN;
    }
    if HARDWARE_CLOCK.load() != 0 {
        header.flags |= FLAG_HARDWARE_TIME;
        length += HARDWARE_TIME_LEN;
    }
    let mut room = class(length);
    let record = ring.map.reserve_bytes(RECORD_HEADER_LEN + room, 0);
    let mut record = record.ok_or(ring.full)?;
    // SAFETY: every record has room for the fixed part, and is aligned to 8 bytes.
    let mut end = unsafe { append(record.as_mut_ptr(), header) };
    if let Some(meta) = meta {
        // SAFETY: the class was chosen with room for it, and whole words of 8 bytes precede it.
        end = unsafe { append(end, meta) };
        room -= TRUNCATED_META_LEN;
    }
    if HARDWARE_CLOCK.load() != 0 {
        // SAFETY: as above.
        end = unsafe { append(end, packet.hardware_time()) };
        room -= HARDWARE_TIME_LEN;
    }
    // The compiler knows that the length fits, and would leave out the check by which the verifier
    // learns it. That it is not 0, verifiers before Linux 6.8 learn from a sum, not from a comparison.
    let beyond_first = black_box(u32::from(header_len).wrapping_sub(1));
    let length = beyond_first.min(room as u32 - 1) + 1;
    // SAFETY: `length` bytes are left of the record.
    if !unsafe { packet.copy_start(end, length) } {
        record.discard(BPF_RB_NO_WAKEUP.into());
        return Err(KernelDiscard::CopyFailed);
    }
    record.submit(wakeup(ring.map));
    Ok(())
}

/// The shard of a connection. The setting is a constant to the verifier, so that one shard costs no
/// hash.
#[inline(always)]
fn shard(key: &FlowKey) -> u32 {
    match SHARDS.load() {
        1 => 0,
        shards => key.shard(shards),
    }
}

/// The fixed part of a packet's record, as far as it does not depend on how much the record keeps.
#[inline(always)]
fn record_header<const DIRECT: bool>(
    packet: &Packet<DIRECT>,
    headers: &Headers,
    admitted: &Admitted,
) -> RecordHeader {
    let (vlan_protocol, vlan_tci) = packet.stripped_vlan();
    RecordHeader {
        boot_ns: admitted.now_ns,
        wire_len: packet.length() as u32,
        ifindex: packet.ifindex(),
        header_len: 0,
        l3_offset: headers.l3 as u16,
        l4_offset: headers.l4 as u16,
        vlan_tci,
        vlan_protocol,
        direction: packet.direction as u8,
        link_type: packet.link as u8,
        flags: match admitted.lane {
            Lane::Admitted => FLAG_PRIMARY_TAP,
            Lane::Candidate => 0,
        },
        reserved: 0,
        segments: packet.segments(headers.end),
    }
}

/// What the daemon needs of headers whose record may end before it.
#[inline(always)]
fn truncated_meta(headers: &Headers) -> TruncatedMeta {
    TruncatedMeta {
        key: headers.key,
        sequence: headers.sequence,
        tcp_flags: headers.tcp_flags,
        from_low: headers.from_low.into(),
        reserved: [0; 6],
    }
}

/// Writes a value, and returns where it ends.
///
/// # Safety
/// There must be room for it at `at`, aligned as it needs.
#[inline(always)]
unsafe fn append<T>(at: *mut u8, value: T) -> *mut u8 {
    // SAFETY: the caller vouches for the room.
    unsafe { at.cast::<T>().write(value) };
    at.wrapping_add(size_of::<T>())
}

/// Whether to wake the reader. It polls every few milliseconds, and is woken early only when much is
/// waiting.
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
