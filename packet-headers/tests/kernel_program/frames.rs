//! Crafted frames.

use etherparse::{Ipv6FlowLabel, PacketBuilder, TcpOptionElement};

/// Fills what must never come out of the kernel.
pub(crate) const PAYLOAD: &[u8] = &[0xa5; 700];

pub(crate) fn frame_v4(options: &[TcpOptionElement], payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
        .tcp(50_000, 443, 7, 1000)
        .options(options)
        .expect("options that fit");
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).expect("a frame");
    frame
}

pub(crate) fn frame_v6(payload: &[u8]) -> Vec<u8> {
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

/// Puts extension headers, each `(type, bytes)`, between the IPv6 header and TCP.
pub(crate) fn with_extensions(frame: &[u8], extensions: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut out = frame[..54].to_vec();
    let mut next_at = 20;
    for (kind, bytes) in extensions {
        out[next_at] = *kind;
        next_at = out.len();
        out.extend(bytes);
    }
    out[next_at] = 6;
    out.extend(&frame[54..]);
    out
}

/// An extension header of `units` times 8 bytes; its next header is filled in later.
pub(crate) fn extension(units: u8) -> Vec<u8> {
    let mut bytes = vec![0u8; usize::from(units) * 8];
    bytes[1] = units - 1;
    bytes
}
