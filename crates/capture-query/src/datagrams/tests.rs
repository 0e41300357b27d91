use std::convert::Infallible;

use flow_stats::{Protocol, Row};

use super::*;

const SECOND: i64 = 1_000_000_000;

/// A client's Initial and a server's answer with IDs of eight bytes, and a packet with a short header.
const INITIAL: &[u8] = b"\xc0\0\0\0\x01\x08iiiiiiii\x08cccccccc";
const ANSWER: &[u8] = b"\xc0\0\0\0\x01\x08cccccccc\x08ssssssss";
const SHORT: &[u8] = b"\x40";

/// A UDP packet from a client's port to port 443, or back, of 1200 bytes of payload that begin so.
fn packet(port: u16, from_client: bool, payload: &[u8]) -> Vec<u8> {
    let mut ip = vec![0x45, 0, 4, 204, 0, 0, 0x40, 0, 64, 17, 0, 0];
    let (client, server) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let ([from, to], [from_port, to_port]) = if from_client {
        ([client, server], [port, 443])
    } else {
        ([server, client], [443, port])
    };
    ip.extend([from, to].as_flattened());
    ip.extend(
        [from_port, to_port, 1208, 0]
            .map(u16::to_be_bytes)
            .as_flattened(),
    );
    ip.extend(payload);
    ip
}

struct Table {
    flows: DatagramFlows,
    numbers: Numbers,
    finished: Vec<u64>,
}

impl Table {
    fn new(is_of_one: bool, most: usize) -> Self {
        Self {
            flows: DatagramFlows::with_most(is_of_one, most),
            numbers: Numbers::default(),
            finished: Vec::new(),
        }
    }

    fn add(&mut self, time: i64, ip: &[u8]) -> Added {
        let datagram = Datagram::of_ip(time, ip, 1228, 1).unwrap();
        let mut finish = |taken: Taken| {
            self.finished.push(taken.number());
            Ok::<_, Infallible>(())
        };
        self.flows
            .add(time, &datagram, &mut self.numbers, &mut finish)
            .unwrap()
    }

    /// A packet of the client.
    fn packet(&mut self, time: i64, port: u16) -> u64 {
        self.add(time, &packet(port, true, b"")).number
    }

    fn rest(self) -> Vec<(u64, Row)> {
        let rest = self.flows.into_rest();
        let mut rest: Vec<_> = rest.iter().map(|of| (of.number(), of.row())).collect();
        rest.sort_unstable_by_key(|(number, _)| *number);
        rest
    }
}

#[test]
fn a_flow_goes_on_in_both_directions_until_it_was_silent_for_30_seconds() {
    let mut table = Table::new(false, 9);
    assert_eq!(table.packet(0, 7), 0);
    assert_eq!(table.add(29 * SECOND, &packet(7, false, b"")).number, 0);
    assert_eq!(table.packet(59 * SECOND - 1, 7), 0);
    assert_eq!(table.finished, [0; 0]);
    // Exactly, whenever it was looked.
    assert_eq!(table.packet(89 * SECOND - 1, 7), 1);
    assert_eq!(table.finished, [0]);
    let mut looked = Table::new(false, 9);
    looked.packet(0, 7);
    looked.packet(29 * SECOND + SECOND / 2, 8);
    assert_eq!(looked.packet(30 * SECOND, 7), 2);
    // Whoever is silent is finished by others' packets, too.
    assert_eq!(table.packet(120 * SECOND, 8), 2);
    assert_eq!(table.finished, [0, 1]);
}

#[test]
fn in_the_file_of_one_flow_silence_ends_nothing() {
    let mut table = Table::new(true, 9);
    table.packet(0, 7);
    assert_eq!(table.packet(3600 * SECOND, 7), 0);
    assert_eq!(table.finished, [0; 0]);
}

#[test]
fn at_the_limit_the_longest_silent_goes_and_is_counted() {
    let mut table = Table::new(false, 3);
    for (time, port) in [(0, 7), (1, 8), (2, 9), (3, 7), (4, 10)] {
        table.packet(time, port);
    }
    assert_eq!((&*table.finished, table.flows.early), (&[1][..], 1));
    assert_eq!(table.flows.open.len(), 3);
    // A new flow between the same ends takes no other one's place.
    table.packet(3 + 30 * SECOND, 7);
    assert_eq!(table.flows.early, 1);
}

#[test]
fn a_short_header_to_a_server_that_has_answered_is_a_connection_that_goes_on() {
    let protocols = |before: &[(u16, bool, &[u8])], is_of_one| {
        let mut table = Table::new(is_of_one, 9);
        for (port, from_client, payload) in before {
            table.add(0, &packet(*port, *from_client, payload));
        }
        table.add(SECOND, &packet(8, true, SHORT));
        let rest = table.rest();
        let (_, row) = rest.last().unwrap();
        (row.transport.protocol.unwrap(), row.quic.migration)
    };
    let moved = (Protocol::Quic, Some(true));
    let begun: [(u16, bool, &[u8]); 2] = [(7, true, INITIAL), (7, false, ANSWER)];
    assert_eq!(protocols(&begun, false), moved);
    // Nobody has answered, or not to that client.
    assert_eq!(protocols(&begun[..1], false), (Protocol::Udp, None));
    let other: &[u8] = b"\xc0\0\0\0\x01\x08otherone\x08ssssssss";
    let forged = [begun[0], (7, false, other)];
    assert_eq!(protocols(&forged, false), (Protocol::Udp, None));
    // In files of ours the byte is only there if the daemon has known the server.
    assert_eq!(protocols(&[], true), moved);
}

#[test]
fn so_many_servers_are_remembered() {
    let mut table = Table::new(false, 9);
    for number in 0..SERVERS as u16 + 3 {
        let end = SocketAddr::from(([10, 0, 0, 1], number));
        table.flows.remember(end);
    }
    assert_eq!(table.flows.servers.len(), SERVERS);
}
