//! A TCP packet, as one record of a capture gives it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use thiserror::Error;

use crate::options::Options;
use crate::sequence::place;

/// The protocol number of TCP.
const TCP: u8 = 6;

/// What of a TCP header has to be there: up to the window.
const NEEDED: usize = 16;

/// The shortest TCP header.
const SHORTEST: usize = 20;

/// Extension headers of IPv6 that may stand before TCP (RFC 8200 4.1, RFC 4302, RFC 6275, RFC 7401, RFC 5533).
const AUTHENTICATION: u8 = 51;
const FRAGMENT: u8 = 44;
const OTHERS: [u8; 6] = [0, 43, 60, 135, 139, 140];

/// A TCP packet, decoded from what was captured of it. It may stand for several segments that an offload
/// has merged (GRO, LRO) or not yet cut (TSO).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// When it was captured: nanoseconds since 1970.
    pub(crate) time: i64,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    /// Bytes of payload, whether captured or not.
    pub(crate) payload: u32,
    /// Bytes of the IP packet, by its header.
    pub(crate) ip_bytes: u32,
    /// How many segments it stands for, as far as the capture says.
    pub(crate) segments: u16,
    /// TTL or hop limit.
    pub(crate) ttl: u8,
    /// The field ECN of the IP header.
    pub(crate) ecn: Ecn,
    /// The field identification of an IPv4 header; 0 if it says nothing.
    pub(crate) identification: u16,
    /// Whether the capture ends within the TCP header.
    pub(crate) truncated: bool,
    /// Bytes of TCP options, by the header.
    pub(crate) options_len: u8,
    pub(crate) options: Options,
}

/// The flags of a TCP header (RFC 9293 3.1, RFC 9768 for AE).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags(pub(crate) u16);

impl Flags {
    pub(crate) const FIN: u16 = 0x001;
    pub(crate) const SYN: u16 = 0x002;
    pub(crate) const RST: u16 = 0x004;
    pub(crate) const ACK: u16 = 0x010;
    pub(crate) const ECE: u16 = 0x040;
    pub(crate) const CWR: u16 = 0x080;
    pub(crate) const AE: u16 = 0x100;

    /// Whether one of these is set.
    pub(crate) const fn any(self, flags: u16) -> bool {
        self.0 & flags != 0
    }

    /// The ones of `mask`.
    pub(crate) const fn of(self, mask: u16) -> u16 {
        self.0 & mask
    }
}

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

/// Where TCP is in an IP packet, and what the IP header says about it.
struct Ip {
    source: IpAddr,
    destination: IpAddr,
    /// Where the TCP header begins.
    tcp: usize,
    bytes: u32,
    ttl: u8,
    ecn: Ecn,
    identification: u16,
}

impl Segment {
    /// Decodes an IP packet, `ip`, from its IP header on and as far as it was captured.
    ///
    /// `time` is in nanoseconds since 1970. `wire_len_of_ip` is the packet's length on the wire, from the IP
    /// header on; it only counts where the IP header does not say its length, as with packets of more than
    /// 64 KiB. `segments` is how many segments an offload has merged into this packet; 1 if that is not known.
    ///
    /// # Errors
    /// It is not TCP, or too little of it was captured.
    pub fn of_ip(time: i64, ip: &[u8], wire_len_of_ip: u32, segments: u16) -> Result<Self, NotTcp> {
        let header = match ip.first().map(|first| first >> 4) {
            Some(4) => ipv4(ip, wire_len_of_ip)?,
            Some(6) => ipv6(ip, wire_len_of_ip)?,
            _ => return Err(NotTcp::Ip),
        };
        let tcp = ip.get(header.tcp..).ok_or(NotTcp::Cut)?;
        let (fixed, _) = tcp.split_first_chunk::<NEEDED>().ok_or(NotTcp::Cut)?;
        let header_len = usize::from(fixed[12] >> 4) * 4;
        if header_len < SHORTEST {
            return Err(NotTcp::Header(fixed[12] >> 4 << 2));
        }
        let options = tcp.get(SHORTEST..header_len.min(tcp.len()));
        let headers = u32::try_from(header.tcp + header_len).unwrap_or(u32::MAX);
        Ok(Self {
            time,
            source: SocketAddr::new(header.source, be16(fixed, 0)),
            destination: SocketAddr::new(header.destination, be16(fixed, 2)),
            sequence: be32(fixed, 4),
            acknowledgment: be32(fixed, 8),
            flags: Flags(be16(fixed, 12) & 0x1ff),
            window: be16(fixed, 14),
            payload: header.bytes.saturating_sub(headers),
            ip_bytes: header.bytes,
            segments: segments.max(1),
            ttl: header.ttl,
            ecn: header.ecn,
            identification: header.identification,
            truncated: tcp.len() < header_len,
            // At most 40.
            options_len: ((fixed[12] >> 4) - 5) << 2,
            options: options.map_or(Options::NONE, Options::read),
        })
    }

    /// Its source and its destination.
    ///
    /// An IPv4 address that is mapped into IPv6 stays an IPv6 address: such a packet had an IPv6 header, so
    /// it belongs to another connection than one between the same IPv4 addresses.
    #[must_use]
    pub fn ends(&self) -> (SocketAddr, SocketAddr) {
        (self.source, self.destination)
    }

    /// When it was captured: nanoseconds since 1970.
    #[must_use]
    pub fn time(&self) -> i64 {
        self.time
    }

    /// Bytes of payload, whether captured or not.
    #[must_use]
    pub fn payload(&self) -> u32 {
        self.payload
    }

    /// Whether it has the flag SYN.
    #[must_use]
    pub fn has_syn(&self) -> bool {
        self.flags.any(Flags::SYN)
    }

    /// Whether it has the flag FIN.
    #[must_use]
    pub fn has_fin(&self) -> bool {
        self.flags.any(Flags::FIN)
    }

    /// Whether it has the flag RST.
    #[must_use]
    pub fn has_rst(&self) -> bool {
        self.flags.any(Flags::RST)
    }

    /// Its SACK blocks, from `[left` to `right]`, as places on a line of which `near` is one: what the packet
    /// [acknowledges](crate::Judgment::acknowledges).
    pub fn sack_blocks(&self, near: u64) -> impl Iterator<Item = [u64; 2]> + '_ {
        let blocks = self.options.sack_blocks().iter();
        blocks.map(move |edges| edges.map(|edge| place(edge, near)))
    }

    /// Its sender's clock, if it has timestamps.
    pub(crate) fn timestamp(&self) -> Option<u32> {
        self.options.timestamps.map(|timestamps| timestamps.value)
    }

    /// Whether it asks for a connection: SYN without ACK.
    pub(crate) fn is_syn(&self) -> bool {
        self.flags.of(Flags::SYN | Flags::ACK | Flags::RST) == Flags::SYN
    }

    /// Whether it accepts a connection.
    pub(crate) fn is_syn_ack(&self) -> bool {
        self.flags.of(Flags::SYN | Flags::ACK | Flags::RST) == Flags::SYN | Flags::ACK
    }

    /// How many sequence numbers it takes: a byte each, and one each for SYN and FIN (RFC 9293 3.4).
    pub(crate) fn numbers(&self) -> u64 {
        let flag = |flag| u64::from(self.flags.any(flag));
        u64::from(self.payload) + flag(Flags::SYN) + flag(Flags::FIN)
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

fn ipv4(ip: &[u8], wire_len: u32) -> Result<Ip, NotTcp> {
    let (header, _) = ip.split_first_chunk::<20>().ok_or(NotTcp::Ip)?;
    let tcp = usize::from(header[0] & 0xf) * 4;
    if tcp < header.len() {
        return Err(NotTcp::Ip);
    }
    if header[9] != TCP {
        return Err(NotTcp::Protocol(header[9]));
    }
    if be16(header, 6) & 0x1fff != 0 {
        return Err(NotTcp::Fragment);
    }
    let address = |at| Ipv4Addr::from(be32(header, at));
    Ok(Ip {
        source: address(12).into(),
        destination: address(16).into(),
        tcp,
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

fn ipv6(ip: &[u8], wire_len: u32) -> Result<Ip, NotTcp> {
    let (header, _) = ip.split_first_chunk::<40>().ok_or(NotTcp::Ip)?;
    let address = |at: usize| {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&header[at..at + 16]);
        Ipv6Addr::from(bytes)
    };
    Ok(Ip {
        source: address(8).into(),
        destination: address(24).into(),
        tcp: tcp_behind_extensions(ip, header[6], header.len())?,
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

/// Where TCP begins, behind the extension headers from `at` on, of which `kind` is the first.
fn tcp_behind_extensions(ip: &[u8], mut kind: u8, mut at: usize) -> Result<usize, NotTcp> {
    while kind != TCP {
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
