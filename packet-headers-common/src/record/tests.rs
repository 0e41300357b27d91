//! Records as the classifiers write them, and anything else.

extern crate std;

use core::net::Ipv6Addr;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::key::Endpoint;

/// A record as the classifier would write it, with the given header bytes.
fn item(headers: &[u8], l3: u16, l4: u16) -> Vec<u8> {
    let mut item = Vec::new();
    item.extend(77u64.to_ne_bytes());
    item.extend(1514u32.to_ne_bytes());
    item.extend(3u32.to_ne_bytes());
    for field in [headers.len() as u16, l3, l4, 0x0064] {
        item.extend(field.to_ne_bytes());
    }
    item.extend(0x1234_5678u32.to_ne_bytes());
    item.extend([
        FLAG_PRIMARY_TAP | FLAG_FROM_LOW | FLAG_EGRESS | FLAG_VLAN,
        TCP_SYN,
    ]);
    item.extend(44u16.to_ne_bytes());
    item.extend(headers);
    item.resize(record_len(0, headers.len()), 0);
    item
}

fn ipv4_syn() -> Vec<u8> {
    let mut headers = std::vec![0u8; 54];
    headers[14] = 0x45;
    headers[26..30].copy_from_slice(&[192, 0, 2, 1]);
    headers[30..34].copy_from_slice(&[192, 0, 2, 2]);
    headers[34..36].copy_from_slice(&50_000u16.to_be_bytes());
    headers[36..38].copy_from_slice(&443u16.to_be_bytes());
    headers[38..42].copy_from_slice(&0xdead_beefu32.to_be_bytes());
    headers[47] = TCP_SYN;
    headers
}

#[test]
fn every_field_is_read_from_its_place() {
    let headers = ipv4_syn();
    let item = item(&headers, 14, 34);
    let packet = Packet::parse(&item).expect("a whole record");
    assert_eq!(
        (packet.boot_ns, packet.wire_len, packet.ifindex),
        (77, 1514, 3)
    );
    assert_eq!(packet.direction, Direction::Egress);
    assert_eq!(packet.link_type, LinkType::Ethernet);
    assert_eq!(packet.vlan, Some((0x8100, 0x0064)));
    assert!(packet.at_primary_tap);
    let ends = (
        Endpoint::v4([192, 0, 2, 1], 50_000),
        Endpoint::v4([192, 0, 2, 2], 443),
    );
    assert_eq!((packet.key().ends(), packet.from_low), (ends, true));
    assert_eq!((packet.source(), packet.sequence()), (ends.0, 0xdead_beef));
    assert!(packet.is_first_syn());
    assert_eq!((packet.segments, packet.beside), (44, None));
    assert_eq!((packet.l3_offset, packet.l4_offset), (14, 34));
    assert_eq!(packet.headers, headers);
}

#[test]
fn a_record_that_lies_about_its_lengths_is_refused() {
    let headers = ipv4_syn();
    let good = item(&headers, 14, 34);
    assert_eq!(Packet::parse(&good[..31]), Err(BadRecord::Short));
    assert_eq!(Packet::parse(&good[..85]), Err(BadRecord::HeaderLength));
    assert_eq!(
        Packet::parse(&item(&headers, 34, 14)),
        Err(BadRecord::Offsets)
    );
    assert_eq!(
        Packet::parse(&item(&headers, 14, 50)),
        Err(BadRecord::Offsets)
    );
    let mut version = good;
    version[RECORD_HEADER_LEN + 14] = 0x55;
    assert_eq!(Packet::parse(&version), Err(BadRecord::Offsets));
}

/// A record that has the first 64 of more header bytes, as the classifier would write it.
fn truncated_item(from_low: bool) -> Vec<u8> {
    let mut item = item(&[0x5a; 64], 14, 300);
    item[28] |= FLAG_META;
    if !from_low {
        item[28] &= !FLAG_FROM_LOW;
    }
    let key = FlowKey::new(
        Endpoint::v4([192, 0, 2, 1], 50_000),
        Endpoint::v4([192, 0, 2, 2], 443),
    );
    let mut meta = key.to_bytes().to_vec();
    meta.extend(0xdead_beefu32.to_ne_bytes());
    meta.extend(0x0102_0304_0506_0708_u64.to_ne_bytes());
    item.splice(RECORD_HEADER_LEN..RECORD_HEADER_LEN, meta);
    assert_eq!(item.len(), record_len(FLAG_META, 64));
    item
}

#[test]
fn a_truncated_record_has_flow_key_and_tcp_fields_beside_its_headers() {
    let item = truncated_item(true);
    let packet = Packet::parse(&item).expect("a whole record");
    let cookie = packet.beside.map(|beside| beside.cookie);
    assert_eq!(cookie, Some(0x0102_0304_0506_0708));
    assert!(packet.at_primary_tap);
    let ends = (
        Endpoint::v4([192, 0, 2, 1], 50_000),
        Endpoint::v4([192, 0, 2, 2], 443),
    );
    assert_eq!((packet.key().ends(), packet.from_low), (ends, true));
    assert_eq!((packet.source(), packet.sequence()), (ends.0, 0xdead_beef));
    assert!(packet.is_first_syn());
    assert_eq!((packet.l3_offset, packet.l4_offset), (14, 300));
    assert_eq!(packet.headers, [0x5a; 64]);
    let item = truncated_item(false);
    let back = Packet::parse(&item).expect("a whole record");
    assert_eq!(back.source(), ends.1);
    assert_eq!(back.key(), packet.key());
}

#[test]
fn a_truncated_record_that_lies_is_refused() {
    let item = truncated_item(true);
    assert_eq!(Packet::parse(&item[..79]), Err(BadRecord::Short));
    assert_eq!(Packet::parse(&item[..143]), Err(BadRecord::HeaderLength));
    let mut crossed = item;
    crossed[20..22].copy_from_slice(&14u16.to_ne_bytes());
    assert_eq!(Packet::parse(&crossed), Err(BadRecord::Offsets));
}

#[test]
fn an_acknowledgment_takes_88_bytes_and_104_with_timestamps() {
    assert_eq!([54, 66].map(|end| record_len(0, end)), [88, 104]);
    assert_eq!(MAX_RECORD_LEN, 1112);
}

#[test]
fn a_time_of_the_interface_is_read_where_it_knew_one() {
    for (time, known) in [(1_234, Some(1_234)), (0, None)] {
        let headers = ipv4_syn();
        let mut item = item(&headers, 14, 34);
        item[28] |= FLAG_HARDWARE_TIME;
        let place = RECORD_HEADER_LEN..RECORD_HEADER_LEN;
        item.splice(place, u64::to_ne_bytes(time));
        let packet = Packet::parse(&item).expect("a whole record");
        assert_eq!((packet.hardware_ns, packet.headers), (known, &headers[..]));
        let end = RECORD_HEADER_LEN + HARDWARE_TIME_LEN;
        assert_eq!(Packet::parse(&item[..end - 1]), Err(BadRecord::Short));
    }
}

#[test]
fn a_packet_over_ipv6_has_the_key_of_its_addresses() {
    let mut headers = std::vec![0u8; 74];
    headers[14] = 0x60;
    headers[22..38].copy_from_slice(&Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).octets());
    headers[38..54].copy_from_slice(&Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2).octets());
    headers[54..56].copy_from_slice(&50_000u16.to_be_bytes());
    headers[56..58].copy_from_slice(&443u16.to_be_bytes());
    let item = item(&headers, 14, 54);
    let packet = Packet::parse(&item).expect("a whole record");
    let network = 0x2001_0db8 << 32;
    let ends = (
        Endpoint::v6([network, 1], 50_000),
        Endpoint::v6([network, 2], 443),
    );
    assert_eq!((packet.key().ends(), packet.source()), (ends, ends.0));
}

#[test]
fn only_a_syn_without_an_acknowledgment_begins_a_connection() {
    for (flags, first) in [
        (TCP_SYN, true),
        (TCP_SYN | TCP_FIN, true),
        (TCP_SYN | TCP_ACK, false),
        (TCP_ACK, false),
        (TCP_RST, false),
    ] {
        let mut item = item(&ipv4_syn(), 14, 34);
        item[29] = flags;
        let packet = Packet::parse(&item).expect("a whole record");
        assert_eq!(packet.is_first_syn(), first, "{flags:#x}");
        assert_eq!(Glance::of(&item).map(|it| it.is_first_syn), Some(first));
    }
}

#[test]
fn records_one_behind_the_other_are_told_apart() {
    let (first, second) = (item(&ipv4_syn(), 14, 34), truncated_item(true));
    let both = [first.clone(), second.clone()].concat();
    let (one, rest) = split_first(&both);
    assert_eq!((one, rest), (&first[..], &second[..]));
    assert_eq!(split_first(rest), (&second[..], &[][..]));
    assert_eq!(boot_ns(one), Some(77));
}

#[test]
fn a_stripped_tag_of_either_kind_is_told() {
    let mut item = item(&ipv4_syn(), 14, 34);
    for tag in [None, Some(0x8100), Some(0x88a8)] {
        item[28] = tag_flags(tag.unwrap_or(0));
        let packet = Packet::parse(&item).expect("a whole record");
        assert_eq!(packet.vlan, tag.map(|tag| (tag, 0x0064)));
    }
}

proptest! {
    #[test]
    fn whatever_the_bytes_are_splitting_them_ends_and_loses_none(
        bytes in proptest::collection::vec(any::<u8>(), 0..1200),
    ) {
        let (mut rest, mut taken) = (&bytes[..], 0);
        while !rest.is_empty() {
            let (record, after) = split_first(rest);
            prop_assert!(!record.is_empty());
            taken += record.len();
            rest = after;
        }
        prop_assert_eq!(taken, bytes.len());
    }

    #[test]
    fn arbitrary_bytes_never_panic(item in proptest::collection::vec(any::<u8>(), 0..1200)) {
        let _outcome = (Packet::parse(&item), Glance::of(&item));
    }

    #[test]
    fn a_glance_tells_what_parsing_tells(
        noise in proptest::collection::vec((0..RECORD_HEADER_LEN + 60, any::<u8>()), 0..4),
        ipv6 in any::<bool>(),
    ) {
        let mut headers = ipv4_syn();
        if ipv6 {
            headers.resize(74, 7);
            headers[14] = 0x60;
        }
        let mut item = item(&headers, 14, if ipv6 { 54 } else { 34 });
        for (place, byte) in noise {
            let place = place % item.len();
            item[place] = byte;
        }
        if let Ok(packet) = Packet::parse(&item) {
            let glance = Glance {
                boot_ns: packet.boot_ns,
                entry: packet.entry,
                is_first_syn: packet.is_first_syn(),
            };
            prop_assert_eq!(Glance::of(&item), Some(glance));
        }
    }
}
