//! The classic format with nanoseconds: draft-ietf-opsawg-pcap, magic 0xa1b23c4d.

use packet_headers_common::LinkType;
use pcap_file::pcap::PcapHeader;
use pcap_file::{DataLink, Endianness, TsResolution};

use super::{SNAP_LENGTH, u32_of};
use crate::pcap_record::{LATEST, RecordHeader};
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

/// Appends a packet.
#[inline]
pub(super) fn packet(record: &Record<'_>, out: &mut Vec<u8>) {
    let header = RecordHeader {
        time: record.time.min(LATEST),
        captured: u32_of(record.headers.len()),
        wire_len: record.wire_len,
    };
    out.extend_from_slice(&header.encode());
    out.extend_from_slice(record.headers);
}
