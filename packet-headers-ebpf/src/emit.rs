//! Copies a packet's headers into the stream of its shard.

use core::hint::black_box;

use packet_headers_common::record::{
    DATAGRAM, FLAG_EGRESS, FLAG_FROM_LOW, FLAG_HARDWARE_TIME, FLAG_META, FLAG_PRIMARY_TAP,
    FLAG_RAW_IP, ICMP_ERROR, MAX_HEADERS, Meta, TCP_SYN, record_len, tag_flags,
};
use packet_headers_common::settings::Lane;
use packet_headers_common::{KernelDiscard, RecordHeader};
use packet_headers_ebpf::parse::{Bytes as _, Headers};

use crate::admit::Admitted;
use crate::datagrams::AdmittedDatagram;
use crate::maps::{HARDWARE_CLOCK, HEADER_BYTES};
use crate::packet::Packet;
use crate::stream::Place;

/// How much of a packet's headers was copied.
pub(crate) enum Copied {
    /// All.
    Full,
    /// As many bytes as a record may keep.
    Truncated,
}

/// Copies the headers into a record.
///
/// # Errors
/// Why there is no record.
#[inline(always)]
pub(crate) fn emit<const DIRECT: bool>(
    packet: &Packet<DIRECT>,
    headers: &Headers,
    admitted: &Admitted,
) -> Result<Copied, KernelDiscard> {
    let Some(place) = Place::next(admitted.shard, admitted.lane) else {
        return Err(match admitted.lane {
            Lane::Admitted => KernelDiscard::AdmittedRingFull,
            Lane::Candidate => KernelDiscard::CandidateRingFull,
        });
    };
    let mut header = record_header(packet, headers, admitted);
    // User space puts the tag back that the NIC removed.
    let limit = HEADER_BYTES.load() as usize - packet.stripped_tag_len();
    // Written in two places, as older verifiers would not remember in one which of the two it is.
    let (length, copied) = if headers.end <= limit {
        header.header_len = headers.end as u16;
        (write(packet, &place, header, None)?, Copied::Full)
    } else {
        header.header_len = limit as u16;
        header.flags |= FLAG_META;
        let meta = Some(meta(headers));
        (write(packet, &place, header, meta)?, Copied::Truncated)
    };
    place.publish(length);
    Ok(copied)
}

/// Copies the headers of an ICMP error into a record.
///
/// # Errors
/// Why there is no record.
#[inline(always)]
pub(crate) fn emit_error<const DIRECT: bool>(
    packet: &Packet<DIRECT>,
    headers: &Headers,
    admitted: &Admitted,
) -> Result<Copied, KernelDiscard> {
    let place = Place::next(admitted.shard, admitted.lane);
    let place = place.ok_or(KernelDiscard::CandidateRingFull)?;
    let limit = HEADER_BYTES.load() as usize - packet.stripped_tag_len();
    let mut header = record_header(packet, headers, admitted);
    header.l4_offset |= ICMP_ERROR;
    header.flags |= FLAG_META;
    header.header_len = headers.end.min(limit) as u16;
    let length = write(packet, &place, header, Some(meta(headers)))?;
    place.publish(length);
    Ok(match headers.end <= limit {
        true => Copied::Full,
        false => Copied::Truncated,
    })
}

/// Copies the headers of a UDP packet, and what is kept of QUIC, into a record.
///
/// # Errors
/// Why there is no record.
#[inline(always)]
pub(crate) fn emit_datagram<const DIRECT: bool>(
    packet: &Packet<DIRECT>,
    headers: &Headers,
    datagram: &AdmittedDatagram,
) -> Result<Copied, KernelDiscard> {
    let admitted = &datagram.admitted;
    let limit = HEADER_BYTES.load() as usize - packet.stripped_tag_len();
    let mut header = record_header(packet, headers, admitted);
    header.l4_offset |= DATAGRAM;
    header.flags |= FLAG_META;
    header.tcp_flags = u8::from(datagram.begins) * TCP_SYN;
    let end = headers.end + datagram.kept.length;
    header.header_len = end.min(limit) as u16;
    let (low, high) = headers.key.ends();
    let (source, destination) = match headers.from_low {
        true => (low.port(), high.port()),
        false => (high.port(), low.port()),
    };
    let meta = Meta {
        key: headers.key,
        // As that of a SYN: no two beginnings have the same.
        sequence: admitted.now_ns as u32,
        cookie: packet.connected_socket(source, destination),
    };
    // Behind the calls of helpers, across which older verifiers do not remember where there is room.
    let place = Place::next(admitted.shard, admitted.lane).ok_or(KernelDiscard::UdpRingFull)?;
    let length = write(packet, &place, header, Some(meta))?;
    place.publish(length);
    Ok(match end <= limit {
        true => Copied::Full,
        false => Copied::Truncated,
    })
}

/// Writes a record with as many of the packet's first bytes as its fixed part says. Returns its length.
#[inline(always)]
fn write<const DIRECT: bool>(
    packet: &Packet<DIRECT>,
    place: &Place,
    header: RecordHeader,
    meta: Option<Meta>,
) -> Result<usize, KernelDiscard> {
    // Those that are cut are rare.
    let by_words = meta.is_none();
    // The flags by which the length is found. They are constants here: to find them in the header, the
    // verifier would look back over all that leads here.
    let mut flags = 0;
    let header_len = u32::from(header.header_len);
    // SAFETY: there is room for the longest record, and it is aligned to 8 bytes.
    let mut end = unsafe { append(place.at(), header) };
    if let Some(meta) = meta {
        flags |= FLAG_META;
        // SAFETY: as above, and whole words of 8 bytes precede it.
        end = unsafe { append(end, meta) };
    }
    if HARDWARE_CLOCK.load() != 0 {
        flags |= FLAG_HARDWARE_TIME;
        // SAFETY: as above.
        end = unsafe { append(end, packet.hardware_time()) };
    }
    // The compiler knows that it is no more, and would leave out the check by which the verifier
    // learns it. As 32 bits: of those, older verifiers do not look back through the stack to where
    // they are from, and so do not tell apart each way that leads here.
    let header_len = black_box(header_len).min(MAX_HEADERS as u32) as usize;
    // SAFETY: as above; the last word of the room is behind the record.
    if !unsafe { packet.copy_headers(end, header_len, by_words) } {
        return Err(KernelDiscard::CopyFailed);
    }
    Ok(record_len(flags, header_len))
}

/// The fixed part of a packet's record, as far as it does not depend on how much the record keeps.
#[inline(always)]
fn record_header<const DIRECT: bool>(
    packet: &Packet<DIRECT>,
    headers: &Headers,
    admitted: &Admitted,
) -> RecordHeader {
    let (tag, vlan_tci) = packet.stripped_vlan();
    RecordHeader {
        boot_ns: admitted.now_ns,
        wire_len: packet.length() as u32,
        ifindex: packet.ifindex(),
        header_len: 0,
        l3_offset: headers.l3 as u16,
        l4_offset: headers.l4 as u16,
        vlan_tci,
        entry: admitted.entry,
        flags: lane_flag(admitted.lane)
            | clock_flag()
            | (u8::from(headers.from_low) * FLAG_FROM_LOW)
            | (packet.direction as u8 * FLAG_EGRESS)
            | (packet.link as u8 * FLAG_RAW_IP)
            | tag_flags(tag),
        tcp_flags: headers.tcp_flags,
        segments: packet.segments(headers.end),
    }
}

#[inline(always)]
const fn lane_flag(lane: Lane) -> u8 {
    match lane {
        Lane::Admitted => FLAG_PRIMARY_TAP,
        Lane::Candidate => 0,
    }
}

#[inline(always)]
fn clock_flag() -> u8 {
    match HARDWARE_CLOCK.load() {
        0 => 0,
        _ => FLAG_HARDWARE_TIME,
    }
}

/// What the daemon needs of headers whose record may end before it.
#[inline(always)]
fn meta(headers: &Headers) -> Meta {
    Meta {
        key: headers.key,
        sequence: headers.sequence,
        cookie: 0,
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
