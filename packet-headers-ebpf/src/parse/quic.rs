//! What QUIC shows of the first packet in a datagram (RFC 8999).

use packet_headers_common::quic::{
    FIXED_BIT, ID_OFFSET, LONG_HEADER, LongType, MAX_ID, MIN_FIRST_DATAGRAM, MIN_FIRST_ID,
};
use packet_headers_common::quic_state::{Long, ShownId, kept_type};

use super::Bytes;

/// What the first packet of a datagram shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It is none of QUIC, or of a version that is not known.
    Nothing,
    /// A short header.
    Short,
    /// A long header, of so many bytes up to the end of its connection IDs.
    Long(Long, usize),
    /// A long header with a connection ID that is longer than any may be.
    TooLong,
}

/// What `length` bytes of payload, which begin at `at`, show if they are QUIC.
#[inline(always)]
pub fn shown(packet: &impl Bytes, at: usize, length: usize) -> Shown {
    if length == 0 {
        return Shown::Nothing;
    }
    let Some([begin, ..]) = packet.padded(at, length.min(ID_OFFSET + 1)) else {
        return Shown::Nothing;
    };
    let begin = u64::from_le(begin);
    let first = begin as u8;
    if first & LONG_HEADER == 0 {
        return match first & FIXED_BIT {
            0 => Shown::Nothing,
            _ => Shown::Short,
        };
    }
    let version = ((begin >> 8) as u32).swap_bytes();
    let destination = (begin >> (8 * ID_OFFSET)) as u8;
    match kept_type(first, version) {
        Some(kind) => long(packet, (kind, destination.into()), at, length),
        None => None,
    }
    .unwrap_or(Shown::Nothing)
}

/// `None` if it is no long header that is kept. Its type is known, and how long its destination ID is.
#[inline(always)]
fn long(
    packet: &impl Bytes,
    (kind, destination_length): (Option<LongType>, usize),
    at: usize,
    length: usize,
) -> Option<Shown> {
    let destination = at + ID_OFFSET;
    if destination_length > MAX_ID {
        return Some(Shown::TooLong);
    }
    let source = destination + 1 + destination_length;
    let source_length = id_length(packet, source)?;
    if source_length > MAX_ID {
        return Some(Shown::TooLong);
    }
    let shown = ID_OFFSET + 2 + destination_length + source_length;
    // What follows is not the packet's.
    if shown > length {
        return None;
    }
    let begins = matches!(kind, Some(LongType::Initial))
        && length >= MIN_FIRST_DATAGRAM
        && destination_length >= MIN_FIRST_ID;
    let long = Long {
        kind,
        begins,
        destination: id(packet, destination, destination_length)?,
        source: id(packet, source, source_length)?,
    };
    Some(Shown::Long(long, shown))
}

/// The length of the connection ID behind the byte at `at`, which has it.
#[inline(always)]
fn id_length(packet: &impl Bytes, at: usize) -> Option<usize> {
    let [length, ..] = packet.padded(at, 1)?;
    Some(u64::from_le(length) as usize)
}

#[inline(always)]
fn id(packet: &impl Bytes, at: usize, length: usize) -> Option<ShownId> {
    let words = packet.padded(at, 1 + length)?;
    Some(ShownId::of(words, length as u64))
}
