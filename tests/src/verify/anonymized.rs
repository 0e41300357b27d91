//! What an anonymized packet has to look like, made of what tcpdump saw of it.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};

use crate::traffic::Connection;
use crate::verify::captures::files_below;
use crate::verify::oracle::Oracle;
use crate::verify::pcap::{self, Packet};

/// Bytes of the MAC addresses, of an Ethernet header, of an IPv4 header without options, and of an
/// IPv6 header.
const MACS: usize = 12;
const LINK: usize = 14;
const IPV4: usize = 20;
const IPV6: usize = 40;

/// A packet's headers with other addresses, and without what tells the real ones.
#[must_use]
pub fn expected(packet: &Packet, shown: impl Fn(IpAddr) -> IpAddr) -> Packet {
    let mut packet = packet.clone();
    packet.captured.truncate(packet.header_len);
    let tcp = tcp_header(&packet);
    let bytes = &mut packet.captured;
    bytes[..MACS].fill(0);
    bytes[tcp + 16..tcp + 18].fill(0);
    if packet.from.is_ipv4() {
        bytes[LINK + 10..LINK + 12].fill(0);
    }
    let ends = [packet.from, packet.to].map(|end| SocketAddr::new(shown(end.ip()), end.port()));
    for (number, end) in ends.into_iter().enumerate() {
        match end.ip() {
            IpAddr::V4(ip) => {
                bytes[LINK + 12 + 4 * number..][..4].copy_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                bytes[LINK + 8 + 16 * number..][..16].copy_from_slice(&ip.octets());
            }
        }
    }
    [packet.from, packet.to] = ends;
    packet
}

/// Blanks what is between the IP header without options and the TCP header.
pub fn forget_options(packets: &mut [Packet]) {
    for packet in packets {
        let fixed = if packet.from.is_ipv4() { IPV4 } else { IPV6 };
        let tcp = tcp_header(packet);
        packet.captured[LINK + fixed..tcp].fill(0);
    }
}

/// Where the TCP header begins.
fn tcp_header(packet: &Packet) -> usize {
    let bytes = &packet.captured;
    let word = |at: usize| usize::from(bytes[at]);
    if packet.from.is_ipv4() {
        return LINK + (word(LINK) & 15) * 4;
    }
    // TCP follows, or destination options and then TCP.
    let options = bytes[LINK + 6] == 60;
    let first = LINK + IPV6;
    first
        + if options {
            (word(first + 1) + 1) * 8
        } else {
            0
        }
}

/// The MAC addresses of both ends.
///
/// # Errors
/// tcpdump saw no packet of the connection.
pub fn macs(oracle: &Oracle, of: &Connection) -> Result<[Vec<u8>; 2]> {
    let packets = oracle.connection(of.host, of.peer, 0)?;
    let first = packets.first().context("no packet")?;
    Ok([&first.captured[..6], &first.captured[6..MACS]].map(<[u8]>::to_vec))
}

/// Whether there is a partial file with packets below a directory.
///
/// # Errors
/// The directory cannot be read.
pub fn has_packets(partial: &Path) -> Result<bool> {
    let files = files_below(partial)?.into_iter();
    // One that is being written may end anywhere.
    let mut packets = files.filter_map(|path| pcap::read(&path).ok());
    Ok(packets.any(|packets| !packets.is_empty()))
}
