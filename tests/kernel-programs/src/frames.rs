//! Crafted frames.

use etherparse::{Ipv6FlowLabel, PacketBuilder, TcpOptionElement};

/// A payload, which must never come out of the kernel.
pub const PAYLOAD: &[u8] = &[0xa5; 700];

/// An Ethernet frame with an IPv4 header and a TCP header, which has no flag set, sequence number 7 and
/// these options.
#[must_use]
pub fn frame_v4(options: &[TcpOptionElement], payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
        .tcp(50_000, 443, 7, 1000)
        .options(options)
        .expect("options that fit");
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).expect("a frame");
    frame
}

/// The same over IPv6, without options.
#[must_use]
pub fn frame_v6(payload: &[u8]) -> Vec<u8> {
    let source = "2001:db8::1".parse::<std::net::Ipv6Addr>().expect("one");
    let destination = "2001:db8::2".parse::<std::net::Ipv6Addr>().expect("one");
    let ip = etherparse::Ipv6Header {
        flow_label: Ipv6FlowLabel::ZERO,
        hop_limit: 64,
        source: source.octets(),
        destination: destination.octets(),
        ..etherparse::Ipv6Header::default()
    };
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ip(etherparse::IpHeaders::Ipv6(
            ip,
            etherparse::Ipv6Extensions::default(),
        ))
        .tcp(50_000, 443, 7, 1000);
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).expect("a frame");
    frame
}

/// An Ethernet frame with an IPv4 header and a UDP header.
#[must_use]
pub fn datagram_v4(payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
        .udp(50_000, 443);
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).expect("a frame");
    frame
}

/// The same over IPv6.
#[must_use]
pub fn datagram_v6(payload: &[u8]) -> Vec<u8> {
    let [source, destination] = [[0x20; 16], [0x21; 16]];
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv6(source, destination, 64)
        .udp(50_000, 443);
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).expect("a frame");
    frame
}

/// The frame of an answer: MAC addresses stay, the ends of the IPv4 packet without options are swapped.
#[must_use]
pub fn answer_v4(frame: &[u8]) -> Vec<u8> {
    let mut answer = frame.to_vec();
    answer[26..30].copy_from_slice(&frame[30..34]);
    answer[30..34].copy_from_slice(&frame[26..30]);
    answer[34..36].copy_from_slice(&frame[36..38]);
    answer[36..38].copy_from_slice(&frame[34..36]);
    answer
}

/// Bytes of an Ethernet header.
pub const ETHERNET: usize = 14;

/// An Ethernet frame with something between the addresses and the IP header, EtherTypes included.
#[must_use]
pub fn behind(between: &[u8], frame: &[u8]) -> Vec<u8> {
    [&frame[..12], between, &frame[ETHERNET..]].concat()
}

/// An IPv4 packet without options, that carries `protocol`.
#[must_use]
pub fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).expect("a length");
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend([198, 51, 100, 1, 198, 51, 100, 2]);
    packet.extend(payload);
    packet
}

/// An IPv6 packet that carries `protocol`.
#[must_use]
pub fn ipv6(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("a length");
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([protocol, 64]);
    packet.extend([0x20; 16]);
    packet.extend([0x21; 16]);
    packet.extend(payload);
    packet
}

/// An Ethernet frame with an ICMP message to 192.0.2.1 that quotes an IPv4 packet.
#[must_use]
pub fn icmp_v4(kind: [u8; 2], quoted: &[u8]) -> Vec<u8> {
    let message = [&kind[..], &[0; 6], quoted].concat();
    let mut packet = ipv4(1, &message);
    packet[16..20].copy_from_slice(&[192, 0, 2, 1]);
    [&[2; 12][..], &[0x08, 0], &packet].concat()
}

/// The same for ICMPv6, and an IPv6 packet.
#[must_use]
pub fn icmp_v6(kind: [u8; 2], quoted: &[u8]) -> Vec<u8> {
    let message = [&kind[..], &[0; 6], quoted].concat();
    [&[2; 12][..], &[0x86, 0xdd], &ipv6(58, &message)].concat()
}

/// An authentication header of `units` times 4 bytes before `next`.
#[must_use]
pub fn authentication(next: u8, units: u8) -> Vec<u8> {
    let mut bytes = vec![0u8; usize::from(units) * 4];
    bytes[0] = next;
    bytes[1] = units - 2;
    bytes
}

/// Puts extension headers, each `(type, bytes)`, between the IPv6 header and what follows.
#[must_use]
pub fn with_extensions(frame: &[u8], extensions: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let last = frame[20];
    let mut out = frame[..54].to_vec();
    let mut next_at = 20;
    for (kind, bytes) in extensions {
        out[next_at] = *kind;
        next_at = out.len();
        out.extend(bytes);
    }
    out[next_at] = last;
    out.extend(&frame[54..]);
    let payload = u16::try_from(out.len() - 54).expect("a length");
    out[18..20].copy_from_slice(&payload.to_be_bytes());
    out
}

/// An extension header of `units` times 8 bytes; its next header is filled in later.
#[must_use]
pub fn extension(units: u8) -> Vec<u8> {
    let mut bytes = vec![0u8; usize::from(units) * 8];
    bytes[1] = units - 1;
    bytes
}
