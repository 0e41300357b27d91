//! UDP flows and QUIC connections, by packets written by hand.

use std::net::SocketAddr;

use super::udp::{ANSWER_ID, CLIENT_ID, Udp, client, long, server};
use crate::{BeganBy, Datagram, Datagrams, Direction, Ended, Handshake, Protocol, Quic, Row};

/// The row of packets, in milliseconds.
fn row(packets: &[(i64, Udp)]) -> Row {
    flow(packets, false).row()
}

fn flow(packets: &[(i64, Udp)], is_to_quic: bool) -> Datagrams {
    let mut flow: Option<Datagrams> = None;
    for (time, packet) in packets {
        let bytes = packet.bytes();
        let datagram = packet.datagram(time * 1_000_000, &bytes);
        match &mut flow {
            Some(flow) => flow.add(&datagram),
            none => *none = Some(Datagrams::new(&datagram, is_to_quic)),
        }
    }
    flow.unwrap()
}

/// A handshake of version 1: the client's Initial, the server's answer, and the client's first short header.
fn handshake() -> Vec<(i64, Udp)> {
    vec![
        (
            0,
            client(1200).begins(long(0xc0, 1, b"initial0", CLIENT_ID)),
        ),
        (20, server(1200).begins(long(0xc0, 1, CLIENT_ID, ANSWER_ID))),
        (21, server(800).begins(long(0xe0, 1, CLIENT_ID, ANSWER_ID))),
        (24, client(1200).begins(long(0xe0, 1, ANSWER_ID, CLIENT_ID))),
        (25, client(60).begins([&[0x40][..], ANSWER_ID].concat())),
    ]
}

#[test]
fn a_flow_is_counted_by_its_headers() {
    let row = row(&[
        (0, client(30)),
        (5, server(100).ttl(50).ecn(1)),
        (6, server(2400).ttl(51).ecn(3).of(2)),
        (9, client(0)),
    ]);
    assert_eq!(row.transport.protocol, Some(Protocol::Udp));
    assert_eq!((row.packets, row.duration_us), (4, 9_000));
    let (from, to) = (&row.client, &row.server);
    assert_eq!((from.packets, from.ip_bytes), (2, 30 + 2 * 28));
    assert_eq!((from.payload_packets, from.payload_bytes), (1, 30));
    assert_eq!((to.packets, to.ip_bytes), (2, 2500 + 2 * 28));
    assert_eq!((to.payload_packets, to.payload_bytes), (2, 2500));
    assert_eq!(row.transport.client_datagrams, Some(2));
    assert_eq!(row.transport.server_datagrams, Some(3));
    assert_eq!((to.offloaded_packets, to.largest_segment_bytes), (1, 100));
    assert_eq!((to.ect_packets, to.ce_packets), (2, 1));
    assert_eq!(
        (to.ttl_min, to.ttl_max, to.ttl_changes),
        (Some(50), Some(51), 1)
    );
    let times = [from, to].map(|end| [end.first_payload_time, end.last_payload_time]);
    let want = [[0, 0], [5, 6]].map(|times| times.map(|time| Some(crate::Time(time * 1_000_000))));
    assert_eq!(times, want);
    // Nothing of TCP.
    assert_eq!(
        (row.ended, row.handshake, row.from_syn),
        (Ended::Unsaid, Handshake::None, false)
    );
    assert_eq!(
        (to.segments, to.goodput_bytes, to.acked_bytes),
        (0, 0, None)
    );
    assert_eq!(
        (row.ecn, row.icmp.errors, row.quic),
        (None, None, Quic::NONE)
    );
    assert_eq!(row.community_id, "1:esvAw4b5dhuf4CDDotVANc1Tv6E=");
}

#[test]
fn who_the_client_is_follows_from_ports_from_quic_or_from_the_first_packet() {
    let of = |packets: &[(i64, Udp)]| {
        let row = row(packets);
        (row.client_port, row.began_by)
    };
    assert_eq!(of(&[(0, server(9))]), (50_000, BeganBy::Ports));
    let high = |packet: Udp| packet.ports(50_000, 4433);
    assert_eq!(of(&[(0, high(server(9)))]), (4433, BeganBy::Unknown));
    assert_eq!(of(&[(0, high(client(9)))]), (50_000, BeganBy::Unknown));
    // Of two services, such as of NTP, the first sender.
    assert_eq!(
        of(&[(0, server(9).ports(123, 443))]),
        (443, BeganBy::Unknown)
    );
    let initial = || client(1200).begins(long(0xc0, 1, b"initial0", CLIENT_ID));
    assert_eq!(
        of(&[(0, high(server(9))), (1, high(initial()))]),
        (50_000, BeganBy::Initial)
    );
    assert_eq!(
        of(&[(0, initial().ports(443, 50_000))]),
        (443, BeganBy::Initial)
    );
}

#[test]
fn a_handshake_is_timed_from_the_first_initial() {
    let row = row(&handshake());
    assert_eq!(row.transport.protocol, Some(Protocol::Quic));
    assert_eq!(
        (row.began_by, row.handshake),
        (BeganBy::Initial, Handshake::Complete)
    );
    let quic = &row.quic;
    assert_eq!(
        (quic.answer_us, quic.handshake_us),
        (Some(20_000), Some(25_000))
    );
    assert_eq!(quic.versions.as_deref(), Some("1"));
    let said = [quic.version_negotiation, quic.retry, quic.migration];
    assert_eq!(said, [Some(false); 3]);
    assert_eq!(
        (quic.zero_rtt_packets, quic.spin_samples),
        (Some(0), Some(0))
    );
    // What answers somebody else, and a short header before any answer, is nothing.
    let mut packets = handshake();
    packets.insert(
        1,
        (1, server(99).begins(long(0xc0, 1, b"somebody", ANSWER_ID))),
    );
    packets.insert(2, (2, client(60).begins(vec![0x40])));
    assert_eq!(&super::datagrams::row(&packets).quic, quic);
    for (kept, word) in [
        (1, Handshake::Initial),
        (2, Handshake::Answered),
        (4, Handshake::Answered),
    ] {
        assert_eq!(super::datagrams::row(&handshake()[..kept]).handshake, word);
    }
}

#[test]
fn detours_and_early_data_are_told() {
    let initial = || client(1200).begins(long(0xc0, 1, b"initial0", CLIENT_ID));
    let mut packets = vec![
        (0, initial()),
        (10, server(50).begins(long(0x80, 0, CLIENT_ID, b""))),
        (
            11,
            client(1200).begins(long(0xd0, 0x6b33_43cf, b"initial1", CLIENT_ID)),
        ),
        (
            20,
            server(90).begins(long(0xc0, 0x6b33_43cf, CLIENT_ID, b"retry")),
        ),
        (
            21,
            client(1200).begins(long(0xe0, 0x6b33_43cf, b"retry", CLIENT_ID)),
        ),
        (
            40,
            server(1200).begins(long(0xd0, 0x6b33_43cf, CLIENT_ID, ANSWER_ID)),
        ),
    ];
    let quic = row(&packets).quic;
    assert_eq!(quic.versions.as_deref(), Some("1 2"));
    assert_eq!(
        (quic.version_negotiation, quic.retry),
        (Some(true), Some(true))
    );
    assert_eq!(
        (quic.zero_rtt_packets, quic.answer_us),
        (Some(1), Some(40_000))
    );
    // Versions that nobody knows are written as they are, and four are enough.
    for version in [0xff00_001d, 0x0a0a_0a0a, 0xfa1a_1a1a] {
        packets.push((
            50,
            client(99).begins(long(0xc0, version, ANSWER_ID, CLIENT_ID)),
        ));
    }
    let versions = row(&packets).quic.versions;
    assert_eq!(versions.as_deref(), Some("1 2 0xff00001d 0x0a0a0a0a"));
}

#[test]
fn only_what_goes_to_a_known_server_goes_on_with_a_connection() {
    let short = || client(60).begins(vec![0x40]);
    let moved = flow(&[(0, short()), (1, server(60).begins(vec![0x60]))], true).row();
    assert_eq!(moved.transport.protocol, Some(Protocol::Quic));
    assert_eq!(
        (moved.quic.migration, moved.handshake),
        (Some(true), Handshake::None)
    );
    assert_eq!(
        (moved.quic.answer_us, moved.quic.versions.as_deref()),
        (None, Some(""))
    );
    // The sender is the client even where ports say something else.
    let other = flow(&[(0, short().ports(443, 50_000))], true).row();
    assert_eq!((other.client_port, other.began_by), (443, BeganBy::Unknown));
    for (packet, known) in [(short(), false), (client(60).begins(vec![0x20]), true)] {
        assert_eq!(
            flow(&[(0, packet)], known).row().transport.protocol,
            Some(Protocol::Udp)
        );
    }
}

/// What the daemon keeps of these packets: of QUIC the invariants, or the first byte; of others nothing.
fn cut(packets: &[(i64, Udp)]) -> Vec<(i64, Udp)> {
    let mut is_quic = false;
    let cut = packets.iter().map(|(time, packet)| {
        let mut packet = packet.clone();
        let payload = &mut packet.payload;
        is_quic |= payload.first() == Some(&0xc0);
        let kept = match payload.first() {
            Some(first) if is_quic && first & 0x80 != 0 => {
                let ids = usize::from(payload[5]);
                7 + ids + usize::from(payload[6 + ids])
            }
            Some(_) if is_quic => 1,
            _ => 0,
        };
        payload.truncate(kept);
        (*time, packet)
    });
    cut.collect()
}

#[test]
fn whole_captures_and_ours_have_the_same_figures() {
    let filled = |mut packet: Udp| {
        let whole = usize::from(packet.length);
        packet.payload.resize(whole, 0xc3);
        packet
    };
    // Something else uses the port before.
    let mut packets = vec![(-9, client(40).begins(b"\x40stun".to_vec()))];
    packets.extend(handshake());
    for round in 0..20 {
        let bit = (round as u8 % 2) << 5;
        packets.push((30 + 10 * round, client(900).begins(vec![0x40 | bit])));
        packets.push((35 + 10 * round, server(1200).begins(vec![0x40 | bit])));
    }
    packets.push((250, server(70).begins(vec![0x00, 0x01])));
    let whole: Vec<_> = packets
        .into_iter()
        .map(|(time, packet)| (time, filled(packet)))
        .collect();
    let ours = cut(&whole);
    assert!(
        ours.iter()
            .all(|(_, packet)| packet.payload.len() <= 7 + 40)
    );
    assert_eq!(row(&ours), row(&whole));
    // Each end has changed its bit 19 times, and no further packet confirms the last time.
    assert_eq!(row(&whole).quic.spin_samples, Some(17));
    assert_eq!(row(&whole).quic.spin_min_rtt_us, Some(10_000));
}

/// As files have them in which addresses are hidden.
#[test]
fn ids_that_are_blanked_change_nothing() {
    let blanked = |(time, mut packet): (i64, Udp)| {
        let payload = &mut packet.payload;
        if payload[0] & 0x80 != 0 {
            let length = usize::from(payload[5]);
            payload[6..6 + length].fill(0);
            payload[7 + length..].fill(0);
        } else {
            payload[1..].fill(0);
        }
        (time, packet)
    };
    let packets: Vec<_> = handshake().into_iter().map(blanked).collect();
    assert_eq!(row(&packets), row(&handshake()));
}

#[test]
fn lengths_that_cannot_be_are_those_of_ip() {
    let mut packet = client(30);
    let bytes = packet.bytes();
    assert_eq!(packet.datagram(0, &bytes).payload(), 30);
    // A jumbogram has none.
    let mut jumbo = bytes.clone();
    jumbo[24..26].fill(0);
    assert_eq!(Datagram::of_ip(0, &jumbo, 58, 1).unwrap().payload(), 30);
    // So may be what was merged.
    let mut merged = bytes.clone();
    merged[24..26].copy_from_slice(&18_u16.to_be_bytes());
    assert_eq!(Datagram::of_ip(0, &merged, 58, 3).unwrap().payload(), 30);
    // What a link appends is no payload, and a fragment has less than the datagram.
    packet.payload = vec![7; 30];
    let padded = [&packet.bytes()[..], &[9; 18]].concat();
    let datagram = Datagram::of_ip(0, &padded, 76, 1).unwrap();
    assert_eq!((datagram.captured_payload(), datagram.payload()), (30, 30));
    for kept in 0..28 {
        assert_eq!(Datagram::of_ip(0, &bytes[..kept], 58, 1), None, "{kept}");
    }
    let mut tcp = bytes.clone();
    tcp[9] = 6;
    assert_eq!(Datagram::of_ip(0, &tcp, 58, 1), None);
    let mut later = bytes;
    later[7] = 1;
    assert_eq!(Datagram::of_ip(0, &later, 58, 1), None);
}

#[test]
fn ipv6_is_read_behind_extension_headers() {
    let mut ip = vec![0x60, 0x30, 0, 0, 0, 24, 44, 60];
    ip.extend([1; 16]);
    ip.extend([2; 16]);
    // A first fragment.
    ip.extend([17, 0, 0, 1, 0, 0, 0, 9]);
    ip.extend([0, 53, 0xc3, 0x50, 0x05, 0xd0, 0, 0]);
    ip.extend([0; 8]);
    let datagram = Datagram::of_ip(0, &ip, 64, 1).unwrap();
    let ends: (SocketAddr, SocketAddr) = datagram.ends();
    assert_eq!((ends.0.port(), ends.1.port()), (53, 50_000));
    assert_eq!((datagram.payload(), datagram.captured_payload()), (1480, 8));
    let row = Datagrams::new(&datagram, false).row();
    let from: &Direction = &row.server;
    assert_eq!((from.packets, from.ip_bytes, from.ce_packets), (1, 64, 1));
}

#[test]
fn a_long_flow_takes_no_more_memory_than_a_short_one() {
    let mut packets = handshake();
    for number in 0..20_000 {
        let bit = (number as u8 / 3 % 2) << 5;
        // Round trips of all lengths.
        let time = 30 + number * number;
        packets.push((time, client(900).begins(vec![0x40 | bit])));
        packets.push((time, server(900).begins(vec![0x40 | bit])));
    }
    let long = flow(&packets, false);
    assert!(long.row().quic.spin_samples > Some(1_000));
    assert!(long.heap_bytes() < 10 << 10, "{}", long.heap_bytes());
    let udp = size_of::<Datagrams>();
    assert!(udp <= 512, "{udp}");
}
