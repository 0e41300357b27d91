//! draft-ietf-opsawg-pcapng: one section, a block for each interface that the flow uses, packets
//! with their direction, and at the end how many packets were captured and lost.

use std::borrow::Cow;
use std::io::Write as _;

use byteorder_slice::LittleEndian;
use bytes::BufMut as _;
use packet_headers_common::Direction;
use pcap_file::Endianness;
use pcap_file::pcapng::blocks::ENHANCED_PACKET_BLOCK;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::interface_statistics::{
    InterfaceStatisticsBlock, InterfaceStatisticsOption,
};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::pcapng::{Block, PcapNgBlock as _};
use smallvec::SmallVec;

use super::pcap::data_link;
use super::{FileEnd, FileHeader, SNAP_LENGTH, u32_of};
use crate::interface_names::InterfaceNames;
use crate::record::Record;
use model::WallNanos;

/// An interface that a file's section describes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interface {
    index: u32,
    first: WallNanos,
    last: WallNanos,
    packets: u64,
}

/// Section Header Block (4.1): who wrote it, and whose packets these are.
pub(super) fn section(header: &FileHeader<'_>, out: &mut Vec<u8>) {
    let [local, remote] = header.ends;
    let comment = format!("uuid={} local={local} remote={remote}", header.meta.uuid);
    begin(&comment, header.application, out);
}

/// Section Header Block with a comment.
pub(super) fn begin(comment: &str, application: &str, out: &mut Vec<u8>) {
    let block = SectionHeaderBlock {
        endianness: Endianness::Little,
        options: vec![
            SectionHeaderOption::Comment(Cow::Borrowed(comment)),
            SectionHeaderOption::OS(Cow::Borrowed("Linux")),
            SectionHeaderOption::UserApplication(Cow::Borrowed(application)),
        ],
        ..SectionHeaderBlock::default()
    };
    write(&block.into_block(), out);
}

/// Interface Statistics Block that says how many packets were lost so far, with a remark for people.
pub(super) fn loss(lost: u64, remark: &str, at: WallNanos, out: &mut Vec<u8>) {
    let block = InterfaceStatisticsBlock {
        interface_id: 0,
        timestamp: halves(at),
        options: vec![
            InterfaceStatisticsOption::Comment(Cow::Borrowed(remark)),
            InterfaceStatisticsOption::IsbOsDrop(lost),
        ],
    };
    write(&block.into_block(), out);
}

/// The number of a packet's interface in the section. A new one is described first (4.2).
fn interface(
    interfaces: &mut SmallVec<[Interface; 1]>,
    record: &Record<'_>,
    names: &InterfaceNames,
    out: &mut Vec<u8>,
) -> usize {
    let known = interfaces.iter().position(|i| i.index == record.ifindex);
    let number = known.unwrap_or_else(|| {
        describe(record, &names.name(record.ifindex), out);
        interfaces.push(Interface {
            index: record.ifindex,
            first: record.time,
            last: record.time,
            packets: 0,
        });
        interfaces.len() - 1
    });
    if let Some(interface) = interfaces.get_mut(number) {
        interface.last = record.time;
        interface.packets += 1;
    }
    number
}

fn describe(record: &Record<'_>, name: &str, out: &mut Vec<u8>) {
    /// Times are in units of 10 to the power of minus this many seconds.
    const NANOSECONDS: u8 = 9;
    let block = InterfaceDescriptionBlock {
        linktype: data_link(record.link_type),
        snaplen: SNAP_LENGTH,
        options: vec![
            InterfaceDescriptionOption::IfName(Cow::Borrowed(name)),
            InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
        ],
    };
    write(&block.into_block(), out);
}

/// The length of an Enhanced Packet Block (4.3) without the packet, its padding and a comment:
/// type, length, interface, time in two halves, captured and wire length; the flags; the end of
/// options; length.
const PACKET_OVERHEAD_LEN: usize = 7 * 4 + 8 + 4 + 4;

/// The code of option `epb_flags`, and in the upper half its length.
const FLAGS: u32 = 2 | 4 << 16;

/// Option `opt_endofopt`, which is empty.
const END_OF_OPTIONS: u32 = 0;

/// Option `opt_comment`.
const COMMENT: u16 = 1;

/// What the comment begins with. A number follows.
const SEGMENTS: &str = "segments=";

/// Appends a packet, behind the description of its interface if that is new.
#[inline]
pub(super) fn packet(
    record: &Record<'_>,
    (interfaces, names): (&mut SmallVec<[Interface; 1]>, &InterfaceNames),
    out: &mut Vec<u8>,
) {
    let number = interface(interfaces, record, names, out);
    put_packet(record, number, out);
}

/// Appends an Enhanced Packet Block. If the packet stands for several on the wire, a comment says for
/// how many: there is no option for that.
fn put_packet(record: &Record<'_>, number: usize, out: &mut Vec<u8>) {
    let length = record.headers.len();
    let padded = length.next_multiple_of(4);
    let comment = match record.segments {
        0 | 1 => 0,
        segments => 4 + segments_length(segments).next_multiple_of(4),
    };
    let total = u32_of(PACKET_OVERHEAD_LEN + padded + comment);
    let time = record.time.0;
    let fields = [
        ENHANCED_PACKET_BLOCK,
        total,
        u32_of(number),
        (time >> 32) as u32,
        time as u32,
        u32_of(length),
        record.wire_len,
    ];
    out.extend_from_slice(fields.map(u32::to_le_bytes).as_flattened());
    out.extend_from_slice(record.headers);
    out.extend_from_slice(&[0; 3][..padded - length]);
    if comment > 0 {
        put_segments(record.segments, out);
    }
    let direction = match record.direction {
        Direction::Ingress => 1,
        Direction::Egress => 2,
    };
    let fields = [FLAGS, direction, END_OF_OPTIONS, total];
    out.extend_from_slice(fields.map(u32::to_le_bytes).as_flattened());
}

/// Appends the comment with the number of segments, as an option.
fn put_segments(segments: u16, out: &mut Vec<u8>) {
    let length = segments_length(segments);
    out.put_u16_le(COMMENT);
    out.put_u16_le(length as u16);
    // A Vec takes every byte.
    let written = write!(out, "{SEGMENTS}{segments}");
    debug_assert!(written.is_ok());
    out.put_bytes(0, length.next_multiple_of(4) - length);
}

/// The length of that comment, without padding.
const fn segments_length(segments: u16) -> usize {
    SEGMENTS.len() + segments.ilog10() as usize + 1
}

/// Interface Statistics Blocks (4.6). The last one has what the kernel knew of the flow and whose flow it was,
/// each as a comment: there are no options for that.
pub(super) fn statistics(interfaces: &[Interface], end: &FileEnd<'_>, out: &mut Vec<u8>) {
    for (number, interface) in interfaces.iter().enumerate() {
        let mut options = vec![
            InterfaceStatisticsOption::IsbStartTime(halves(interface.first)),
            InterfaceStatisticsOption::IsbEndTime(halves(interface.last)),
            InterfaceStatisticsOption::IsbIfRecv(interface.packets),
            InterfaceStatisticsOption::IsbOsDrop(end.lost),
        ];
        if number + 1 == interfaces.len() {
            let totals = end.totals.map(ToString::to_string);
            let owner = end.owner.map(ToString::to_string);
            let comments = totals.into_iter().chain(owner).map(Cow::Owned);
            options.extend(comments.map(InterfaceStatisticsOption::Comment));
        }
        let block = InterfaceStatisticsBlock {
            interface_id: u32_of(number),
            timestamp: halves(interface.last),
            options,
        };
        write(&block.into_block(), out);
    }
}

/// Times are two 32-bit numbers, the upper one first, in either byte order. The library writes one
/// 64-bit number, which in little endian begins with the lower half.
const fn halves(time: WallNanos) -> u64 {
    time.0.rotate_left(32)
}

fn write(block: &Block<'_>, out: &mut Vec<u8>) {
    // A Vec takes every byte.
    let written = block.write_to::<LittleEndian, _>(out);
    debug_assert!(written.is_ok());
}
