//! Finds where the headers of a packet end. Knows formats, and nothing of kernels.

use packet_headers_common::record::{MAX_HEADERS, TCP_ACK, TCP_SYN};
use packet_headers_common::{Counter, Endpoint, FlowKey, LinkType};

/// A packet whose bytes are read by offset.
pub trait Bytes {
    /// Bytes of the whole packet.
    fn length(&self) -> usize;

    /// The `N` bytes at `offset`, or nothing when the packet ends before.
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;
}

/// Where the headers of a TCP packet are, and whose they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Where the IP header begins.
    pub l3: usize,
    /// Where the TCP header begins.
    pub l4: usize,
    /// Where the TCP header ends: at most [`MAX_HEADERS`].
    pub end: usize,
    /// The connection.
    pub key: FlowKey,
    /// Whether the lower end of the key sent it.
    pub from_low: bool,
    /// Whether it asks for a new connection: SYN without ACK.
    pub first_syn: bool,
}

/// How many VLAN tags a packet may carry in its bytes (802.1ad stacks two; some networks three).
const MAX_TAGS: usize = 3;

/// How many extension headers an IPv6 packet may carry: RFC 8200 (4.1) knows seven in one packet.
pub const MAX_EXTENSIONS: usize = 8;

const ETHERNET_HEADER: usize = 14;
const ETHERTYPE_AT: usize = 12;
const TAG: usize = 4;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;
const ETHERTYPE_OLD_QINQ: u16 = 0x9100;

const IPV4_MIN: usize = 20;
const IPV6_HEADER: usize = 40;
const TCP_MIN: usize = 20;

const PROTOCOL_TCP: u8 = 6;
const EXTENSION_HOP_BY_HOP: u8 = 0;
const EXTENSION_ROUTING: u8 = 43;
const EXTENSION_FRAGMENT: u8 = 44;
const EXTENSION_AUTHENTICATION: u8 = 51;
const EXTENSION_DESTINATION: u8 = 60;
const EXTENSION_MOBILITY: u8 = 135;
const EXTENSION_HIP: u8 = 139;
const EXTENSION_SHIM6: u8 = 140;

/// Finds the headers of a TCP packet.
///
/// # Errors
/// The [`Counter`] that says why the packet has none that we keep.
#[inline(always)]
pub fn parse(packet: &impl Bytes, link: LinkType) -> Result<Headers, Counter> {
    match link {
        LinkType::Ethernet => ethernet(packet),
        LinkType::RawIp => match packet.read::<2>(0).ok_or(Counter::NotIp)?[0] >> 4 {
            4 => ipv4(packet, 0),
            6 => ipv6(packet, 0),
            _ => Err(Counter::NotIp),
        },
    }
}

/// IEEE 802.3, with 802.1Q and 802.1ad tags that are still in the packet.
#[inline(always)]
fn ethernet(packet: &impl Bytes) -> Result<Headers, Counter> {
    let mut at = ETHERTYPE_AT;
    for _ in 0..=MAX_TAGS {
        let ethertype = packet.read(at).ok_or(Counter::NotIp)?;
        let l3 = at + ETHERNET_HEADER - ETHERTYPE_AT;
        match u16::from_be_bytes(ethertype) {
            ETHERTYPE_IPV4 => return ipv4(packet, l3),
            ETHERTYPE_IPV6 => return ipv6(packet, l3),
            ETHERTYPE_VLAN | ETHERTYPE_SERVICE_VLAN | ETHERTYPE_OLD_QINQ => at += TAG,
            _ => return Err(Counter::NotIp),
        }
    }
    Err(Counter::NotIp)
}

/// RFC 791. A first fragment is kept with its headers; later ones have no TCP header.
#[inline(always)]
fn ipv4(packet: &impl Bytes, l3: usize) -> Result<Headers, Counter> {
    let header: [u8; IPV4_MIN] = packet.read(l3).ok_or(Counter::Malformed)?;
    let length = usize::from(header[0] & 0x0f) * 4;
    if header[0] >> 4 != 4 || length < IPV4_MIN {
        return Err(Counter::Malformed);
    }
    if header[9] != PROTOCOL_TCP {
        return Err(Counter::NotTcp);
    }
    if u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0 {
        return Err(Counter::LaterFragment);
    }
    let source = [header[12], header[13], header[14], header[15]];
    let destination = [header[16], header[17], header[18], header[19]];
    let l4 = l3 + length;
    let tcp = tcp(packet, l4)?;
    let source = Endpoint::v4(source, tcp.source);
    let destination = Endpoint::v4(destination, tcp.destination);
    Ok(headers(l3, l4, &tcp, source, destination))
}

/// RFC 8200, with every extension header that can stand before TCP.
#[inline(always)]
fn ipv6(packet: &impl Bytes, l3: usize) -> Result<Headers, Counter> {
    let header: [u8; IPV6_HEADER] = packet.read(l3).ok_or(Counter::Malformed)?;
    if header[0] >> 4 != 6 {
        return Err(Counter::Malformed);
    }
    let l4 = extensions(packet, header[6], l3 + IPV6_HEADER)?;
    let tcp = tcp(packet, l4)?;
    let source = [half(&header, 8), half(&header, 16)];
    let destination = [half(&header, 24), half(&header, 32)];
    let source = Endpoint::v6(source, tcp.source);
    let destination = Endpoint::v6(destination, tcp.destination);
    Ok(headers(l3, l4, &tcp, source, destination))
}

/// Half an address as a number.
#[inline(always)]
fn half(header: &[u8; IPV6_HEADER], at: usize) -> u64 {
    let mut half = [0; 8];
    half.copy_from_slice(&header[at..at + 8]);
    u64::from_be_bytes(half)
}

/// Walks the extension headers from `at`, whose type is `next`, to the TCP header.
#[inline(always)]
fn extensions(packet: &impl Bytes, mut next: u8, mut at: usize) -> Result<usize, Counter> {
    for _ in 0..=MAX_EXTENSIONS {
        if next == PROTOCOL_TCP {
            return Ok(at);
        }
        // The kernel's verifier must see a bound on an offset that grows in a loop.
        if at > MAX_HEADERS {
            return Err(Counter::HeadersTooLong);
        }
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
            return Err(Counter::NotTcp);
        }
        let header: [u8; 4] = packet.read(at).ok_or(Counter::Malformed)?;
        let units = usize::from(header[1]);
        at += match next {
            EXTENSION_FRAGMENT => {
                if u16::from_be_bytes([header[2], header[3]]) & 0xfff8 != 0 {
                    return Err(Counter::LaterFragment);
                }
                8
            }
            // RFC 4302, 2.2: in units of 4 bytes, minus 2.
            EXTENSION_AUTHENTICATION => (units + 2) * 4,
            _ => (units + 1) * 8,
        };
        next = header[0];
    }
    Err(Counter::HeadersTooLong)
}

/// What of a TCP header is needed.
struct Tcp {
    source: u16,
    destination: u16,
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
        first_syn: tcp.flags & (TCP_SYN | TCP_ACK) == TCP_SYN,
    }
}

/// RFC 9293, 3.1.
#[inline(always)]
fn tcp(packet: &impl Bytes, l4: usize) -> Result<Tcp, Counter> {
    if l4 > MAX_HEADERS - TCP_MIN {
        return Err(Counter::HeadersTooLong);
    }
    let header: [u8; 14] = packet.read(l4).ok_or(Counter::Malformed)?;
    let length = usize::from(header[12] >> 4) * 4;
    let end = l4 + length;
    if length < TCP_MIN || end > packet.length() {
        return Err(Counter::Malformed);
    }
    if end > MAX_HEADERS {
        return Err(Counter::HeadersTooLong);
    }
    Ok(Tcp {
        source: u16::from_be_bytes([header[0], header[1]]),
        destination: u16::from_be_bytes([header[2], header[3]]),
        flags: header[13],
        end,
    })
}

impl Bytes for [u8] {
    fn length(&self) -> usize {
        self.len()
    }

    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..)?.first_chunk().copied()
    }
}

impl<T: Bytes + ?Sized> Bytes for &T {
    fn length(&self) -> usize {
        (**self).length()
    }

    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        (**self).read(offset)
    }
}

#[cfg(test)]
mod tests;
