//! Files as ours are, by another crate's hand.

use std::borrow::Cow;
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::interface_statistics::InterfaceStatisticsBlock;
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::{DataLink, Endianness, TsResolution};

/// A file, and where each of its items ends with how many packets up to there.
pub(super) struct Sample {
    pub(super) bytes: Vec<u8>,
    pub(super) ends: Vec<(usize, u64)>,
}

impl Sample {
    /// The last end that a file cut at `cut` has, and its packets.
    pub(super) fn whole_at(&self, cut: usize) -> (usize, u64) {
        let ends = self.ends.iter().rev();
        ends.copied().find(|(end, _)| *end <= cut).unwrap_or((0, 0))
    }
}

/// Headers of a packet: IPv4, IPv6, or IPv4 behind two tags.
fn headers(number: usize, link: u32) -> Vec<u8> {
    let mut packet = Vec::new();
    if link == 1 {
        packet.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
        packet.extend(match number % 3 {
            0 => &[0x08, 0x00][..],
            1 => &[0x86, 0xdd],
            _ => &[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0x08, 0x00],
        });
    }
    let (version, length) = if number % 3 == 1 {
        (0x60, 60)
    } else {
        (0x45, 40)
    };
    packet.push(version);
    // Options of different lengths, so that there is padding to be had.
    let noise = (1..length + number % 5).map(|n| (n * 37 + number * 11) as u8);
    packet.extend(noise);
    packet
}

fn time(number: usize) -> Duration {
    // Two packets of one time now and then.
    Duration::from_nanos(1_700_000_000_999_999_000 + (number as u64 / 2) * 777)
}

/// A pcap file of so many packets.
pub(super) fn pcap(link: u32, packets: usize) -> Sample {
    let header = PcapHeader {
        snaplen: 262_144,
        datalink: DataLink::from(link),
        ts_resolution: TsResolution::NanoSecond,
        endianness: Endianness::Little,
        ..PcapHeader::default()
    };
    let mut bytes = Vec::new();
    let mut writer = PcapWriter::with_header(&mut bytes, header).unwrap();
    let mut ends = vec![(24, 0)];
    for number in 0..packets {
        let data = headers(number, link);
        let packet = PcapPacket::new(time(number), 1514, &data);
        let length = writer.write_packet(&packet).unwrap();
        ends.push((ends[number].0 + length, number as u64 + 1));
    }
    Sample { bytes, ends }
}

fn interface(link: u32) -> InterfaceDescriptionBlock<'static> {
    InterfaceDescriptionBlock {
        linktype: DataLink::from(link),
        snaplen: 262_144,
        options: vec![
            InterfaceDescriptionOption::IfName(Cow::Borrowed("eth0")),
            InterfaceDescriptionOption::IfTsResol(9),
        ],
    }
}

/// A pcapng file of so many packets at two interfaces, the second of which appears half way, with
/// statistics at the end.
pub(super) fn pcapng(packets: usize) -> Sample {
    let section = SectionHeaderBlock {
        endianness: Endianness::Little,
        options: vec![SectionHeaderOption::Comment(Cow::Borrowed("a flow"))],
        ..SectionHeaderBlock::default()
    };
    let mut writer = PcapNgWriter::with_section_header(Vec::new(), section).unwrap();
    let mut ends = vec![(writer.get_ref().len(), 0)];
    let mut end = |writer: &PcapNgWriter<Vec<u8>>, packets: usize| {
        ends.push((writer.get_ref().len(), packets as u64));
    };
    writer.write_pcapng_block(interface(1)).unwrap();
    end(&writer, 0);
    for number in 0..packets {
        if number == packets / 2 {
            writer.write_pcapng_block(interface(101)).unwrap();
            end(&writer, number);
        }
        let link = if number > packets / 2 { 101 } else { 1 };
        let options = vec![EnhancedPacketOption::Flags(1)];
        let block = EnhancedPacketBlock {
            interface_id: u32::from(link == 101),
            timestamp: time(number),
            original_len: 1514,
            data: Cow::Owned(headers(number, link)),
            options: if number % 2 == 0 { options } else { Vec::new() },
        };
        writer.write_pcapng_block(block).unwrap();
        end(&writer, number + 1);
    }
    for interface_id in 0..2 {
        let statistics = InterfaceStatisticsBlock {
            interface_id,
            timestamp: 7,
            options: Vec::new(),
        };
        writer.write_pcapng_block(statistics).unwrap();
        end(&writer, packets);
    }
    Sample {
        bytes: writer.into_inner(),
        ends,
    }
}
