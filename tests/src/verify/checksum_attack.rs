//! An attack on anonymized files: an attacker who knows all but sixteen bits of an address computes
//! these bits from checksums.
//!
//! The Internet checksum (RFC 1071) is the ones' complement of a sum of 16-bit words. That of the
//! IPv4 header covers the addresses; so does TCP's, through the pseudo-header, but it covers the
//! payload too, which the files do not have. Where the interface is to complete TCP's checksum, the
//! field has the sum of the pseudo-header alone.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};

use super::pcap::Packet;

/// Lengths of an Ethernet header, an IPv4 header without options, and an IPv6 header, in bytes.
const LINK_LEN: usize = 14;
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
/// The protocol number of TCP.
const TCP: u32 = 6;

/// How many packets vote for each value of the last sixteen bits of an address.
#[derive(Debug)]
pub struct Votes {
    votes: Vec<usize>,
    /// The number of packets, each of which may vote for several values.
    pub packets: usize,
}

impl Votes {
    /// Lets a connection's packets vote. The attacker does not know the last sixteen bits of
    /// `secret`'s address, but all other bits of both ends.
    ///
    /// # Errors
    /// A packet that is too short, or of another connection.
    pub fn count(packets: &[Packet], secret: SocketAddr, other: SocketAddr) -> Result<Self> {
        let mut votes = vec![0; 1 << 16];
        for packet in packets {
            // Ports are not anonymized.
            let ends = [packet.from.port(), packet.to.port()];
            ensure!(
                ends.contains(&secret.port()),
                "of another connection: {packet}"
            );
            let known = sum(&bytes(other.ip())) + sum(&leading(secret.ip()));
            let checks = Checks::of(packet, known)?;
            for (value, votes) in (0..).zip(&mut votes) {
                *votes += usize::from(checks.vote_for(value));
            }
        }
        Ok(Self {
            votes,
            packets: packets.len(),
        })
    }

    /// How many packets vote for the true value.
    #[must_use]
    pub fn for_truth(&self, secret: IpAddr) -> usize {
        let bytes = bytes(secret);
        let last = bytes.last_chunk::<2>().expect("an address has two bytes");
        self.votes[usize::from(u16::from_be_bytes(*last))]
    }

    /// The values with the most votes; none if nobody votes.
    #[must_use]
    pub fn winners(&self) -> Vec<u16> {
        let most = self.votes.iter().copied().max().unwrap_or(0);
        let values = (0..=u16::MAX).zip(&self.votes);
        let won = values.filter(|(_, votes)| **votes == most && most > 0);
        won.map(|(value, _)| value).collect()
    }
}

/// The checksums of one packet, and the sums of what they cover except for the unknown word.
struct Checks {
    /// The IPv4 header's field, and the sum of the rest of that header.
    ip: Option<(u16, u32)>,
    /// TCP's field, and the sum of the rest of the pseudo-header.
    pseudo: (u16, u32),
    /// Of a packet without payload: TCP's field, and the sum of pseudo-header and TCP header.
    whole: Option<(u16, u32)>,
}

impl Checks {
    fn of(packet: &Packet, addresses: u32) -> Result<Self> {
        let at = |range: std::ops::Range<usize>| {
            let bytes = packet.captured.get(range);
            bytes.with_context(|| format!("cut short: {packet}"))
        };
        let (ip, tcp) = match packet.from.ip() {
            IpAddr::V4(_) => {
                let len = usize::from(at(LINK_LEN..LINK_LEN + 1)?[0] & 15) * 4;
                let options = LINK_LEN + IPV4_LEN..LINK_LEN + len;
                let rest = sum(at(LINK_LEN..LINK_LEN + 10)?) + sum(at(options)?) + addresses;
                let field = word(at(LINK_LEN + 10..LINK_LEN + 12)?);
                (Some((field, rest)), LINK_LEN + len)
            }
            // The connections under attack have no extension headers.
            IpAddr::V6(_) => (None, LINK_LEN + IPV6_LEN),
        };
        let header = at(tcp..packet.header_len)?;
        let len = packet.wire_len - tcp as u32;
        let pseudo = addresses + TCP + (len & 0xffff) + (len >> 16);
        let field = word(&header[16..18]);
        let covered = pseudo + sum(&header[..16]) + sum(&header[18..]);
        let bare = packet.wire_len as usize == packet.header_len;
        Ok(Self {
            ip,
            pseudo: (field, pseudo),
            whole: bare.then_some((field, covered)),
        })
    }

    /// Whether any of them is correct if the unknown word has this value.
    fn vote_for(&self, value: u32) -> bool {
        let full = |(field, rest)| field == !fold(rest + value);
        let (field, rest) = self.pseudo;
        self.ip.is_some_and(full) || self.whole.is_some_and(full) || field == fold(rest + value)
    }
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// All but the last sixteen bits.
fn leading(address: IpAddr) -> Vec<u8> {
    let mut bytes = bytes(address);
    bytes.truncate(bytes.len() - 2);
    bytes
}

fn word(bytes: &[u8]) -> u16 {
    bytes
        .iter()
        .fold(0, |word, byte| word << 8 | u16::from(*byte))
}

/// The sum of an even number of bytes, as words.
fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(word(pair))).sum()
}

fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::verify::pcap::Transport;

    /// RFC 1071, computed in another way than by the code under test.
    fn checksum(bytes: &[u8]) -> u16 {
        let sum: u64 = bytes.chunks(2).map(|pair| u64::from(word(pair))).sum();
        !((sum % 0xffff) as u16)
    }

    /// An ACK without options from 10.0.0.2 to 10.0.0.1, with correct checksums where they are
    /// wanted.
    fn packet(ip: bool, tcp: bool) -> Packet {
        let mut bytes = vec![0; LINK_LEN];
        bytes.extend([0x45, 0, 0, 40, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0]);
        bytes.extend([10, 0, 0, 2, 10, 0, 0, 1]);
        bytes.extend([
            0, 80, 0, 90, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x10, 2, 0, 0, 0, 0, 0,
        ]);
        if ip {
            let sum = checksum(&bytes[LINK_LEN..LINK_LEN + IPV4_LEN]);
            bytes[LINK_LEN + 10..LINK_LEN + 12].copy_from_slice(&sum.to_be_bytes());
        }
        if tcp {
            let pseudo = [&bytes[LINK_LEN + 12..], &[0, 6, 0, 20]].concat();
            let sum = checksum(&pseudo);
            bytes[LINK_LEN + 36..LINK_LEN + 38].copy_from_slice(&sum.to_be_bytes());
        }
        Packet {
            time: Duration::ZERO,
            wire_len: 54,
            captured: bytes,
            header_len: 54,
            transport: Transport::Tcp,
            transport_header_len: 20,
            from: "10.0.0.2:80".parse().unwrap(),
            to: "10.0.0.1:90".parse().unwrap(),
            sequence: 0x0102_0304,
            opens: false,
            ends: false,
            synchronizes: false,
        }
    }

    #[test]
    fn either_checksum_reveals_the_word_and_without_them_nothing_does() {
        for (ip, tcp) in [(true, true), (true, false), (false, true), (false, false)] {
            let packet = packet(ip, tcp);
            let votes =
                Votes::count(std::slice::from_ref(&packet), packet.from, packet.to).unwrap();
            let told = votes.for_truth(packet.from.ip());
            assert_eq!(told, usize::from(ip || tcp), "{ip} {tcp}");
            assert!(votes.winners().len() < 6);
        }
    }
}
