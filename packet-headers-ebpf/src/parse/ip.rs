//! IP headers of both versions, what may stand between them and TCP, and the TCP header.

use packet_headers_common::{Endpoint, FlowKey, KernelDiscard};

use super::{Bytes, Headers, MAX_OFFSET, Network};

/// How many extension headers an IPv6 packet may carry: RFC 8200 (4.1) has seven in one packet.
pub const MAX_EXTENSIONS: usize = 8;

pub(super) const IPV4_MIN_LEN: usize = 20;
pub(super) const IPV4_WORDS: usize = IPV4_MIN_LEN / 4;
pub(super) const IPV6_HEADER_LEN: usize = 40;
pub(super) const IPV6_WORDS: usize = IPV6_HEADER_LEN / 4;
pub(super) const TCP_MIN_LEN: usize = 20;

pub(super) const PROTOCOL_TCP: u8 = 6;
const EXTENSION_HOP_BY_HOP: u8 = 0;
const EXTENSION_ROUTING: u8 = 43;
const EXTENSION_FRAGMENT: u8 = 44;
pub(super) const EXTENSION_AUTHENTICATION: u8 = 51;
const EXTENSION_DESTINATION: u8 = 60;
const EXTENSION_MOBILITY: u8 = 135;
const EXTENSION_HIP: u8 = 139;
const EXTENSION_SHIM6: u8 = 140;

/// What an IP packet carries.
pub(super) enum Carried {
    /// TCP.
    Tcp(Headers),
    /// Another protocol, whose header begins at `at`.
    Other { protocol: u8, at: usize },
}

/// Finds what an IP packet carries.
///
/// # Errors
/// Why it cannot be found.
#[inline(always)]
pub(super) fn carried(packet: &impl Bytes, network: Network) -> Result<Carried, KernelDiscard> {
    match network {
        Network::V4(l3) => ipv4(packet, l3),
        Network::V6(l3) => ipv6(packet, l3),
    }
}

/// RFC 791. A first fragment is captured with its headers; later ones have no TCP header.
#[inline(always)]
fn ipv4(packet: &impl Bytes, l3: usize) -> Result<Carried, KernelDiscard> {
    let header: [u32; IPV4_WORDS] = packet.words(l3).ok_or(KernelDiscard::Malformed)?;
    let [first, fragment, next, source, destination] = header;
    let length = (first >> 24 & 0x0f) as usize * 4;
    if first >> 28 != 4 || length < IPV4_MIN_LEN {
        return Err(KernelDiscard::Malformed);
    }
    let (mut protocol, mut l4) = ((next >> 16) as u8, l3 + length);
    let later_fragment = fragment & 0x1fff != 0;
    if protocol != PROTOCOL_TCP {
        if protocol != EXTENSION_AUTHENTICATION || later_fragment {
            return not_tcp(protocol, l4, later_fragment);
        }
        let next: [u8; 4] = packet.read(l4).ok_or(KernelDiscard::Malformed)?;
        l4 += authentication(&next);
        protocol = next[0];
        if protocol != PROTOCOL_TCP {
            return not_tcp(protocol, l4, later_fragment);
        }
    }
    if later_fragment {
        return Err(KernelDiscard::LaterFragment);
    }
    let tcp = tcp(packet, l4, ip_end(packet, l3, 0, first as u16))?;
    let source = Endpoint::v4(source.to_be_bytes(), tcp.source);
    let destination = Endpoint::v4(destination.to_be_bytes(), tcp.destination);
    Ok(Carried::Tcp(headers(l3, l4, &tcp, source, destination)))
}

/// An IPv4 packet whose protocol is not TCP. A later fragment has no header that leads on.
#[inline(always)]
fn not_tcp(protocol: u8, at: usize, later_fragment: bool) -> Result<Carried, KernelDiscard> {
    match (later_fragment, protocol) {
        (false, _) => Ok(Carried::Other { protocol, at }),
        (true, EXTENSION_AUTHENTICATION) => Err(KernelDiscard::LaterFragment),
        (true, _) => Err(KernelDiscard::NotTcp),
    }
}

/// RFC 8200, with every extension header that can stand before TCP.
#[inline(always)]
fn ipv6(packet: &impl Bytes, l3: usize) -> Result<Carried, KernelDiscard> {
    let header: [u32; IPV6_WORDS] = packet.words(l3).ok_or(KernelDiscard::Malformed)?;
    if header[0] >> 28 != 6 {
        return Err(KernelDiscard::Malformed);
    }
    let next = (header[1] >> 8) as u8;
    let (protocol, l4) = extensions(packet, next, l3 + IPV6_HEADER_LEN)?;
    if protocol != PROTOCOL_TCP {
        return Ok(Carried::Other { protocol, at: l4 });
    }
    // The key of a connection has IPv4 addresses in this form. On the wire it is no address of anybody
    // (RFC 4038, 4.2), and the kernel drops such packets as well (ip6_rcv).
    if header[2] | header[3] | (header[4] ^ 0xffff) == 0 {
        return Err(KernelDiscard::Malformed);
    }
    // 0 in a jumbo packet (RFC 2675), whose length is elsewhere.
    let payload = (header[1] >> 16) as u16;
    let tcp = tcp(packet, l4, ip_end(packet, l3, IPV6_HEADER_LEN, payload))?;
    let half = |at| u64::from(header[at]) << 32 | u64::from(header[at + 1]);
    let source = Endpoint::v6([half(2), half(4)], tcp.source);
    let destination = Endpoint::v6([half(6), half(8)], tcp.destination);
    Ok(Carried::Tcp(headers(l3, l4, &tcp, source, destination)))
}

/// Where an IP packet ends by its own account: a short Ethernet frame is padded. Its length field,
/// `told`, does not count `beside` bytes, and is 0 when the packet is longer than the field can say: a
/// jumbo packet, or one that the NIC has yet to split.
#[inline(always)]
pub(super) fn ip_end(packet: &impl Bytes, l3: usize, beside: usize, told: u16) -> usize {
    let length = packet.length();
    if told == 0 {
        return length;
    }
    length.min(l3 + beside + usize::from(told))
}

/// Walks the extension headers from `at`, whose type is `next`, to what they precede.
#[inline(always)]
pub(super) fn extensions(
    packet: &impl Bytes,
    mut next: u8,
    mut at: usize,
) -> Result<(u8, usize), KernelDiscard> {
    for _ in 0..=MAX_EXTENSIONS {
        let is_extension = matches!(
            next,
            EXTENSION_HOP_BY_HOP
                | EXTENSION_ROUTING
                | EXTENSION_FRAGMENT
                | EXTENSION_AUTHENTICATION
                | EXTENSION_DESTINATION
                | EXTENSION_MOBILITY
                | EXTENSION_HIP
                | EXTENSION_SHIM6
        );
        if !is_extension {
            return Ok((next, at));
        }
        // The kernel's verifier must see a bound on an offset that grows in a loop.
        if at > MAX_OFFSET {
            return Err(KernelDiscard::HeadersTooLong);
        }
        let header: [u8; 4] = packet.read(at).ok_or(KernelDiscard::Malformed)?;
        at += match next {
            EXTENSION_FRAGMENT => {
                if u16::from_be_bytes([header[2], header[3]]) & 0xfff8 != 0 {
                    return Err(KernelDiscard::LaterFragment);
                }
                8
            }
            EXTENSION_AUTHENTICATION => authentication(&header),
            _ => (usize::from(header[1]) + 1) * 8,
        };
        next = header[0];
    }
    Err(KernelDiscard::HeadersTooLong)
}

/// Bytes of an authentication header, whose length field counts units of 4, minus 2 (RFC 4302, 2.2).
#[inline(always)]
pub(super) fn authentication(header: &[u8; 4]) -> usize {
    (usize::from(header[1]) + 2) * 4
}

/// The fields that are needed of a TCP header.
struct Tcp {
    source: u16,
    destination: u16,
    sequence: u32,
    flags: u8,
    end: usize,
}

#[inline(always)]
fn headers(l3: usize, l4: usize, tcp: &Tcp, source: Endpoint, destination: Endpoint) -> Headers {
    let key = FlowKey::new(source, destination);
    Headers {
        l3,
        l4,
        end: tcp.end,
        key,
        from_low: key.is_low(&source),
        sequence: tcp.sequence,
        tcp_flags: tcp.flags,
    }
}

/// The TCP header at `l4` (RFC 9293, 3.1) of an IP packet that ends at `ip_end`.
#[inline(always)]
fn tcp(packet: &impl Bytes, l4: usize, ip_end: usize) -> Result<Tcp, KernelDiscard> {
    if l4 > MAX_OFFSET {
        return Err(KernelDiscard::HeadersTooLong);
    }
    // The fields are in the first four words of the header, which has at least five.
    let header: [u32; 4] = packet.words(l4).ok_or(KernelDiscard::Malformed)?;
    let length = (header[3] >> 28) as usize * 4;
    let end = l4 + length;
    if length < TCP_MIN_LEN || end > ip_end {
        return Err(KernelDiscard::Malformed);
    }
    Ok(Tcp {
        source: (header[0] >> 16) as u16,
        destination: header[0] as u16,
        sequence: header[1],
        flags: (header[3] >> 16) as u8,
        end,
    })
}
