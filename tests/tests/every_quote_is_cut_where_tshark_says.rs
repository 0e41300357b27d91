//! Promise: of an ICMP error, the file of the connection that it is about has all up to the end of the TCP header
//! that it quotes, or up to where the quote ends, to the byte. tshark says where that is.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::peers::tcpinfo::StandIn;
use end_to_end::traffic::corpus::{self, Injection, PORTS, flows};
use end_to_end::traffic::ip_packets::{ethernet, ipv4, ipv6};
use end_to_end::traffic::payload;
use end_to_end::verify::dissect;
use end_to_end::verify::format;
use end_to_end::verify::report::{ConnectionField, PacketField};
use end_to_end::world::netns::{Lab, WAN};
use fastrand::Rng;
use pcap_file::pcap::PcapReader;
use serde_json::json;

/// Any number will do.
const SEED: u64 = 4_884_201_844_342_084;

/// Fewer than the file of a connection may have at once.
const EACH: usize = 12;

/// Bytes of payload of a packet that is quoted.
const PAYLOAD: usize = 200;

fn uuid(flow: usize) -> String {
    format!("quotes_1700000000_unsafe_{flow:016X}")
}

/// A packet of a flow, in either direction, with payload.
fn packet(rng: &mut Rng, (host, peer, port): &(IpAddr, IpAddr, u16)) -> Vec<u8> {
    let words = rng.u8(0..=10);
    let mut ends = [(host, PORTS.0), (peer, *port)];
    if rng.bool() {
        ends.reverse();
    }
    let mut tcp = ends
        .map(|(_, port)| port.to_be_bytes())
        .as_flattened()
        .to_vec();
    tcp.extend([
        0,
        1,
        2,
        3,
        0,
        0,
        0,
        9,
        (5 + words) << 4,
        rng.u8(..),
        0,
        99,
        0,
        0,
        0,
        0,
    ]);
    tcp.resize(20 + 4 * usize::from(words), 1);
    tcp.extend(payload::bytes(PAYLOAD));
    let ends = [ends[0].0, ends[1].0];
    match host {
        IpAddr::V4(_) => ipv4(rng, ends, 6, &tcp),
        IpAddr::V6(_) => ipv6(rng, ends, 6, &tcp),
    }
}

/// A frame with an error about a packet of a flow, of which it quotes as much as anybody may.
fn frame(rng: &mut Rng, flow: &(IpAddr, IpAddr, u16)) -> Vec<u8> {
    let quoted = packet(rng, flow);
    // From the sequence number on, which is the least, within the header, or with payload.
    let (least, headers) = (ip_len(&quoted) + 8, quoted.len() - PAYLOAD);
    let kept = match rng.u8(..3) {
        0 => least,
        1 => rng.usize(least..=headers),
        _ => rng.usize(headers..=quoted.len()),
    };
    let kinds: &[u8] = match flow.0 {
        // Of what a redirect quotes, tshark dissects eight bytes, whatever there are.
        IpAddr::V4(_) => &[3, 4, 11, 12],
        IpAddr::V6(_) => &[1, 2, 3, 4],
    };
    let kind = kinds[rng.usize(..kinds.len())];
    let message = [&[kind, 0, 0, 0, 0, 0, 5, 0][..], &quoted[..kept]].concat();
    let ends = [&flow.1, &flow.0];
    let (ethertype, ip) = match flow.0 {
        IpAddr::V4(_) => ([0x08, 0x00], ipv4(rng, ends, 1, &message)),
        IpAddr::V6(_) => ([0x86, 0xdd], ipv6(rng, ends, 58, &message)),
    };
    ethernet(rng, ethertype, &ip)
}

/// Bytes of the headers in front of TCP.
fn ip_len(packet: &[u8]) -> usize {
    match packet[0] >> 4 {
        4 => usize::from(packet[0] & 15) * 4,
        _ if packet[6] == 60 => 40 + (usize::from(packet[41]) + 1) * 8,
        _ => 40,
    }
}

/// The packets of a file, and their length on the wire.
fn packets(bytes: &[u8]) -> Result<Vec<(Vec<u8>, u32)>> {
    let mut reader = PcapReader::new(bytes)?;
    let mut packets = Vec::new();
    while let Some(packet) = reader.next_raw_packet() {
        let packet = packet?;
        packets.push((packet.data.to_vec(), packet.orig_len));
    }
    Ok(packets)
}

fn flow_of(from: SocketAddr, to: SocketAddr) -> Option<usize> {
    flows().iter().position(|(host, peer, port)| {
        let ends = [
            SocketAddr::new(*host, PORTS.0),
            SocketAddr::new(*peer, *port),
        ];
        ends == [from, to] || ends == [to, from]
    })
}

#[test]
fn quotes_of_every_length_behind_headers_of_every_kind() -> Result<()> {
    let lab = Lab::beside_others()?;
    let mut rng = Rng::with_seed(SEED);
    let frames: Vec<_> = flows()
        .iter()
        .flat_map(|flow| (0..EACH).map(|_| frame(&mut rng, flow)).collect::<Vec<_>>())
        .collect();
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let launch = Launch::new(&lab).following(&tcpinfo).without_prefix();
    let mut daemon = launch.start(&["--linger=60s", "--captureduration=300s"])?;
    tcpinfo.wait_for_client(1)?;
    for (number, (host, peer, port)) in flows().into_iter().enumerate() {
        let id = json!({
            "SPort": PORTS.0, "DPort": port, "SrcIP": host, "DstIP": peer,
            "Interface": 0, "Cookie": number,
        });
        tcpinfo.send_open(&uuid(number), &id);
    }
    let opened = flows().len() as u64;
    let before = daemon.wait_for_report("every flow has its name", |report| {
        report.get(ConnectionField::Opened) >= opened
    })?;
    let tcpdump = Tcpdump::start_on((&lab.host, WAN), "")?;
    let sent = corpus::send(&lab.peer, WAN, Injection::Socket, &frames)?;
    ensure!(sent == frames.len(), "{sent} frames were sent");
    let recorded = tcpdump.finish()?;
    let all = packets(&format::contents(&recorded.file())?)?;
    daemon.wait_for_report("every frame is accounted for", |report| {
        report.get(PacketField::Seen) >= before.get(PacketField::Seen) + all.len() as u64
    })?;
    let stopped = daemon.stop()?;
    stopped.captures.no_payload()?;

    let mut expected: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for ((bytes, wire_len), quote) in all.iter().zip(dissect::quotes(&recorded.file())?) {
        let Some(quote) = quote else { continue };
        let flow = flow_of(quote.from, quote.to).context("a flow of somebody else")?;
        let of_flow = expected.entry(uuid(flow)).or_default();
        of_flow.push((bytes[..quote.end].to_vec(), *wire_len));
    }
    let mut captured = BTreeMap::new();
    for (uuid, file) in stopped.captures.published()? {
        captured.insert(uuid, packets(&format::contents(&file)?)?);
    }
    for records in expected.values_mut().chain(captured.values_mut()) {
        records.sort();
    }
    let number: usize = expected.values().map(Vec::len).sum();
    assert_eq!(number, frames.len(), "tshark understands all of them");
    assert_eq!(captured, expected, "{}", stopped.transcript);
    Ok(())
}
