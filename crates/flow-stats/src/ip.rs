//! The header of an IP packet, and where what it carries begins.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use thiserror::Error;

/// The protocol numbers of TCP and UDP.
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// Extension headers of IPv6 that may stand before TCP and UDP (RFC 8200 4.1, RFC 4302, RFC 6275, RFC 7401, RFC 5533).
const AUTHENTICATION: u8 = 51;
const FRAGMENT: u8 = 44;
const OTHERS: [u8; 6] = [0, 43, 60, 135, 139, 140];

/// The field ECN of an IP header (RFC 3168 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ecn {
    /// Not ECN-capable.
    Not,
    /// ECN-capable, either code point.
    Capable,
    /// Congestion experienced.
    Congestion,
}

/// Why a packet is no TCP segment that could be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotTcp {
    /// The IP header is missing, cut off, or of no version that there is.
    #[error("no whole IP header")]
    Ip,
    /// Another protocol than TCP, or a header in front of it that cannot be passed.
    #[error("protocol {0} is not TCP")]
    Protocol(u8),
    /// A later fragment, which has no TCP header.
    #[error("a fragment without a TCP header")]
    Fragment,
    /// The capture ends before the TCP header's window.
    #[error("the TCP header is cut off")]
    Cut,
    /// A TCP header that is shorter than TCP's.
    #[error("a TCP header of {0} bytes")]
    Header(u8),
}

/// Where a protocol's header is in an IP packet, and what the IP header says about it.
pub(crate) struct Ip {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// Where the protocol's header begins.
    pub(crate) carried_at: usize,
    pub(crate) bytes: u32,
    pub(crate) ttl: u8,
    pub(crate) ecn: Ecn,
    pub(crate) identification: u16,
}

impl Ip {
    /// Decodes the header of an IP packet that carries this protocol. `wire_len` is the packet's length on the
    /// wire, for headers that do not say it.
    ///
    /// # Errors
    /// It carries something else, or too little of it was captured.
    #[inline]
    pub(crate) fn of<const PROTOCOL: u8>(ip: &[u8], wire_len: u32) -> Result<Self, NotTcp> {
        match ip.first().map(|first| first >> 4) {
            Some(4) => ipv4::<PROTOCOL>(ip, wire_len),
            Some(6) => ipv6::<PROTOCOL>(ip, wire_len),
            _ => Err(NotTcp::Ip),
        }
    }
}

/// The protocol that an IP packet carries, and what was captured of its content. `None` where that cannot be
/// found.
pub(crate) fn carried(ip: &[u8]) -> Option<(u8, &[u8])> {
    let (protocol, at) = match ip.first()? >> 4 {
        4 => {
            let header: &[u8; 20] = ip.first_chunk()?;
            let length = usize::from(header[0] & 0xf) * 4;
            let is_first = be16(header, 6) & 0x1fff == 0;
            if length < header.len() || !is_first {
                return None;
            }
            match header[9] {
                AUTHENTICATION => behind_extensions(ip, AUTHENTICATION, length)?,
                protocol => (protocol, length),
            }
        }
        6 => {
            let header: &[u8; 40] = ip.first_chunk()?;
            behind_extensions(ip, header[6], header.len())?
        }
        _ => return None,
    };
    Some((protocol, ip.get(at..)?))
}

/// The ends of a TCP packet that an ICMP error quotes, and that may end behind the ports.
pub(crate) fn quoted_ends(ip: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (TCP, tcp) = carried(ip)? else {
        return None;
    };
    let ports: &[u8; 4] = tcp.first_chunk()?;
    let [source, destination] = addresses(ip)?;
    Some((
        SocketAddr::new(source, be16(ports, 0)),
        SocketAddr::new(destination, be16(ports, 2)),
    ))
}

fn addresses(ip: &[u8]) -> Option<[IpAddr; 2]> {
    match ip.first()? >> 4 {
        4 => {
            let header: &[u8; 20] = ip.first_chunk()?;
            Some([12, 16].map(|at| Ipv4Addr::from(be32(header, at)).into()))
        }
        _ => {
            let [source, destination]: &[[u8; 16]; 2] = ip.get(8..)?.as_chunks().0.first_chunk()?;
            Some([
                Ipv6Addr::from(*source).into(),
                Ipv6Addr::from(*destination).into(),
            ])
        }
    }
}

fn ipv4<const PROTOCOL: u8>(ip: &[u8], wire_len: u32) -> Result<Ip, NotTcp> {
    let (header, _) = ip.split_first_chunk::<20>().ok_or(NotTcp::Ip)?;
    let length = usize::from(header[0] & 0xf) * 4;
    if length < header.len() {
        return Err(NotTcp::Ip);
    }
    if header[9] != PROTOCOL {
        return Err(NotTcp::Protocol(header[9]));
    }
    if be16(header, 6) & 0x1fff != 0 {
        return Err(NotTcp::Fragment);
    }
    let address = |at| Ipv4Addr::from(be32(header, at));
    Ok(Ip {
        source: address(12).into(),
        destination: address(16).into(),
        carried_at: length,
        // TSO leaves it empty for packets that it cannot express.
        bytes: match be16(header, 2) {
            0 => wire_len,
            total => total.into(),
        },
        ttl: header[8],
        ecn: ecn(header[1]),
        identification: be16(header, 4),
    })
}

fn ipv6<const PROTOCOL: u8>(ip: &[u8], wire_len: u32) -> Result<Ip, NotTcp> {
    let (header, _) = ip.split_first_chunk::<40>().ok_or(NotTcp::Ip)?;
    let address = |at: usize| {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&header[at..at + 16]);
        Ipv6Addr::from(bytes)
    };
    Ok(Ip {
        source: address(8).into(),
        destination: address(24).into(),
        carried_at: carried_behind_extensions::<PROTOCOL>(ip, header[6], header.len())?,
        // Empty with the option for jumbo payloads (RFC 2675), which BIG TCP uses.
        bytes: match be16(header, 4) {
            0 => wire_len,
            payload => 40 + u32::from(payload),
        },
        ttl: header[7],
        ecn: ecn(header[0] << 4 | header[1] >> 4),
        identification: 0,
    })
}

/// What is behind the extension headers from `at` on, of which `kind` is the first, and where. `None` where one of
/// them is cut off, or what follows is of a later fragment.
fn behind_extensions(ip: &[u8], mut kind: u8, mut at: usize) -> Option<(u8, usize)> {
    while kind == FRAGMENT || kind == AUTHENTICATION || OTHERS.contains(&kind) {
        let [next, length, high, low] = *ip.get(at..)?.first_chunk()?;
        at += match kind {
            FRAGMENT if u16::from_be_bytes([high, low]) & 0xfff8 != 0 => return None,
            FRAGMENT => 8,
            AUTHENTICATION => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        kind = next;
    }
    Some((kind, at))
}

/// Where a protocol begins, behind the extension headers from `at` on, of which `kind` is the first.
fn carried_behind_extensions<const PROTOCOL: u8>(
    ip: &[u8],
    mut kind: u8,
    mut at: usize,
) -> Result<usize, NotTcp> {
    while kind != PROTOCOL {
        let Some((&[next, length, high, low], _)) =
            ip.get(at..).and_then(<[u8]>::split_first_chunk)
        else {
            // Too short for the kind, or no header that could be passed.
            let known = kind == FRAGMENT || kind == AUTHENTICATION || OTHERS.contains(&kind);
            return Err(if known {
                NotTcp::Cut
            } else {
                NotTcp::Protocol(kind)
            });
        };
        at += match kind {
            FRAGMENT if u16::from_be_bytes([high, low]) & 0xfff8 != 0 => {
                return Err(NotTcp::Fragment);
            }
            FRAGMENT => 8,
            AUTHENTICATION => (usize::from(length) + 2) * 4,
            kind if OTHERS.contains(&kind) => (usize::from(length) + 1) * 8,
            kind => return Err(NotTcp::Protocol(kind)),
        };
        kind = next;
    }
    Ok(at)
}

fn ecn(traffic_class: u8) -> Ecn {
    match traffic_class & 3 {
        0 => Ecn::Not,
        3 => Ecn::Congestion,
        _ => Ecn::Capable,
    }
}

pub(crate) fn be16<const N: usize>(bytes: &[u8; N], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn be32<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// An address and a port, as bytes: what Community IDs are made of.
pub(crate) fn octets(end: &SocketAddr) -> ([u8; 16], usize, u16) {
    let mut bytes = [0; 16];
    let length = match end {
        SocketAddr::V4(end) => fill(&mut bytes, &SocketAddrV4::ip(end).octets()),
        SocketAddr::V6(end) => fill(&mut bytes, &SocketAddrV6::ip(end).octets()),
    };
    (bytes, length, end.port())
}

fn fill(bytes: &mut [u8; 16], address: &[u8]) -> usize {
    bytes[..address.len()].copy_from_slice(address);
    address.len()
}
