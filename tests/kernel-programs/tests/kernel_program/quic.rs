//! QUIC: what is kept of it, and who is believed.

use kernel_tests::frames::{answer_v4, datagram_v4, datagram_v6};
use kernel_tests::kernel::Kernel;
use packet_headers_common::PacketCounter;
use packet_headers_common::quic::{NEGOTIATION, VERSION_1, VERSION_2};

use crate::offloads::at_an_interface;
use crate::udp::takes;

/// Bytes of Ethernet, IPv4 and UDP headers.
const HEADERS: usize = 14 + 20 + 8;

const INITIAL: u8 = 0xc3;
const HANDSHAKE: u8 = 0xe3;
const RETRY: u8 = 0xf3;
const SHORT: u8 = 0x7f;

/// The ID that a client makes up for the server, its own, and that of the server.
const FIRST: &[u8] = &[1; 8];
const CLIENT: &[u8] = &[2; 5];
const SERVER: &[u8] = &[3; 18];

/// A datagram of so many bytes with a long header in front of what must not come out.
fn long(first: u8, version: u32, ids: [&[u8]; 2], length: usize) -> Vec<u8> {
    let mut packet = vec![first];
    packet.extend(version.to_be_bytes());
    for id in ids {
        packet.push(id.len() as u8);
        packet.extend(id);
    }
    packet.resize(length.max(packet.len()), 0xa5);
    packet
}

/// How much of it is kept.
fn shown(ids: [&[u8]; 2]) -> usize {
    7 + ids[0].len() + ids[1].len()
}

/// A datagram with a short header.
fn short(id: &[u8]) -> Vec<u8> {
    [&[SHORT], id, &[0xa5; 40]].concat()
}

/// Both ends of a flow, and the programs that see them.
struct Flow {
    kernel: Kernel,
    /// The client's port.
    port: u16,
    six: bool,
}

impl Flow {
    fn new() -> Self {
        Self {
            kernel: Kernel::of_quic(),
            port: 50_000,
            six: false,
        }
    }

    fn frame(&self, payload: &[u8]) -> Vec<u8> {
        let (mut frame, at) = match self.six {
            false => (datagram_v4(payload), 34),
            true => (datagram_v6(payload), 54),
        };
        frame[at..at + 2].copy_from_slice(&self.port.to_be_bytes());
        frame
    }

    fn headers(&self) -> usize {
        if self.six { HEADERS + 20 } else { HEADERS }
    }

    /// The client sends it, and so many bytes of it are kept.
    fn sends(&mut self, payload: &[u8], kept: usize) {
        let (frame, headers) = (self.frame(payload), self.headers());
        takes(&mut self.kernel, "ph_eth_egress", &frame, headers + kept);
    }

    /// The client receives it.
    fn receives(&mut self, payload: &[u8], kept: usize) {
        let mut answer = answer_v4(&self.frame(payload));
        if self.six {
            let frame = self.frame(payload);
            answer = frame.clone();
            answer[22..38].copy_from_slice(&frame[38..54]);
            answer[38..54].copy_from_slice(&frame[22..38]);
            answer[54..56].copy_from_slice(&frame[56..58]);
            answer[56..58].copy_from_slice(&frame[54..56]);
        }
        let headers = self.headers();
        takes(&mut self.kernel, "ph_eth_ingress", &answer, headers + kept);
    }

    /// A handshake of this version.
    fn shakes_hands(&mut self, version: u32) {
        let turn = |first: u8| match version {
            VERSION_2 => first & 0xcf | (first & 0x30).wrapping_add(0x10) & 0x30,
            _ => first,
        };
        let (initial, handshake) = (turn(INITIAL), turn(HANDSHAKE));
        self.sends(
            &long(initial, version, [FIRST, CLIENT], 1200),
            shown([FIRST, CLIENT]),
        );
        self.receives(
            &long(initial, version, [CLIENT, SERVER], 1200),
            shown([CLIENT, SERVER]),
        );
        self.receives(&short(CLIENT), 1);
        self.sends(
            &long(handshake, version, [SERVER, CLIENT], 90),
            shown([SERVER, CLIENT]),
        );
    }

    fn count(&mut self, what: PacketCounter) -> u64 {
        self.kernel
            .counters
            .read()
            .expect("counters")
            .packets
            .get(what)
    }
}

#[test]
fn a_connection_is_kept_up_to_its_ids_and_no_further() {
    for version in [VERSION_1, VERSION_2] {
        for six in [false, true] {
            let mut flow = Flow::new();
            flow.six = six;
            flow.shakes_hands(version);
            flow.sends(&short(SERVER), 1 + SERVER.len());
            flow.receives(&short(CLIENT), 1 + CLIENT.len());
            assert_eq!(flow.count(PacketCounter::Quic), 6);
            assert_eq!(flow.count(PacketCounter::QuicFlows), 1);
            assert_eq!(flow.count(PacketCounter::QuicIdsTooLong), 0);
        }
    }
}

#[test]
fn ids_may_have_any_length_that_versions_1_and_2_allow() {
    let bytes = [7; 20];
    for client in [0, 1, 7, 8, 9, 16, 17, 20] {
        for server in [4, 8, 20] {
            let (client, server) = (&bytes[..client], &bytes[..server]);
            let mut flow = Flow::new();
            let first = &[9; 20];
            flow.sends(
                &long(INITIAL, VERSION_1, [first, client], 1200),
                shown([first, client]),
            );
            flow.receives(
                &long(INITIAL, VERSION_1, [client, server], 0),
                shown([client, server]),
            );
            flow.sends(
                &long(HANDSHAKE, VERSION_1, [server, client], 0),
                shown([server, client]),
            );
            flow.sends(&short(server), 1 + server.len());
            flow.receives(&short(client), 1 + client.len());
        }
    }
}

#[test]
fn without_a_clients_first_packet_a_flow_is_udp() {
    let mut flow = Flow::new();
    for (first, version, ids, length) in [
        // Too short a datagram, too short or too long an ID, another version, type or protocol.
        (INITIAL, VERSION_1, [FIRST, CLIENT], 1199),
        (INITIAL, VERSION_1, [CLIENT, CLIENT], 1200),
        (INITIAL, VERSION_1, [&[1; 21][..], CLIENT], 1200),
        (INITIAL, VERSION_1, [FIRST, &[1; 21][..]], 1200),
        (INITIAL, 0xff00_001d, [FIRST, CLIENT], 1200),
        (INITIAL, NEGOTIATION, [FIRST, CLIENT], 1200),
        (INITIAL, VERSION_2, [FIRST, CLIENT], 1200),
        (HANDSHAKE, VERSION_1, [FIRST, CLIENT], 1200),
        (RETRY, VERSION_1, [FIRST, CLIENT], 1200),
        (0x83, VERSION_1, [FIRST, CLIENT], 1200),
        (0x43, VERSION_1, [FIRST, CLIENT], 1200),
    ] {
        flow.sends(&long(first, version, ids, length), 0);
        flow.receives(&short(CLIENT), 0);
    }
    assert_eq!(flow.count(PacketCounter::QuicFlows), 0);
    assert_eq!(flow.count(PacketCounter::QuicIdsTooLong), 0);
    // A length of the datagram that lies.
    let payload = long(INITIAL, VERSION_1, [FIRST, CLIENT], 1200);
    let mut frame = flow.frame(&payload);
    for told in [1_u16, 8, 9, 20, 1207] {
        frame[38..40].copy_from_slice(&told.to_be_bytes());
        takes(&mut flow.kernel, "ph_eth_egress", &frame, HEADERS);
    }
    // Nor is a QUIC connection looked for where it is not wanted.
    let mut plain = Kernel::of_udp();
    takes(&mut plain, "ph_eth_egress", &flow.frame(&payload), HEADERS);
}

#[test]
fn what_is_no_packet_of_the_connection_is_kept_as_udp() {
    let mut flow = Flow::new();
    flow.shakes_hands(VERSION_1);
    let ids = [SERVER, CLIENT];
    // Without the fixed bit, of other versions, and with IDs that are too long.
    flow.sends(&[&[0x3f][..], SERVER, &[0xa5; 40]].concat(), 0);
    flow.sends(&long(0xa3, VERSION_1, ids, 100), 0);
    flow.sends(&long(HANDSHAKE, 0x0a0a_0a0a, ids, 100), 0);
    flow.sends(&long(INITIAL, NEGOTIATION, ids, 100), 0);
    assert_eq!(flow.count(PacketCounter::QuicIdsTooLong), 0);
    flow.sends(&long(HANDSHAKE, VERSION_1, [&[3; 21], CLIENT], 100), 0);
    flow.sends(&long(HANDSHAKE, VERSION_1, [SERVER, &[2; 255]], 300), 0);
    assert_eq!(flow.count(PacketCounter::QuicIdsTooLong), 2);
    // Datagrams that end before the IDs do.
    let whole = long(HANDSHAKE, VERSION_1, ids, 0);
    for cut in 0..whole.len() {
        flow.sends(&whole[..cut], 0);
    }
    flow.sends(&whole, whole.len());
    for cut in 0..SERVER.len() {
        flow.sends(&short(SERVER)[..cut], 0);
    }
    // What pads a frame is none of the datagram.
    let mut frame = flow.frame(&whole[..10]);
    frame.extend(&whole[10..]);
    takes(&mut flow.kernel, "ph_eth_egress", &frame, HEADERS);
    flow.sends(&short(SERVER), 1 + SERVER.len());
}

#[test]
fn a_retry_and_a_version_negotiation_are_kept_without_what_follows() {
    let mut flow = Flow::new();
    let begins = long(INITIAL, VERSION_1, [FIRST, CLIENT], 1200);
    flow.receives(&long(0x80, NEGOTIATION, [CLIENT, FIRST], 40), 0);
    flow.sends(&begins, shown([FIRST, CLIENT]));
    for first in [0x80, INITIAL] {
        let negotiation = long(first, NEGOTIATION, [CLIENT, FIRST], 40);
        flow.receives(&negotiation, shown([CLIENT, FIRST]));
    }
    flow.sends(&begins, shown([FIRST, CLIENT]));
    let other = &[8; 20];
    flow.receives(
        &long(RETRY, VERSION_1, [CLIENT, other], 120),
        shown([CLIENT, other]),
    );
    flow.sends(
        &long(INITIAL, VERSION_1, [other, CLIENT], 1200),
        shown([other, CLIENT]),
    );
    // Early data.
    flow.sends(
        &long(0xd3, VERSION_1, [other, CLIENT], 300),
        shown([other, CLIENT]),
    );
    flow.receives(
        &long(INITIAL, VERSION_1, [CLIENT, SERVER], 1200),
        shown([CLIENT, SERVER]),
    );
    flow.sends(
        &long(INITIAL, VERSION_1, [SERVER, CLIENT], 1200),
        shown([SERVER, CLIENT]),
    );
    flow.sends(&short(SERVER), 1 + SERVER.len());
    flow.receives(&short(CLIENT), 1 + CLIENT.len());
}

#[test]
fn no_forged_packet_makes_short_headers_longer() {
    let long_id: &[u8] = &[9; 20];
    // A beginning before the true one, to which the server answers.
    let mut flow = Flow::new();
    flow.sends(
        &long(INITIAL, VERSION_1, [FIRST, long_id], 1200),
        shown([FIRST, long_id]),
    );
    flow.receives(
        &long(INITIAL, VERSION_1, [long_id, SERVER], 1200),
        shown([long_id, SERVER]),
    );
    let guess = &[4; 18];
    flow.sends(
        &long(HANDSHAKE, VERSION_1, [guess, long_id], 90),
        shown([guess, long_id]),
    );
    flow.receives(&short(CLIENT), 1);
    flow.sends(&short(SERVER), 1);
    flow.shakes_hands(VERSION_1);
    flow.sends(&short(SERVER), 1 + SERVER.len());
    flow.receives(&short(CLIENT), 1 + CLIENT.len());
    // Afterwards, from either end.
    for ids in [[FIRST, long_id], [SERVER, long_id]] {
        flow.sends(&long(INITIAL, VERSION_1, ids, 1200), shown(ids));
        flow.receives(&long(INITIAL, VERSION_1, [long_id, long_id], 1200), 47);
    }
    flow.sends(&short(SERVER), 1 + SERVER.len());
    flow.receives(&short(CLIENT), 1 + CLIENT.len());
    // What is shorter costs bytes that could be kept.
    flow.sends(
        &long(INITIAL, VERSION_1, [FIRST, &[]], 1200),
        shown([FIRST, &[]]),
    );
    flow.receives(&short(CLIENT), 1);
    // Nor does one make a flow of something else one of QUIC whose bytes are kept.
    flow.port += 1;
    flow.sends(&[0x12; 50], 0);
    flow.sends(
        &long(INITIAL, VERSION_1, [FIRST, long_id], 1200),
        shown([FIRST, long_id]),
    );
    flow.sends(&short(SERVER), 0);
    flow.receives(&short(CLIENT), 0);
}

#[test]
fn a_connection_that_moves_is_known_by_its_server() {
    let mut flow = Flow::new();
    flow.sends(&short(SERVER), 0);
    flow.port = 50_001;
    flow.shakes_hands(VERSION_1);
    // The flow that was there has begun as another one.
    flow.port = 50_000;
    flow.sends(&short(SERVER), 0);
    flow.port = 50_002;
    flow.sends(&short(SERVER), 1 + SERVER.len());
    flow.receives(&short(CLIENT), 1);
    flow.sends(&short(SERVER), 1 + SERVER.len());
    assert_eq!(flow.count(PacketCounter::QuicFlows), 2);
    // One that begins the other way round is not seen to go to a server.
    flow.port = 50_003;
    flow.receives(&short(CLIENT), 0);
    // Another server's.
    flow.six = true;
    flow.sends(&short(SERVER), 0);
}

#[test]
fn a_server_that_has_shorter_ids_is_believed_from_then_on() {
    let mut flow = Flow::new();
    flow.shakes_hands(VERSION_1);
    let other = &[6; 8];
    for (port, server, want) in [(50_001, &other[..], 8), (50_003, SERVER, 8)] {
        flow.port = port;
        flow.sends(
            &long(INITIAL, VERSION_1, [FIRST, CLIENT], 1200),
            shown([FIRST, CLIENT]),
        );
        flow.receives(
            &long(INITIAL, VERSION_1, [CLIENT, server], 0),
            shown([CLIENT, server]),
        );
        flow.sends(
            &long(HANDSHAKE, VERSION_1, [server, CLIENT], 0),
            shown([server, CLIENT]),
        );
        flow.port += 1;
        flow.sends(&short(server), 1 + want);
    }
}

#[test]
fn who_forges_both_directions_makes_no_server_known() {
    let mut flow = Flow::new();
    // Both come in by one interface, which is not loopback.
    let frames = [
        flow.frame(&long(INITIAL, VERSION_1, [FIRST, CLIENT], 1200)),
        answer_v4(&flow.frame(&long(INITIAL, VERSION_1, [CLIENT, SERVER], 1200))),
        flow.frame(&long(HANDSHAKE, VERSION_1, [SERVER, CLIENT], 90)),
    ];
    for frame in frames {
        let context = at_an_interface();
        let outcome = flow
            .kernel
            .run_with("ph_eth_ingress", &frame, Some(&context));
        outcome.expect("a record");
    }
    flow.port += 1;
    flow.sends(&short(SERVER), 0);
}
