//! What somebody who has our files, and knows all but sixteen bits of the addresses in them, can tell
//! of those bits by the arithmetic of checksums.
//!
//! The Internet checksum (RFC 1071) is the ones' complement of a sum of 16-bit words. The IPv4 header's
//! covers the addresses; so does TCP's, by the pseudo-header, but also the payload, which we do not
//! have. Where the interface is to complete it, the field has the pseudo-header's sum alone.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};

use crate::verify::pcap::Packet;

/// Bytes of an Ethernet header, of an IPv4 header without options, and of an IPv6 header.
const LINK: usize = 14;
const IPV4: usize = 20;
const IPV6: usize = 40;
/// TCP, by number.
const TCP: u32 = 6;

/// For each value of the last sixteen bits of an address, how many packets of it speak for that value.
#[derive(Debug)]
pub struct Votes {
    votes: Vec<usize>,
    /// Packets that could speak.
    pub packets: usize,
}

impl Votes {
    /// Lets a connection's packets vote. `secret` is the end of which sixteen bits are not known; all
    /// others of both ends are known as they are.
    ///
    /// # Errors
    /// A packet that is too short.
    pub fn count(packets: &[Packet], secret: SocketAddr, other: SocketAddr) -> Result<Self> {
        let mut votes = vec![0; 1 << 16];
        for packet in packets {
            // What is called a port is not hidden.
            let ends = [packet.from.port(), packet.to.port()];
            ensure!(ends.contains(&secret.port()), "another's: {packet}");
            let known = sum(&bytes(other.ip())) + sum(&leading(secret.ip()));
            let checks = Checks::of(packet, known)?;
            for (value, votes) in (0..).zip(&mut votes) {
                *votes += usize::from(checks.speak_for(value));
            }
        }
        Ok(Self {
            votes,
            packets: packets.len(),
        })
    }

    /// How many speak for the truth.
    #[must_use]
    pub fn for_truth(&self, secret: IpAddr) -> usize {
        let bytes = bytes(secret);
        let last = bytes.last_chunk::<2>().expect("an address has two bytes");
        self.votes[usize::from(u16::from_be_bytes(*last))]
    }

    /// The values for which as many speak as for no other, if any speaks at all.
    #[must_use]
    pub fn winners(&self) -> Vec<u16> {
        let most = self.votes.iter().copied().max().unwrap_or(0);
        let values = (0..=u16::MAX).zip(&self.votes);
        let won = values.filter(|(_, votes)| **votes == most && most > 0);
        won.map(|(value, _)| value).collect()
    }
}

/// The checksums of one packet, and what they cover but for the unknown word.
struct Checks {
    /// Field, and the sum of the rest of the IPv4 header.
    ip: Option<(u16, u32)>,
    /// Field, and the sum of the rest of the pseudo-header.
    pseudo: (u16, u32),
    /// Where there is no payload: field, and the sum of pseudo-header and TCP header.
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
                let len = usize::from(at(LINK..LINK + 1)?[0] & 15) * 4;
                let options = LINK + IPV4..LINK + len;
                let rest = sum(at(LINK..LINK + 10)?) + sum(at(options)?) + addresses;
                let field = word(at(LINK + 10..LINK + 12)?);
                (Some((field, rest)), LINK + len)
            }
            // No packet of an attacked connection has extension headers.
            IpAddr::V6(_) => (None, LINK + IPV6),
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

    /// Whether any of them is right if the word has this value.
    fn speak_for(&self, value: u32) -> bool {
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
    use super::*;

    /// RFC 1071 in another way than ours.
    fn checksum(bytes: &[u8]) -> u16 {
        let sum: u64 = bytes.chunks(2).map(|pair| u64::from(word(pair))).sum();
        !((sum % 0xffff) as u16)
    }

    /// An ACK without options from 10.0.0.2 to 10.0.0.1, with right checksums where they are wanted.
    fn packet(ip: bool, tcp: bool) -> Packet {
        let mut bytes = vec![0; LINK];
        bytes.extend([0x45, 0, 0, 40, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0]);
        bytes.extend([10, 0, 0, 2, 10, 0, 0, 1]);
        bytes.extend([
            0, 80, 0, 90, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x10, 2, 0, 0, 0, 0, 0,
        ]);
        if ip {
            let sum = checksum(&bytes[LINK..LINK + IPV4]);
            bytes[LINK + 10..LINK + 12].copy_from_slice(&sum.to_be_bytes());
        }
        if tcp {
            let pseudo = [&bytes[LINK + 12..], &[0, 6, 0, 20]].concat();
            let sum = checksum(&pseudo);
            bytes[LINK + 36..LINK + 38].copy_from_slice(&sum.to_be_bytes());
        }
        Packet {
            time: 0,
            wire_len: 54,
            captured: bytes,
            header_len: 54,
            tcp_header_len: 20,
            from: "10.0.0.2:80".parse().unwrap(),
            to: "10.0.0.1:90".parse().unwrap(),
            sequence: 0x0102_0304,
            opens: false,
            ends: false,
            synchronizes: false,
        }
    }

    #[test]
    fn either_checksum_tells_and_none_does_not() {
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
