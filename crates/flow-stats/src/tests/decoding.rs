//! From bytes to segments.

use super::exchange::{client, server};
use crate::{NotTcp, Segment};

/// A packet's bytes, with IPv6 extension headers between IP and TCP: kinds, and bytes from the second on.
fn behind(headers: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let plain = client(1, 1)
        .between("[2001:db8::1]:5", "[2001:db8::2]:6")
        .bytes([0, 0]);
    let (ip, tcp) = plain.split_at(40);
    let mut packet = ip.to_vec();
    packet[6] = headers.first().map_or(6, |(kind, _)| *kind);
    for (at, (_, header)) in headers.iter().enumerate() {
        packet.push(headers.get(at + 1).map_or(6, |(kind, _)| *kind));
        packet.extend(header);
    }
    packet.extend(tcp);
    let length = u16::try_from(packet.len() - 40).unwrap();
    packet[4..6].copy_from_slice(&length.to_be_bytes());
    packet
}

#[test]
fn the_ends_are_as_the_packet_has_them() {
    let segment = server(1, 1).at(0, [0, 0]).unwrap();
    let (source, destination) = segment.ends();
    assert_eq!((source.port(), destination.port()), (443, 50_000));
    let mapped = client(1, 1).between("[::ffff:192.0.2.1]:5", "[::ffff:192.0.2.2]:6");
    let (source, _) = mapped.at(0, [0, 0]).unwrap().ends();
    assert!(source.is_ipv6(), "its packets had IPv6 headers");
}

#[test]
fn extension_headers_are_passed() {
    let hop_by_hop = || (0, vec![1; 15].into_iter().chain([]).collect::<Vec<_>>());
    let hop_by_hop = {
        let (kind, mut rest) = hop_by_hop();
        rest[0] = 1;
        (kind, rest)
    };
    let authentication = (51, [vec![4], vec![0; 22]].concat());
    let first_fragment = (44, vec![0, 0, 1, 0, 0, 0, 9]);
    let packet = behind(&[hop_by_hop, authentication, first_fragment]);
    let segment = Segment::of_ip(0, &packet, 0, 1).unwrap();
    assert_eq!((segment.ends().0.port(), segment.payload), (5, 0));
    let later = behind(&[(44, vec![0, 0, 8, 0, 0, 0, 9])]);
    assert_eq!(Segment::of_ip(0, &later, 0, 1), Err(NotTcp::Fragment));
    let esp = behind(&[(50, vec![0; 7])]);
    assert_eq!(Segment::of_ip(0, &esp, 0, 1), Err(NotTcp::Protocol(50)));
    let udp = behind(&[(17, vec![0; 7])]);
    assert_eq!(Segment::of_ip(0, &udp, 0, 1), Err(NotTcp::Protocol(17)));
}

#[test]
fn what_is_not_tcp_is_refused() {
    let packet = client(1, 1).bytes([0, 0]);
    let with = |at: usize, byte| {
        let mut changed = packet.clone();
        changed[at] = byte;
        Segment::of_ip(0, &changed, 40, 1)
    };
    assert_eq!(Segment::of_ip(0, &[], 0, 1), Err(NotTcp::Ip));
    assert_eq!(with(0, 0x55), Err(NotTcp::Ip));
    assert_eq!(
        with(0, 0x44),
        Err(NotTcp::Ip),
        "a header shorter than IPv4's"
    );
    assert_eq!(with(9, 17), Err(NotTcp::Protocol(17)));
    assert_eq!(with(7, 1), Err(NotTcp::Fragment));
    assert_eq!(with(32, 0x40), Err(NotTcp::Header(16)));
    assert!(with(6, 0x20).is_ok(), "the first fragment has the header");
}

#[test]
fn a_packet_may_be_cut_anywhere_behind_its_window() {
    let packet = client(1, 1).mss(1460).scale(3).data(100);
    let bytes = packet.bytes([0, 0]);
    let whole = Segment::of_ip(0, &bytes, 148, 1).unwrap();
    assert!(!whole.truncated);
    for length in 0..bytes.len() {
        let cut = Segment::of_ip(0, &bytes[..length], 148, 1);
        match length {
            0..20 => assert_eq!(cut, Err(NotTcp::Ip)),
            20..36 => assert_eq!(cut, Err(NotTcp::Cut)),
            _ => {
                let cut = cut.unwrap();
                assert!(cut.truncated);
                assert_eq!((cut.payload, cut.window), (whole.payload, whole.window));
                assert_eq!(cut.options.mss, (length >= 44).then_some(1460));
            }
        }
    }
}

#[test]
fn padding_of_the_link_is_no_payload() {
    let packet = client(1, 1).bytes([0, 0]);
    let padded = [packet, vec![0; 6]].concat();
    assert_eq!(Segment::of_ip(0, &padded, 46, 1).unwrap().payload, 0);
}

#[test]
fn extension_headers_that_are_cut_off_are_said_to_be() {
    for kind in [0, 43, 44, 51, 60] {
        let packet = behind(&[(kind, vec![0; 7])]);
        let cut = Segment::of_ip(0, &packet[..42], 0, 1);
        assert_eq!(cut, Err(NotTcp::Cut), "{kind}");
    }
    let packet = behind(&[(17, vec![0; 7])]);
    let cut = Segment::of_ip(0, &packet[..42], 0, 1);
    assert_eq!(cut, Err(NotTcp::Protocol(17)));
}

#[test]
fn options_end_where_it_is_said_that_they_do() {
    let packet = client(1, 1).option(&[1, 0, 2, 4, 5, 180, 1, 1]);
    assert_eq!(packet.at(0, [0, 0]).unwrap().options.mss, None);
    let packet = client(1, 1).option(&[1, 1, 2, 4, 5, 180, 1, 1]);
    assert_eq!(packet.at(0, [0, 0]).unwrap().options.mss, Some(1460));
}

#[test]
fn a_reset_is_told_from_an_end() {
    let segment = |packet: super::exchange::Packet| packet.at(0, [0, 0]).unwrap();
    let flags = [client(1, 1), client(1, 1).fin(), client(1, 1).rst()].map(segment);
    assert_eq!(flags.map(|it| it.has_rst()), [false, false, true]);
    assert_eq!(flags.map(|it| it.has_fin()), [false, true, false]);
}
