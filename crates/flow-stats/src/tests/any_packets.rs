//! What holds whatever the packets are, and however their numbers begin.

use std::hint::black_box;

use proptest::prelude::*;

use super::exchange::{Exchange, Packet, client, server};
use crate::{Connection, Datagram, Datagrams, Direction, Row, Segment};

/// A packet of a connection, or one that pretends to be.
fn any_packet() -> impl Strategy<Value = Packet> {
    let number = prop_oneof![8 => 0..20_000_u32, 1 => any::<u32>()];
    let payload = prop_oneof![3 => Just(0), 5 => 1..3000_u32, 1 => any::<u32>()];
    let flags = prop_oneof![
        12 => Just(0x10_u16),
        1 => Just(0x02),
        1 => Just(0x12),
        1 => Just(0x11),
        1 => Just(0x14),
        1 => 0..0x200_u16,
    ];
    let stamps = (0..100_u32, 0..100_u32);
    let stamps = stamps.prop_map(|(value, echo)| client(0, 0).ts(value, echo).options);
    let options = prop_oneof![
        3 => Just(Vec::new()),
        3 => stamps,
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ];
    let sack = prop::collection::vec([0..20_000_u32, 0..20_000_u32], 0..3);
    let numbers = (any::<bool>(), number.clone(), number, payload);
    let rest = (flags, (options, sack), any::<u16>(), 0..4_u16, 0..3_u16);
    (numbers, rest).prop_map(|((from_client, sequence, acknowledgment, payload), rest)| {
        let (flags, (options, sack), window, identification, segments) = rest;
        let ends = if from_client { client } else { server };
        let packet = ends(sequence, acknowledgment).data(payload).only(flags);
        packet
            .option(&options)
            .sack(&sack)
            .window(window)
            .id(identification)
            .segments(segments)
    })
}

/// Packets with times that do not always go on.
fn any_packets() -> impl Strategy<Value = Vec<(i64, Packet)>> {
    let time = prop_oneof![9 => 0..1_000_000_i64, 1 => any::<i64>().prop_map(|time| time / 1000)];
    prop::collection::vec((time, any_packet()), 1..100)
}

fn segments(packets: &[(i64, Packet)], numbers: [u32; 2]) -> Vec<Segment> {
    packets
        .iter()
        .map(|(time, packet)| packet.at(*time, numbers).unwrap())
        .collect()
}

fn connection(segments: &[Segment]) -> Connection {
    let mut connection = Connection::new(&segments[0]);
    segments[1..]
        .iter()
        .for_each(|segment| connection.add(segment));
    connection
}

/// What one packet more cannot change about what is true.
fn check(direction: &Direction) {
    let Direction {
        payload_bytes,
        goodput_bytes,
        retransmit_packets,
        ..
    } = direction;
    assert!(goodput_bytes <= payload_bytes);
    let reasons = direction.fast_retransmit_packets + direction.timeout_retransmit_packets;
    assert!(reasons <= *retransmit_packets);
    assert!(direction.upstream_lost_packets <= *retransmit_packets);
    assert!(direction.spurious_retransmit_packets <= *retransmit_packets);
    assert!(retransmit_packets + direction.reordered_packets <= direction.packets);
    assert!(direction.in_flight_mean_bytes.unwrap_or(0) <= direction.in_flight_max_bytes);
    let times = [
        direction.min_rtt_us,
        direction.rtt_p50_us,
        direction.rtt_p95_us,
        direction.rtt_p99_us,
    ];
    assert!(times.is_sorted(), "{times:?}");
}

/// What does not depend on the order of the packets.
fn volume(row: &Row) -> Vec<u64> {
    [&row.client, &row.server]
        .into_iter()
        .flat_map(|end| {
            [
                end.packets,
                end.ip_bytes,
                end.payload_packets,
                end.payload_bytes,
                end.goodput_bytes,
                end.gap_bytes,
                end.segments,
                end.syn_packets,
                end.fin_packets,
                end.sack_blocks,
                end.ttl_min.map_or(0, u64::from),
            ]
        })
        .collect()
}

/// A whole transfer by the client in pieces that overlap, with what the server says, and all of it shuffled.
fn transfer() -> impl Strategy<Value = (Vec<Packet>, Vec<Packet>)> {
    let pieces = prop::collection::vec((0..40_u32, 1..4_u32), 1..60);
    pieces.prop_flat_map(|pieces| {
        let data = pieces
            .into_iter()
            .map(|(at, length)| client(1 + at * 100, 1).data(length * 100));
        let packets: Vec<_> = data
            .chain([client(0, 0).only(0x02), server(0, 1).only(0x12)])
            .collect();
        (Just(packets.clone()), Just(packets).prop_shuffle())
    })
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        packets in prop::collection::vec((any::<i64>(), prop::collection::vec(any::<u8>(), 0..120)), 1..50),
        kind in prop_oneof![Just([0x45, 6]), Just([0x60, 6])],
    ) {
        let mut connection: Option<Connection> = None;
        for (time, mut ip) in packets {
            // Mostly such as are taken for TCP.
            if let (Some(first), 0..4) = (ip.first().copied(), time.rem_euclid(5)) {
                ip[0] = kind[0] | first & 0x0f;
                let protocol = if kind[0] == 0x60 { 6 } else { 9 };
                if let Some(protocol) = ip.get_mut(protocol) {
                    *protocol = kind[1];
                }
            }
            let Ok(segment) = Segment::of_ip(time, &ip, 70_000, 3) else { continue };
            match &mut connection {
                Some(connection) => {
                    black_box(connection.is_succeeded_by(&segment));
                    connection.add(&segment);
                }
                none => *none = Some(Connection::new(&segment)),
            }
        }
        if let Some(connection) = connection {
            check(&connection.row().client);
        }
    }

    #[test]
    fn whatever_the_packets_figures_fit_each_other(packets in any_packets()) {
        let segments = segments(&packets, [1_000_000, 5_000_000]);
        let mut connection = Connection::new(&segments[0]);
        for segment in &segments[1..] {
            black_box(connection.is_succeeded_by(segment));
            connection.add(segment);
        }
        let row = connection.row();
        check(&row.client);
        check(&row.server);
        prop_assert_eq!(row.packets, packets.len() as u64);
        prop_assert!(connection.heap_bytes() < 64 << 10, "{}", connection.heap_bytes());
    }

    #[test]
    fn a_row_does_not_depend_on_where_the_numbers_begin(packets in any_packets(), numbers: [u32; 2]) {
        // Numbers that do not follow the SYNs' depend on these.
        let packets: Vec<_> = packets
            .into_iter()
            .filter(|(_, packet)| packet.sequence < 20_000 && packet.acknowledgment < 20_000)
            .filter(|(_, packet)| packet.flags & 0x14 == 0x10)
            .collect();
        prop_assume!(!packets.is_empty());
        let here = connection(&segments(&packets, [1_000_000, 5_000_000])).row();
        let there = connection(&segments(&packets, numbers)).row();
        prop_assert_eq!(here, there);
    }

    #[test]
    fn rows_do_not_depend_on_when_they_are_asked_for(packets in any_packets(), at: prop::sample::Index) {
        let segments = segments(&packets, [1_000_000, 5_000_000]);
        let (before, behind) = segments.split_at(1 + at.index(segments.len()).min(segments.len() - 1));
        let in_pieces = connection(before);
        let asked = in_pieces.row();
        let mut in_pieces = in_pieces.clone();
        prop_assert_eq!(in_pieces.row(), asked);
        behind.iter().for_each(|segment| in_pieces.add(segment));
        prop_assert_eq!(in_pieces.row(), connection(&segments).row());
    }

    #[test]
    fn what_was_sent_does_not_depend_on_the_order((packets, shuffled) in transfer()) {
        let row = |packets: &[Packet]| {
            let at = |(time, packet): (usize, &Packet)| (i64::try_from(time).unwrap(), packet.clone());
            let packets: Vec<_> = packets.iter().enumerate().map(at).collect();
            connection(&segments(&packets, [u32::MAX - 500, 5_000_000])).row()
        };
        let (in_order, out_of_order) = (row(&packets), row(&shuffled));
        prop_assert_eq!(volume(&in_order), volume(&out_of_order));
        prop_assert_eq!(in_order.client_ip, out_of_order.client_ip);
        prop_assert_eq!(in_order.from_syn, out_of_order.from_syn);
    }
}

proptest! {
    #[test]
    fn no_datagrams_make_it_panic(
        packets in prop::collection::vec((any::<i64>(), prop::collection::vec(any::<u8>(), 0..120)), 1..50),
        first in any::<u8>(),
        is_to_quic: bool,
    ) {
        let mut flow: Option<Datagrams> = None;
        let (mut packets, mut count) = (packets, 0);
        for (time, ip) in &mut packets {
            // Mostly such as are taken for UDP, and for QUIC.
            if let [version, _, .., ] = &mut ip[..] && time.rem_euclid(5) < 4 {
                *version = 0x45;
                let known = [(9, 17), (6, 0), (7, 0), (28, 0xc0 | first), (29, 0), (30, 0), (31, 0), (32, 1), (33, 8)];
                for (at, byte) in known {
                    if let Some(place) = ip.get_mut(at) {
                        *place = byte;
                    }
                }
            }
            let Some(datagram) = Datagram::of_ip(*time, ip, 70_000, 3) else { continue };
            prop_assert!(datagram.captured_payload() <= ip.len());
            count += 1;
            match &mut flow {
                Some(flow) => flow.add(&datagram),
                none => *none = Some(Datagrams::new(&datagram, is_to_quic)),
            }
        }
        if let Some(flow) = flow {
            let row = flow.row();
            prop_assert_eq!(row.packets, count);
            prop_assert_eq!(row.values().count(), crate::COLUMNS.len());
            let times = [row.quic.spin_min_rtt_us, row.quic.spin_rtt_p50_us, row.quic.spin_rtt_p95_us];
            prop_assert!(times.is_sorted(), "{:?}", times);
        }
    }
}

#[test]
fn a_long_connection_takes_no_more_memory_than_a_short_one() {
    let mut exchange = Exchange::open();
    let mut most = 0;
    for at in 0..200_000_u32 {
        let now = 20_000 + i64::from(at) * 100;
        // Every third one is lost, some are sent again, and times vary.
        if at % 3 > 0 {
            exchange.at(now, client(1 + at * 1000, 1).data(1000).ts(at, at));
        }
        if at % 7 == 0 && at > 50 {
            exchange.at(now, client(1 + (at - 50) * 1000, 1).data(1000).ts(at, at));
        }
        if at % 2 == 0 && at > 100 {
            let acknowledged = 1 + (at - at % 97) * 1000;
            exchange.at(now + 50, server(1, acknowledged).ts(at, at - 1));
        }
        most = most.max(exchange.connection().heap_bytes());
    }
    assert!(most < 32 << 10, "{most}");
    let mut short = Exchange::open();
    short.at(20_000, client(1, 1).data(1000).ts(1, 1));
    short.at(30_000, server(1, 1001).data(1000).ts(1, 1));
    short.at(30_001, client(1001, 1001).ts(1, 1));
    let short = size_of::<Connection>() + short.connection().heap_bytes();
    assert!(short < 3 << 10, "{short}");
}
