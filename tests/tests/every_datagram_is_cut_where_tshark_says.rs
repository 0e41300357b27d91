//! Promise: a UDP packet is recorded up to the end of its header, and one of QUIC up to the end of the connection IDs that its
//! first packet shows, to the byte, whatever precedes it. tshark says where that is.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};
use end_to_end::peers::daemon::Daemon;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::traffic::corpus::{self, Injection};
use end_to_end::traffic::ip_packets::{ethernet, ipv4, ipv6};
use end_to_end::traffic::payload;
use end_to_end::verify::dissect;
use end_to_end::verify::format;
use end_to_end::verify::report::PacketField;
use end_to_end::world::netns::{self, Lab, WAN};
use fastrand::Rng;
use pcap_file::pcap::PcapReader;

/// Any number will do.
const SEED: u64 = 9_000_900_190_029_369;

/// Connections over each version of IP; as many flows of something else, and packets of each once it has begun.
const CONNECTIONS: u16 = 40;
const EACH: usize = 8;

/// RFC 9000 and RFC 9369.
const VERSION_1: u32 = 1;
const VERSION_2: u32 = 0x6b33_43cf;

/// Numbers of the types of long headers in version 1; in version 2, each is the next.
const INITIAL: u8 = 0;
const ZERO_RTT: u8 = 1;
const HANDSHAKE: u8 = 2;

/// A QUIC connection that nobody has.
struct Connection {
    version: u32,
    client: Vec<u8>,
    server: Vec<u8>,
}

impl Connection {
    fn new(rng: &mut Rng) -> Self {
        let version = if rng.bool() { VERSION_1 } else { VERSION_2 };
        let client = id(rng, 0..=20);
        // Shorter ones anybody can guess.
        let server = id(rng, 4..=20);
        Self {
            version,
            client,
            server,
        }
    }

    /// A datagram of the client, or of the server, that begins with a long header of this type.
    fn long(&self, rng: &mut Rng, kind: u8, ids: [&[u8]; 2]) -> Vec<u8> {
        let number = kind + u8::from(self.version == VERSION_2);
        let mut packet = vec![0xc0 | number << 4 | rng.u8(..16)];
        packet.extend(self.version.to_be_bytes());
        for id in ids {
            packet.push(id.len() as u8);
            packet.extend(id);
        }
        let is_initial = kind == INITIAL;
        if is_initial {
            // A token.
            packet.push(40);
            packet.extend(payload::bytes(40));
        }
        let rest = if is_initial { 1200 } else { rng.u16(40..1000) };
        packet.extend((0x4000 | rest).to_be_bytes());
        packet.extend(payload::bytes(rest.into()));
        packet
    }

    fn short(rng: &mut Rng, id: &[u8]) -> Vec<u8> {
        let rest = payload::bytes(rng.usize(25..1200));
        [&[0x40 | rng.u8(..64)][..], id, &rest].concat()
    }

    /// The datagrams of the connection, and whether the client sends each.
    fn datagrams(&self, rng: &mut Rng) -> Vec<(bool, Vec<u8>)> {
        let first = id(rng, 8..=20);
        let (client, server) = (&self.client[..], &self.server[..]);
        let mut all = vec![
            (true, self.long(rng, INITIAL, [&first, client])),
            (true, self.long(rng, ZERO_RTT, [&first, client])),
            (false, self.long(rng, INITIAL, [client, server])),
            (false, self.long(rng, HANDSHAKE, [client, server])),
            (true, self.long(rng, HANDSHAKE, [server, client])),
        ];
        for _ in 0..EACH {
            all.push((true, Self::short(rng, server)));
            all.push((false, Self::short(rng, client)));
        }
        all
    }
}

fn id(rng: &mut Rng, lengths: std::ops::RangeInclusive<usize>) -> Vec<u8> {
    let length = rng.usize(lengths);
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}

/// Datagrams of something else.
fn others(rng: &mut Rng) -> Vec<(bool, Vec<u8>)> {
    let datagram = |_| {
        let length = rng.usize(0..1200);
        (rng.bool(), payload::bytes(length))
    };
    (0..EACH).map(datagram).collect()
}

/// A frame with a datagram from one end to the other.
fn frame(rng: &mut Rng, [from, to]: [SocketAddr; 2], content: &[u8]) -> Vec<u8> {
    let mut udp = [from, to]
        .map(|end| end.port().to_be_bytes())
        .as_flattened()
        .to_vec();
    udp.extend((8 + content.len() as u16).to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(content);
    let ends = [&from.ip(), &to.ip()];
    match from {
        SocketAddr::V4(_) => {
            let packet = ipv4(rng, ends, 17, &udp);
            ethernet(rng, [0x08, 0x00], &packet)
        }
        SocketAddr::V6(_) => {
            let packet = ipv6(rng, ends, 17, &udp);
            ethernet(rng, [0x86, 0xdd], &packet)
        }
    }
}

/// The frames of flows between two addresses, each from a port of its own.
fn frames(rng: &mut Rng, [client, server]: [IpAddr; 2]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for number in 0..2 * CONNECTIONS {
        let is_quic = number < CONNECTIONS;
        let datagrams = match is_quic {
            true => Connection::new(rng).datagrams(rng),
            false => others(rng),
        };
        // 9: discard, of which tshark knows no protocol.
        let server_port = if is_quic { 443 } else { 9 };
        let ends = [
            SocketAddr::new(client, 30_000 + number),
            SocketAddr::new(server, server_port),
        ];
        for (is_sent, content) in datagrams {
            let [one, other] = ends;
            let ends = if is_sent { ends } else { [other, one] };
            frames.push(frame(rng, ends, &content));
        }
    }
    frames
}

/// The bytes of each packet of a file, and its length on the wire.
fn packets(bytes: &[u8]) -> Result<Vec<(Vec<u8>, u32)>> {
    let mut reader = PcapReader::new(bytes)?;
    let mut packets = Vec::new();
    while let Some(packet) = reader.next_raw_packet() {
        let packet = packet?;
        packets.push((packet.data.to_vec(), packet.orig_len));
    }
    Ok(packets)
}

#[test]
fn udp_and_quic_with_ids_of_every_length() -> Result<()> {
    let lab = Lab::beside_others()?;
    for namespace in [&lab.host, &lab.peer] {
        namespace.ip(&["link", "set", WAN, "mtu", "2000"])?;
    }
    let mut rng = Rng::with_seed(SEED);
    let pairs = netns::first(0).into_iter().zip(netns::second(0));
    let frames: Vec<_> = pairs
        .flat_map(|(host, peer)| frames(&mut rng, [peer, host]))
        .collect();
    let mut daemon = Daemon::start(&lab, &["--protocols=tcp,quic", "--captureduration=300s"])?;
    let tcpdump = Tcpdump::start_on((&lab.host, WAN), "")?;
    let sent = corpus::send(&lab.peer, WAN, Injection::Socket, &frames)?;
    ensure!(sent == frames.len(), "{sent} frames were sent");
    let recorded = tcpdump.finish()?;
    let all = packets(&format::contents(&recorded.file())?)?;
    daemon.wait_for_report("every frame is accounted for", |report| {
        report.get(PacketField::Seen) >= all.len() as u64
    })?;
    let stopped = daemon.stop()?;
    stopped.captures.no_payload()?;

    let mut expected: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut of_quic = 0;
    for ((bytes, wire_len), udp) in all.iter().zip(dissect::datagrams(&recorded.file())?) {
        let Some(udp) = udp.filter(|udp| [9, 443].contains(&udp.from.port().min(udp.to.port())))
        else {
            continue;
        };
        of_quic += usize::from(udp.ids_end.is_some());
        let end = udp.ids_end.unwrap_or(udp.end);
        let ends = (udp.from.min(udp.to), udp.from.max(udp.to));
        expected
            .entry(ends)
            .or_default()
            .push((bytes[..end].to_vec(), *wire_len));
    }
    let mut expected: Vec<_> = expected.into_values().collect();
    let mut captured = Vec::new();
    for file in stopped.captures.of_udp()?.values() {
        captured.push(packets(&format::contents(file)?)?);
    }
    captured.sort();
    expected.sort();
    let number: usize = expected.iter().map(Vec::len).sum();
    assert_eq!(number, frames.len(), "tshark understands all of them");
    assert_eq!(of_quic, usize::from(CONNECTIONS) * 2 * (5 + 2 * EACH));
    assert_eq!(captured, expected, "{}", stopped.transcript);
    Ok(())
}
