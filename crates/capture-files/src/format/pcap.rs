//! The classic format with nanoseconds: draft-ietf-opsawg-pcap, magic 0xa1b23c4d.

use std::ops::Range;

use packet_headers_common::LinkType;
use pcap_file::pcap::PcapHeader;
use pcap_file::{DataLink, Endianness, TsResolution};

use super::{SNAP_LENGTH, u32_of};
use crate::record::Record;

/// Appends what a file of packets with this link type begins with.
pub(super) fn header(link_type: LinkType, out: &mut Vec<u8>) {
    let header = PcapHeader {
        snaplen: SNAP_LENGTH,
        datalink: data_link(link_type),
        ts_resolution: TsResolution::NanoSecond,
        endianness: Endianness::Little,
        ..PcapHeader::default()
    };
    // A Vec takes every byte.
    let written = header.write_to(out);
    debug_assert!(written.is_ok());
}

/// The format's number for a link type.
pub(super) const fn data_link(link_type: LinkType) -> DataLink {
    match link_type {
        LinkType::Ethernet => DataLink::ETHERNET,
        LinkType::RawIp => DataLink::RAW,
    }
}

/// Appends seconds, nanoseconds, captured and wire length, then the headers; where these are.
#[inline]
pub(super) fn packet(record: &Record<'_>, out: &mut Vec<u8>) -> Range<usize> {
    let time = record.time.0;
    let fields = [
        // The format's seconds end in 2106.
        u32::try_from(time / 1_000_000_000).unwrap_or(u32::MAX),
        (time % 1_000_000_000) as u32,
        u32_of(record.headers.len()),
        record.wire_len,
    ];
    out.extend_from_slice(fields.map(u32::to_le_bytes).as_flattened());
    let start = out.len();
    out.extend_from_slice(record.headers);
    start..out.len()
}
