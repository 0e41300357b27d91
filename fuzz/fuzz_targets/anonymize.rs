//! Whatever a packet holds, and wherever its headers are said to begin, what is left of it does not
//! depend on what is hidden.
//!
//! The input is two packets, one after the other, behind bytes that choose how they are taken. What the
//! first one hides is replaced by what the second one has in the same places: nobody may see a difference.
#![no_main]

use std::net::IpAddr;
use std::ops::Range;

use anonymize::{Anonymizer, FlowAnonymizer, Key, Layers, LinkType, Method, OwnAddresses};
use libfuzzer_sys::fuzz_target;
use packet_headers_ebpf::parse::{parse, parse_error};

/// This host's end, which one of the methods shows.
const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const REMOTE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 77));

const ETHERNET_LEN: usize = 14;

fuzz_target!(|input: &[u8]| {
    let Some((&[choice, l3, l4], packets)) = input.split_first_chunk() else {
        return;
    };
    let (packet, other) = packets.split_at(packets.len() / 2);
    let link_type = match choice & 1 {
        0 => LinkType::Ethernet,
        _ => LinkType::RawIp,
    };
    // Where the kernel's parser finds them, or anywhere.
    let found = parse(&packet, link_type, true).or_else(|_| parse_error(&packet, link_type, true));
    let (l3, l4) = match found {
        Ok(found) if choice & 2 == 0 => (found.l3, found.l4),
        _ => (usize::from(l3), usize::from(l4)),
    };
    let layers = Layers { link_type, l3, l4 };
    let netblock = choice & 4 == 0;
    let method = if netblock {
        Method::Netblock
    } else {
        Method::PrefixPreserving(key())
    };
    let flow = Anonymizer::new(method, OwnAddresses::default()).for_flow(LOCAL, REMOTE);
    let shown = anonymized(&flow, packet, layers);

    let mut twin = packet.to_vec();
    for place in hidden(packet, layers, netblock) {
        twin[place.clone()].copy_from_slice(&other[place]);
    }
    if netblock && (shows_local(packet) || shows_local(&twin)) {
        return;
    }
    let of_twin = anonymized(&flow, &twin, layers);
    assert_eq!(shown, of_twin, "{packet:02x?} and {twin:02x?} differ");
});

fn key() -> Key {
    let hex = b"2b7e151628aed2a6abf7158809cf4f3ca9f5ba40db214c3798f2e1c23456789a";
    Key::from_hex(hex).expect("its halves differ")
}

fn anonymized(flow: &FlowAnonymizer, packet: &[u8], layers: Layers) -> Vec<u8> {
    let mut headers = packet.to_vec();
    flow.anonymize_headers(&mut headers, layers);
    assert_eq!(headers.len(), packet.len());
    headers
}

/// The places of a packet that nobody may learn anything of.
fn hidden(packet: &[u8], layers: Layers, netblock: bool) -> Vec<Range<usize>> {
    let Layers { link_type, l3, l4 } = layers;
    let mut places = Vec::new();
    if link_type == LinkType::Ethernet && l3 >= ETHERNET_LEN {
        places.push(0..12);
    }
    let first = match link_type {
        LinkType::Ethernet => ETHERNET_LEN,
        LinkType::RawIp => 0,
    };
    if is_ip_link(packet, link_type) && first < l3 {
        places.extend(of_ip(packet, first, l3, netblock));
    }
    places.extend(of_ip(packet, l3, l4, netblock));
    if carries(packet, (l3, l4), [1, 58]) {
        // The checksum, and what the quoted IP header hides.
        places.push(l4 + 2..l4 + 4);
        places.extend(of_ip(packet, l4 + 8, packet.len(), netblock));
    } else if carries(packet, (l3, l4), [17, 17]) {
        places.extend(of_udp(packet, l4));
    } else if may_be_other(packet, l3, l4) {
        // Headers that lead there were not looked at.
    } else if let Some(tcp) = packet.get(l4..).filter(|tcp| tcp.len() >= 20 && l4 >= l3) {
        // The checksum, and what follows the header.
        let length = usize::from(tcp[12] >> 4).max(5) * 4;
        places.push(l4 + 16..l4 + 18);
        places.push((l4 + length).min(packet.len())..packet.len());
    }
    places.retain(|place| place.end <= packet.len());
    places
}

/// Whether a plain IP header says that this protocol follows, by its numbers in both versions.
fn carries(packet: &[u8], (l3, l4): (usize, usize), protocol: [u8; 2]) -> bool {
    let byte = |at: usize| packet.get(l3 + at).copied();
    match byte(0) {
        Some(0x45) => l4 == l3 + 20 && byte(9) == Some(protocol[0]),
        Some(0x60..=0x6f) => l4 == l3 + 40 && byte(6) == Some(protocol[1]),
        _ => false,
    }
}

/// Whether the headers in front of `l4` may say that ICMP follows, or UDP.
fn may_be_other(packet: &[u8], l3: usize, l4: usize) -> bool {
    let headers = packet.get(l3..l4.min(packet.len()));
    headers.is_some_and(|headers| {
        [1, 58, 17]
            .iter()
            .any(|protocol| headers.contains(protocol))
    })
}

/// What a UDP header hides, and QUIC's behind it: the checksum, connection IDs, and whatever follows.
fn of_udp(packet: &[u8], at: usize) -> Vec<Range<usize>> {
    let quic = at + 8;
    let mut places = vec![at + 6..quic];
    let Some(first) = packet.get(quic) else {
        return places;
    };
    let mut at = quic + 1;
    if first & 0x80 != 0 {
        at = quic + 5;
        for _ in 0..2 {
            let Some(length) = packet.get(at) else {
                return places;
            };
            let end = (at + 1 + usize::from(*length)).min(packet.len());
            places.push(at + 1..end);
            at = end;
        }
    }
    places.push(at.min(packet.len())..packet.len());
    places
}

/// Whether an IP header follows the link header.
fn is_ip_link(packet: &[u8], link_type: LinkType) -> bool {
    match link_type {
        LinkType::Ethernet => matches!(packet.get(12..14), Some([0x08, 0x00] | [0x86, 0xdd])),
        LinkType::RawIp => true,
    }
}

/// What an IP header at `at` hides, if it is whole before the next header is said to begin.
fn of_ip(packet: &[u8], at: usize, next: usize, netblock: bool) -> Vec<Range<usize>> {
    let place = |from: usize, to: usize| at + from..at + to;
    let whole = |length: usize| next >= at + length;
    match packet.get(at).map(|first| first >> 4) {
        Some(4) if whole(20) => {
            let mut places = vec![place(10, 12)];
            if netblock {
                places.extend([place(15, 16), place(19, 20)]);
            }
            places
        }
        // Of a 6to4 address more is hidden, and of a mapped one, which begins with zeros, less.
        Some(6) if whole(40) && netblock => {
            let addresses = [8, 24];
            let plain = |at_address: &usize| {
                let address = packet.get(at + at_address..at + at_address + 16);
                address.is_some_and(|bytes| bytes[..6] != [0; 6])
            };
            let plain = addresses.into_iter().filter(plain);
            plain
                .map(|address| place(address + 6, address + 16))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Whether this host's address, which stays, may be in one of the headers.
fn shows_local(packet: &[u8]) -> bool {
    packet.windows(4).any(|bytes| bytes == [192, 0, 2, 1])
}
