use std::borrow::Cow;

use packet_headers_common::{Direction, Endpoint, LinkType, SocketTotals};
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::blocks::interface_statistics::InterfaceStatisticsOption;
use pcap_file::pcapng::blocks::section_header::SectionHeaderOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use pcap_file::{DataLink, TsResolution};

use super::*;
use model::{FlowUuid, WallNanos};

const TIME: u64 = 1_700_000_000_123_456_789;

fn record(number: u64, ifindex: u32, direction: Direction, headers: &[u8]) -> Record<'_> {
    Record {
        time: WallNanos(TIME + number),
        wire_len: 1514,
        ifindex,
        // 1, 10, 100.
        segments: 10u16.pow(number as u32),
        direction,
        link_type: LinkType::Ethernet,
        l3: 14,
        l4: 34,
        headers,
    }
}

fn totals() -> SocketTotals {
    SocketTotals {
        bytes_acked: 1 << 33,
        srtt_us: 1234,
        ..SocketTotals::UNKNOWN
    }
}

/// Somebody whose names are as bad as they can be.
fn owner() -> Owner {
    Owner {
        uid: 1000,
        pid: Some(812),
        process: Some("a b\n\u{1b}[31m".into()),
        cgroup: Some("/deeper\"\u{202e}".repeat(9000).into()),
    }
}

/// A file of three packets at two interfaces, of header lengths that need every padding.
fn file(format: Format) -> Vec<u8> {
    let names = InterfaceNames::default();
    let meta = FlowMeta {
        uuid: FlowUuid::new("host_1_00000000000000AA").unwrap(),
        opened: WallNanos(TIME),
        local: Endpoint::v4([192, 0, 2, 1], 443),
        remote: Endpoint::v4([198, 51, 100, 7], 50_000),
    };
    let header = FileHeader {
        application: "some program",
        meta: &meta,
        link_type: LinkType::Ethernet,
        ends: ["192.0.2.1:443", "198.51.100.0:50000"].map(|end| end.parse().unwrap()),
    };
    let mut out = Vec::new();
    let mut encoder = Encoder::new(format);
    encoder.begin(&header, &mut out);
    for record in [
        record(0, 3, Direction::Ingress, &[1; 54]),
        record(1, 3, Direction::Egress, &[2; 57]),
        record(2, 9, Direction::Ingress, &[3; 60]),
    ] {
        encoder.packet(&record, &names, &mut out);
    }
    let (totals, owner) = (totals(), owner());
    let end = FileEnd {
        lost: 17,
        totals: Some(&totals),
        owner: Some(&owner),
    };
    encoder.end(&end, &mut out);
    out
}

#[test]
fn a_pcap_record_carries_time_lengths_and_bytes() {
    let bytes = file(Format::Pcap);
    let mut reader = PcapReader::new(&bytes[..]).unwrap();
    assert_eq!(reader.header().ts_resolution, TsResolution::NanoSecond);
    assert_eq!(reader.header().datalink, DataLink::ETHERNET);
    for (number, (byte, length)) in [(1, 54), (2, 57), (3, 60)].into_iter().enumerate() {
        let packet = reader.next_packet().unwrap().unwrap();
        assert_eq!(
            packet.timestamp.as_nanos(),
            u128::from(TIME) + number as u128
        );
        assert_eq!(
            (packet.orig_len, &*packet.data),
            (1514, &vec![byte; length][..])
        );
    }
    assert!(reader.next_packet().is_none());
}

#[test]
fn a_pcapng_section_says_whose_packets_it_has() {
    let bytes = file(Format::Pcapng);
    let reader = PcapNgReader::new(&bytes[..]).unwrap();
    let comment = "uuid=host_1_00000000000000AA local=192.0.2.1:443 remote=198.51.100.0:50000";
    let options = &reader.section().options;
    assert_eq!(
        options[0],
        SectionHeaderOption::Comment(Cow::Borrowed(comment))
    );
    let program = SectionHeaderOption::UserApplication(Cow::Borrowed("some program"));
    assert!(options.contains(&program), "{options:?}");
}

#[test]
fn a_pcapng_packet_carries_interface_direction_time_lengths_and_bytes() {
    let bytes = file(Format::Pcapng);
    let mut reader = PcapNgReader::new(&bytes[..]).unwrap();
    let (mut packets, mut names, mut statistics) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(block) = reader.next_block() {
        match block.unwrap().into_owned() {
            Block::InterfaceDescription(block) => {
                assert_eq!(block.linktype, DataLink::ETHERNET);
                assert!(
                    block
                        .options
                        .contains(&InterfaceDescriptionOption::IfTsResol(9))
                );
                names.push(block.options[0].clone());
            }
            Block::EnhancedPacket(block) => packets.push(block),
            Block::InterfaceStatistics(block) => statistics.push(block),
            Block::SectionHeader(_)
            | Block::Packet(_)
            | Block::SimplePacket(_)
            | Block::NameResolution(_)
            | Block::SystemdJournalExport(_)
            | Block::Unknown(_) => panic!("no such block is ours"),
        }
    }
    let name = |name: &'static str| InterfaceDescriptionOption::IfName(Cow::Borrowed(name));
    assert_eq!(names, [name("if3"), name("if9")]);
    let want = [(0, 1, 1u8, 54), (0, 2, 2, 57), (1, 1, 3, 60)];
    assert_eq!(packets.len(), want.len());
    for (number, (packet, (interface, flags, byte, length))) in packets.iter().zip(want).enumerate()
    {
        assert_eq!(packet.interface_id, interface);
        assert_eq!(
            packet.timestamp.as_nanos(),
            u128::from(TIME) + number as u128
        );
        assert_eq!(
            (packet.original_len, &*packet.data),
            (1514, &vec![byte; length][..])
        );
        let flags = EnhancedPacketOption::Flags(flags);
        let segments = |text| vec![EnhancedPacketOption::Comment(Cow::Borrowed(text))];
        let mut options = match number {
            0 => vec![],
            1 => segments("segments=10"),
            _ => segments("segments=100"),
        };
        options.push(flags);
        assert_eq!(packet.options, options);
    }
    let taken: Vec<_> = statistics
        .iter()
        .map(|block| block.options[2].clone())
        .collect();
    let took = InterfaceStatisticsOption::IsbIfRecv;
    assert_eq!(taken, [took(2), took(1)]);
    assert_eq!(
        statistics[1].options[3],
        InterfaceStatisticsOption::IsbOsDrop(17)
    );
}

#[test]
fn a_pcapng_file_ends_with_what_the_kernel_knew_and_whose_it_was() {
    let bytes = file(Format::Pcapng);
    let mut reader = PcapNgReader::new(&bytes[..]).unwrap();
    let mut statistics = Vec::new();
    while let Some(block) = reader.next_block() {
        if let Block::InterfaceStatistics(block) = block.unwrap() {
            statistics.push(block.into_owned());
        }
    }
    assert_eq!(statistics[0].options.len(), 4, "it is said once");
    let [
        InterfaceStatisticsOption::Comment(comment),
        InterfaceStatisticsOption::Comment(whose),
    ] = &statistics[1].options[4..]
    else {
        panic!("no comments: {statistics:?}");
    };
    let begin =
        "owner.uid=1000 owner.pid=812 owner.process=a%20b%0A%1B[31m owner.cgroup=/deeper%22";
    assert!(whose.starts_with(begin), "{whose}");
    assert_eq!(Owner::from_text(whose), Some(owner().bounded()));
    let begin = "kernel.bytes_acked=8589934592 ";
    assert!(comment.starts_with(begin), "{comment}");
    assert_eq!(SocketTotals::from_text(comment), Some(totals()));
}

#[test]
fn times_of_statistics_have_their_upper_half_first() {
    let bytes = file(Format::Pcapng);
    // The last block: its total length is its last word.
    let [.., a, b, c, d] = bytes[..] else {
        panic!("no block")
    };
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    let block = &bytes[bytes.len() - length..];
    let word = |at: usize| u32::from_le_bytes(block[at..at + 4].try_into().unwrap());
    assert_eq!((word(0), word(8)), (5, 1));
    let time = TIME + 2;
    assert_eq!((word(12), word(16)), ((time >> 32) as u32, time as u32));
}
