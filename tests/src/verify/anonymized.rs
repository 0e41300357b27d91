//! What an anonymized packet has to look like, derived from what tcpdump saw of it.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};

use super::captures::files_below;
use super::oracle::Oracle;
use super::pcap::{self, Packet};
use crate::traffic::Connection;

/// Lengths of the two MAC addresses, an Ethernet header, an IPv4 header without options, and an
/// IPv6 header, in bytes.
const MACS_LEN: usize = 12;
const LINK_LEN: usize = 14;
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;

/// A packet's headers with the addresses replaced, and without all that would reveal the real ones.
#[must_use]
pub fn expected(packet: &Packet, pseudonym: impl Fn(IpAddr) -> IpAddr) -> Packet {
    let mut packet = packet.clone();
    packet.captured.truncate(packet.header_len);
    let tcp = tcp_header(&packet);
    let bytes = &mut packet.captured;
    bytes[..MACS_LEN].fill(0);
    bytes[tcp + 16..tcp + 18].fill(0);
    if packet.from.is_ipv4() {
        bytes[LINK_LEN + 10..LINK_LEN + 12].fill(0);
    }
    let ends = [packet.from, packet.to].map(|end| SocketAddr::new(pseudonym(end.ip()), end.port()));
    for (number, end) in ends.into_iter().enumerate() {
        match end.ip() {
            IpAddr::V4(ip) => {
                bytes[LINK_LEN + 12 + 4 * number..][..4].copy_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                bytes[LINK_LEN + 8 + 16 * number..][..16].copy_from_slice(&ip.octets());
            }
        }
    }
    [packet.from, packet.to] = ends;
    packet
}

/// Blanks everything between the fixed part of the IP header and the TCP header.
pub fn blank_options(packets: &mut [Packet]) {
    for packet in packets {
        let fixed = if packet.from.is_ipv4() {
            IPV4_LEN
        } else {
            IPV6_LEN
        };
        let tcp = tcp_header(packet);
        packet.captured[LINK_LEN + fixed..tcp].fill(0);
    }
}

/// The offset of the TCP header.
fn tcp_header(packet: &Packet) -> usize {
    let bytes = &packet.captured;
    let word = |at: usize| usize::from(bytes[at]);
    if packet.from.is_ipv4() {
        return LINK_LEN + (word(LINK_LEN) & 15) * 4;
    }
    // TCP follows at once or behind destination options.
    let options = bytes[LINK_LEN + 6] == 60;
    let first = LINK_LEN + IPV6_LEN;
    first
        + if options {
            (word(first + 1) + 1) * 8
        } else {
            0
        }
}

/// The MAC addresses of both ends of a connection.
///
/// # Errors
/// tcpdump saw no packet of it.
pub fn macs(oracle: &Oracle, of: &Connection) -> Result<[Vec<u8>; 2]> {
    let packets = oracle.connection(of.host, of.peer, 0)?;
    let first = packets.first().context("no packet")?;
    Ok([&first.captured[..6], &first.captured[6..MACS_LEN]].map(<[u8]>::to_vec))
}

/// Whether a partial file below a directory has packets.
///
/// # Errors
/// The directory cannot be read.
pub fn has_packets(partial: &Path) -> Result<bool> {
    let files = files_below(partial)?.into_iter();
    // A file that is being written may end anywhere.
    let mut packets = files.filter_map(|path| pcap::read(&path).ok());
    Ok(packets.any(|packets| !packets.is_empty()))
}
