//! The headers of a frame, made from the last to the first, as each has to describe what follows
//! it.

use std::net::IpAddr;

use fastrand::Rng;

use super::{FLOWS, Link, PORTS, small};
use crate::traffic::payload;
use crate::world::netns;

const TCP: u8 = 6;
const AH: u8 = 51;
const FRAGMENT: u8 = 44;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const DESTINATION: u8 = 60;

/// A frame; its sequence number is `number`, so that no two are alike.
pub(super) fn frame(rng: &mut Rng, link: Link, number: u32) -> Vec<u8> {
    let is_v6 = rng.bool();
    let flow = rng.u16(..FLOWS);
    let mut ends = [PORTS.0, PORTS.1 + flow];
    let family = usize::from(is_v6);
    let mut addresses = [netns::first(0)[family], netns::second(0)[family]];
    if rng.bool() {
        ends.reverse();
        addresses.reverse();
    }
    let mut frame = tcp(rng, ends, number);
    let length = small(rng, 0..=600);
    frame.extend(payload::bytes(length));
    let frame = match addresses {
        [IpAddr::V4(from), IpAddr::V4(to)] => ipv4(rng, [from.octets(), to.octets()], frame),
        [IpAddr::V6(from), IpAddr::V6(to)] => ipv6(rng, [from.octets(), to.octets()], frame),
        _ => frame,
    };
    match link {
        Link::RawIp => frame,
        Link::Ethernet => ethernet(rng, is_v6, frame),
    }
}

/// RFC 9293, 3.1, with up to 40 bytes of options. It is never a SYN without ACK, which would begin
/// another connection.
fn tcp(rng: &mut Rng, [from, to]: [u16; 2], number: u32) -> Vec<u8> {
    /// ACK is always set; FIN, SYN, RST, PSH or URG may be.
    const ACK: u8 = 0x10;
    let options = tcp_options(rng);
    let words = 5 + options.len() as u8 / 4;
    let mut header = Vec::new();
    header.extend(from.to_be_bytes());
    header.extend(to.to_be_bytes());
    header.extend(number.to_be_bytes());
    header.extend(rng.u32(..).to_be_bytes());
    header.push(words << 4 | rng.u8(..2));
    header.push(ACK | rng.u8(..) & 0xe8);
    header.extend(rng.u16(..).to_be_bytes());
    header.extend([0; 4]);
    header.extend(options);
    header
}

fn tcp_options(rng: &mut Rng) -> Vec<u8> {
    let kinds: [&[u8]; 8] = [
        &[1],
        &[2, 4, 5, 0xb4],
        &[3, 3, 7],
        &[4, 2],
        &[8, 10, 1, 2, 3, 4, 5, 6, 7, 8],
        &[5, 10, 0, 0, 0, 1, 0, 0, 0, 9],
        &[34, 10, 9, 9, 9, 9, 9, 9, 9, 9],
        &[254, 6, 1, 2, 3, 4],
    ];
    let length = small(rng, 0..=10) * 4;
    let mut options = Vec::new();
    while let Some(room) = length.checked_sub(options.len()).filter(|&room| room > 0) {
        let kind = kinds[rng.usize(..kinds.len())];
        options.extend(if kind.len() <= room { kind } else { &[1] });
    }
    options
}

/// RFC 791, with up to 40 bytes of options; sometimes with an authentication header, or a fragment.
fn ipv4(rng: &mut Rng, [from, to]: [[u8; 4]; 2], inner: Vec<u8>) -> Vec<u8> {
    let (protocol, inner) = match rng.u8(..8) {
        0 => (AH, authentication(rng, TCP, inner)),
        _ => (TCP, inner),
    };
    let options = small(rng, 0..=10) * 4;
    let length = 20 + options + inner.len();
    let mut header = vec![0x40 | (5 + options / 4) as u8, rng.u8(..)];
    header.extend((length as u16).to_be_bytes());
    header.extend(rng.u16(..).to_be_bytes());
    header.extend(fragment_field(rng).to_be_bytes());
    header.extend([64, protocol, 0, 0]);
    header.extend(from);
    header.extend(to);
    header.extend(ipv4_options(rng, options));
    header.extend(inner);
    header
}

/// Flags and offset: mostly not a fragment, sometimes the first, rarely a later one.
fn fragment_field(rng: &mut Rng) -> u16 {
    match rng.u8(..32) {
        0 => rng.u16(1..0x1fff),
        1 | 2 => 0x2000,
        _ => 0x4000,
    }
}

fn ipv4_options(rng: &mut Rng, length: usize) -> Vec<u8> {
    let mut options = Vec::new();
    while options.len() < length {
        let room = length - options.len();
        let takes = rng.usize(3..=11);
        if takes > room || rng.bool() {
            options.push(1);
        } else {
            // A recorded route, empty so far.
            options.extend([7, takes as u8, 4]);
            options.extend(vec![0; takes - 3]);
        }
    }
    options
}

/// RFC 8200, with up to seven extension headers of every kind that can precede TCP.
fn ipv6(rng: &mut Rng, [from, to]: [[u8; 16]; 2], mut inner: Vec<u8>) -> Vec<u8> {
    let mut next = TCP;
    for place in (0..small(rng, 0..=7)).rev() {
        (next, inner) = match rng.u8(..8) {
            0 => (AH, authentication(rng, next, inner)),
            1 => (FRAGMENT, fragment(rng, next, inner)),
            2 if place == 0 => (HOP_BY_HOP, options(rng, next, inner)),
            3 | 4 => (ROUTING, segments(rng, next, inner)),
            _ => (DESTINATION, options(rng, next, inner)),
        };
    }
    let mut header = vec![0x60 | rng.u8(..16), rng.u8(..), rng.u8(..), rng.u8(..)];
    header.extend((inner.len() as u16).to_be_bytes());
    header.extend([next, 64]);
    header.extend(from);
    header.extend(to);
    header.extend(inner);
    header
}

/// A segment routing header (RFC 8754) whose segments have all been visited.
fn segments(rng: &mut Rng, next: u8, inner: Vec<u8>) -> Vec<u8> {
    let count = small(rng, 1..=12) as u8;
    let mut header = vec![next, count * 2, 4, 0, count - 1, 0];
    header.extend(rng.u16(..).to_be_bytes());
    for _ in 0..count {
        header.extend(rng.u128(..).to_be_bytes());
    }
    header.extend(inner);
    header
}

/// Options that a receiver may ignore, and padding.
fn options(rng: &mut Rng, next: u8, inner: Vec<u8>) -> Vec<u8> {
    // Sometimes longer than a whole record of the usual size.
    let units = match rng.u8(..16) {
        0 => rng.usize(20..=48),
        _ => small(rng, 0..=6),
    };
    let length = (units + 1) * 8;
    let mut header = vec![next, units as u8];
    while header.len() < length {
        let room = length - header.len();
        let data = room.saturating_sub(2).min(250);
        if room < 2 {
            header.push(0);
        } else {
            header.extend([0x1e, data as u8]);
            header.extend(vec![0; data]);
        }
    }
    header.extend(inner);
    header
}

/// RFC 8200, 4.5.
fn fragment(rng: &mut Rng, next: u8, inner: Vec<u8>) -> Vec<u8> {
    let offset = match rng.u8(..8) {
        0 => rng.u16(1..100) << 3,
        _ => 0,
    };
    let mut header = vec![next, 0];
    header.extend((offset | rng.u16(..2)).to_be_bytes());
    header.extend(rng.u32(..).to_be_bytes());
    header.extend(inner);
    header
}

/// RFC 4302, 2.
fn authentication(rng: &mut Rng, next: u8, inner: Vec<u8>) -> Vec<u8> {
    let words = 2 * rng.usize(1..=8);
    let mut header = vec![next, (1 + words) as u8, 0, 0];
    header.extend(rng.u32(1..).to_be_bytes());
    header.extend(rng.u32(1..).to_be_bytes());
    header.extend(vec![0xa5; words * 4]);
    header.extend(inner);
    header
}

/// IEEE 802.3, and what may stand between it and IP: VLAN tags, MPLS labels, a PPPoE session. The
/// addresses belong to nobody, so that nobody answers.
fn ethernet(rng: &mut Rng, is_v6: bool, inner: Vec<u8>) -> Vec<u8> {
    let ethertype: u16 = if is_v6 { 0x86dd } else { 0x0800 };
    let (mut ethertype, mut inner) = match rng.u8(..12) {
        0 => (0x8847, labels(rng, inner)),
        1 => (0x8864, session(rng, is_v6, inner)),
        _ => (ethertype, inner),
    };
    if rng.u8(..4) == 0 {
        for _ in 0..=small(rng, 0..=2) {
            let mut tag = rng.u16(1..4095).to_be_bytes().to_vec();
            tag.extend(ethertype.to_be_bytes());
            tag.extend(inner);
            inner = tag;
            ethertype = [0x8100, 0x88a8][rng.usize(..2)];
        }
    }
    let mut header = vec![2, 0, 0, 0, 0, 0x77, 2, 0, 0, 0, 0, 0x99];
    header.extend(ethertype.to_be_bytes());
    header.extend(inner);
    header
}

/// A stack of MPLS labels (RFC 3032).
fn labels(rng: &mut Rng, inner: Vec<u8>) -> Vec<u8> {
    let mut stack = Vec::new();
    let count = rng.usize(1..=4);
    for number in 1..=count {
        let bottom = u32::from(number == count);
        stack.extend((rng.u32(16..1 << 20) << 12 | bottom << 8 | 64).to_be_bytes());
    }
    stack.extend(inner);
    stack
}

/// A PPPoE session (RFC 2516), with the protocol numbers of PPP, some of them compressed (RFC 1661,
/// 6.5).
fn session(rng: &mut Rng, is_v6: bool, inner: Vec<u8>) -> Vec<u8> {
    let protocol: u16 = if is_v6 { 0x0057 } else { 0x0021 };
    let compressed = usize::from(rng.u8(..3) == 0);
    let protocol = &protocol.to_be_bytes()[compressed..];
    let mut header = vec![0x11, 0];
    header.extend(rng.u16(1..).to_be_bytes());
    header.extend(((inner.len() + protocol.len()) as u16).to_be_bytes());
    header.extend(protocol);
    header.extend(inner);
    header
}
