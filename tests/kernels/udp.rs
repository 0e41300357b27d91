//! UDP and QUIC on this kernel: the verifier takes their programs, and they find the ends of headers.

use std::net::{SocketAddr, UdpSocket};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, Stopped};
use end_to_end::traffic::payload;
use end_to_end::verify::pcap;
use end_to_end::verify::report::PacketField;
use end_to_end::world::netns::{Lab, Namespace, first, second};

use super::running;

/// How much of the first packet of a QUIC connection is no secret: first byte, version, and two IDs with their lengths.
const INITIAL: [u8; 7] = [0xc0, 0, 0, 0, 1, 8, 0];
const IDS: [usize; 2] = [8, 5];
const SHOWN: usize = INITIAL.len() + IDS[0] + IDS[1];
/// With headers of Ethernet, IPv4 or IPv6, and UDP.
const HEADERS: [usize; 2] = [14 + 20 + 8, 14 + 40 + 8];

/// A datagram by which a client may begin a connection: what follows the IDs is payload that no file may have.
fn initial() -> Vec<u8> {
    let mut datagram = INITIAL[..6].to_vec();
    datagram.extend([0xd1; IDS[0]]);
    datagram.push(IDS[1] as u8);
    datagram.extend([0x51; IDS[1]]);
    let rest = payload::bytes(1200 - datagram.len());
    [datagram, rest].concat()
}

fn bind(namespace: &Namespace, at: SocketAddr) -> Result<UdpSocket> {
    namespace.run(|| UdpSocket::bind(at).with_context(|| format!("bind {at}")))
}

/// Sends two datagrams over each version of IP, QUIC's first one and another, from a socket that is connected and then
/// closed; captures them with these flags.
fn capture(test: &str, flags: &[&str]) -> Result<Stopped> {
    let lab = Lab::new()?;
    let flags = [&["--protocols=tcp,quic"], flags].concat();
    let mut daemon = Daemon::start(&lab, &flags)?;
    for (here, there) in first(0).into_iter().zip(second(0)) {
        let server = bind(&lab.peer, SocketAddr::new(there, 0))?;
        let client = bind(&lab.host, SocketAddr::new(here, 0))?;
        client.connect(server.local_addr()?)?;
        let mut buffer = [0; 2000];
        for datagram in [initial(), payload::bytes(1300)] {
            client.send(&datagram)?;
            server.recv(&mut buffer)?;
        }
    }
    daemon.wait_for_report("captured", |report| {
        report.get(PacketField::Written) + report.get(PacketField::Held) >= 4
    })?;
    let stopped = daemon.stop()?;
    running::note(test, &stopped.transcript)?;
    let files = stopped.captures.of_udp()?;
    ensure!(files.len() == 2, "{files:?}");
    for (name, file) in &files {
        let packets = pcap::read(file)?;
        let lengths: Vec<_> = packets.iter().map(|packet| packet.captured.len()).collect();
        let found = HEADERS
            .iter()
            .any(|headers| lengths == [headers + SHOWN, *headers]);
        ensure!(found, "{name}: {lengths:?}");
    }
    stopped.captures.no_payload()?;
    Ok(stopped)
}

#[test]
fn by_the_best_method() -> Result<()> {
    let stopped = capture("UDP and QUIC", &[])?;
    for name in stopped.captures.of_udp()?.keys() {
        let (socket, _) = name.split_once("_udp_").context("no UDP flow")?;
        ensure!(
            socket.len() > 16 && !socket.ends_with("unsafe"),
            "{name}: no cookie"
        );
    }
    Ok(())
}

#[test]
fn by_a_packet_socket() -> Result<()> {
    capture("UDP and QUIC by a packet socket", &["--attach=socket"]).map(drop)
}

#[test]
fn inside_of_tunnels_too() -> Result<()> {
    capture("UDP and QUIC inside of tunnels", &["--decapsulate"]).map(drop)
}
