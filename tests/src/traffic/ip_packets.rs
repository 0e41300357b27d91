//! IP packets with headers of random kinds, in frames that no host takes.

use std::net::IpAddr;

use fastrand::Rng;

/// An IPv4 packet, perhaps with options.
///
/// # Panics
/// When an end has no IPv4 address.
#[must_use]
pub fn ipv4(rng: &mut Rng, ends: [&IpAddr; 2], protocol: u8, content: &[u8]) -> Vec<u8> {
    let words = rng.u8(0..=3);
    let length = 20 + 4 * usize::from(words);
    let mut packet = vec![0x45 + words, 0];
    packet.extend(((length + content.len()) as u16).to_be_bytes());
    packet.extend([0, rng.u8(..), 0x40, 0, rng.u8(1..), protocol, 0, 0]);
    for end in ends {
        let IpAddr::V4(end) = end else {
            panic!("not IPv4");
        };
        packet.extend(end.octets());
    }
    packet.resize(length, 1);
    packet.extend(content);
    packet
}

/// An IPv6 packet, perhaps with a destination options header.
///
/// # Panics
/// When an end has no IPv6 address.
#[must_use]
pub fn ipv6(rng: &mut Rng, ends: [&IpAddr; 2], protocol: u8, content: &[u8]) -> Vec<u8> {
    let mut extension = Vec::new();
    if rng.bool() {
        let units = rng.u8(0..=2);
        // Padding.
        extension = vec![protocol, units, 1, units * 8 + 4];
        extension.resize((usize::from(units) + 1) * 8, 0);
    }
    let next = if extension.is_empty() { protocol } else { 60 };
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(((extension.len() + content.len()) as u16).to_be_bytes());
    packet.extend([next, rng.u8(1..)]);
    for end in ends {
        let IpAddr::V6(end) = end else {
            panic!("not IPv6");
        };
        packet.extend(end.octets());
    }
    packet.extend([&extension[..], content].concat());
    packet
}

/// A frame with up to two VLAN tags. In the namespace of the host nobody has these addresses: the kernel drops it, behind
/// us.
#[must_use]
pub fn ethernet(rng: &mut Rng, ethertype: [u8; 2], ip: &[u8]) -> Vec<u8> {
    let mut frame = [&[2, 9, 9, 9, 9, 9][..], &[2, 8, 8, 8, 8, 8]].concat();
    for _ in 0..rng.u8(..=2) {
        frame.extend([0x81, 0x00, 0, 7]);
    }
    frame.extend([&ethertype[..], ip].concat());
    frame
}
