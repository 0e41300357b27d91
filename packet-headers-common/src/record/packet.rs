//! A record as user space reads it.

use super::{
    Direction, FLAG_HARDWARE_TIME, FLAG_PRIMARY_TAP, FLAG_TRUNCATED, HARDWARE_TIME_LEN, LinkType,
    RECORD_HEADER_LEN, TRUNCATED_META_LEN,
};
use crate::key::{Endpoint, FlowKey};

/// A ring item that this build does not understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRecord {
    /// Shorter than a record's fixed part.
    Short,
    /// The header bytes reach past the record.
    HeaderLength,
    /// The offsets do not leave room for an IP and a TCP header within the header bytes.
    Offsets,
    /// A direction or link type that does not exist.
    Kind,
}

/// A captured packet: a record, decoded and borrowed from the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'ring> {
    /// `CLOCK_BOOTTIME` in nanoseconds.
    pub boot_ns: u64,
    /// When the NIC saw it, by the NIC's own clock, in nanoseconds; `None` unless the programs were
    /// told to ask, and the NIC knew.
    pub hardware_ns: Option<u64>,
    /// Bytes that the packet had on the wire, without a tag that the NIC stripped.
    pub wire_len: u32,
    /// Index of the interface.
    pub ifindex: u32,
    /// Which way it passed the interface.
    pub direction: Direction,
    /// What the header bytes begin with.
    pub link_type: LinkType,
    /// EtherType and control information of a VLAN tag that the NIC stripped.
    pub vlan: Option<(u16, u16)>,
    /// Whether it was captured at its connection's primary tap, so that it is no second copy. The
    /// kernel knows only of connections that have a name.
    pub at_primary_tap: bool,
    /// Source end.
    pub source: Endpoint,
    /// Destination end.
    pub destination: Endpoint,
    /// TCP sequence number.
    pub sequence: u32,
    /// TCP flags, the low eight.
    pub tcp_flags: u8,
    /// How many packets on the wire it stands for: 1 unless an offload splits or merges.
    pub segments: u16,
    /// Where in the packet the IP header begins.
    pub l3_offset: u16,
    /// Where in the packet the TCP header begins.
    pub l4_offset: u16,
    /// Whether the packet's headers are longer than `headers`.
    pub truncated: bool,
    /// Link, IP and TCP headers, to the byte, or as many bytes of them as a record may keep.
    pub headers: &'ring [u8],
}

/// TCP flag: the sender has no more data (RFC 9293, 3.1).
pub const TCP_FIN: u8 = 0x01;
/// TCP flag: synchronize sequence numbers (RFC 9293, 3.1).
pub const TCP_SYN: u8 = 0x02;
/// TCP flag: reset the connection (RFC 9293, 3.1).
pub const TCP_RST: u8 = 0x04;
/// TCP flag: the acknowledgment field is significant (RFC 9293, 3.1).
pub const TCP_ACK: u8 = 0x10;

impl<'ring> Packet<'ring> {
    /// Decodes a ring item by offset: no cast, so no alignment to argue about.
    ///
    /// # Errors
    /// A [`BadRecord`] that says what is wrong with the item.
    #[inline]
    pub fn parse(item: &'ring [u8]) -> Result<Self, BadRecord> {
        let (header, rest) = item
            .split_first_chunk::<RECORD_HEADER_LEN>()
            .ok_or(BadRecord::Short)?;
        let truncated = header[28] & FLAG_TRUNCATED != 0;
        let (meta, bytes) = if truncated {
            let meta = rest.split_first_chunk::<TRUNCATED_META_LEN>();
            let (meta, bytes) = meta.ok_or(BadRecord::Short)?;
            (Some(meta), bytes)
        } else {
            (None, rest)
        };
        let (hardware_ns, bytes) = if header[28] & FLAG_HARDWARE_TIME != 0 {
            let time = bytes.split_first_chunk::<HARDWARE_TIME_LEN>();
            let (time, bytes) = time.ok_or(BadRecord::Short)?;
            (
                Some(u64::from_ne_bytes(*time)).filter(|&time| time != 0),
                bytes,
            )
        } else {
            (None, bytes)
        };
        let header_len = usize::from(u16_at(header, 16));
        let headers = bytes.get(..header_len).ok_or(BadRecord::HeaderLength)?;
        let (l3_offset, l4_offset) = (u16_at(header, 18), u16_at(header, 20));
        let fields = match meta {
            Some(meta) if l3_offset < l4_offset => Some(FlowFields::of_meta(meta)),
            Some(_) => None,
            None => FlowFields::of_headers(headers, l3_offset.into(), l4_offset.into()),
        };
        let fields = fields.ok_or(BadRecord::Offsets)?;
        let vlan_protocol = u16_at(header, 24);
        Ok(Self {
            boot_ns: u64::from_ne_bytes(chunk(header, 0)),
            hardware_ns,
            wire_len: u32::from_ne_bytes(chunk(header, 8)),
            ifindex: u32::from_ne_bytes(chunk(header, 12)),
            direction: match header[26] {
                0 => Direction::Ingress,
                1 => Direction::Egress,
                _ => return Err(BadRecord::Kind),
            },
            link_type: match header[27] {
                0 => LinkType::Ethernet,
                1 => LinkType::RawIp,
                _ => return Err(BadRecord::Kind),
            },
            vlan: (vlan_protocol != 0).then(|| (vlan_protocol, u16_at(header, 22))),
            at_primary_tap: header[28] & FLAG_PRIMARY_TAP != 0,
            source: fields.source,
            destination: fields.destination,
            sequence: fields.sequence,
            tcp_flags: fields.tcp_flags,
            segments: u16_at(header, 30).max(1),
            l3_offset,
            l4_offset,
            truncated,
            headers,
        })
    }

    /// Reads only what tells where a ring item belongs; `None` if the item is too short. It is cheaper
    /// than [`Self::parse`], and refuses less.
    #[inline]
    #[must_use]
    pub fn glance(item: &[u8]) -> Option<Glance> {
        let (header, rest) = item.split_first_chunk::<RECORD_HEADER_LEN>()?;
        let boot_ns = u64::from_ne_bytes(chunk(header, 0));
        if header[28] & FLAG_TRUNCATED != 0 {
            let meta = FlowFields::of_meta(rest.first_chunk()?);
            return Some(Glance::new(boot_ns, &meta));
        }
        let skipped = match header[28] & FLAG_HARDWARE_TIME {
            0 => 0,
            _ => HARDWARE_TIME_LEN,
        };
        let ip = rest.get(skipped + usize::from(u16_at(header, 18))..)?;
        let tcp = rest.get(skipped + usize::from(u16_at(header, 20))..)?;
        let fields = FlowFields::of_parts(ip, tcp.first_chunk()?)?;
        Some(Glance::new(boot_ns, &fields))
    }

    /// The connection that the packet belongs to.
    #[inline]
    #[must_use]
    pub const fn key(&self) -> FlowKey {
        FlowKey::new(self.source, self.destination)
    }

    /// Whether the packet asks for a new connection: SYN without ACK.
    #[inline]
    #[must_use]
    pub const fn is_first_syn(&self) -> bool {
        is_first_syn(self.tcp_flags)
    }
}

/// Where a record belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// As [`Packet::boot_ns`].
    pub boot_ns: u64,
    /// The [digest](FlowKey::digest) of the packet's ends.
    pub digest: u64,
    /// As [`Packet::is_first_syn`].
    pub is_first_syn: bool,
}

impl Glance {
    #[inline]
    const fn new(boot_ns: u64, fields: &FlowFields) -> Self {
        Self {
            boot_ns,
            digest: FlowKey::digest(&fields.source, &fields.destination),
            is_first_syn: is_first_syn(fields.tcp_flags),
        }
    }
}

/// Whether these flags ask for a new connection.
#[inline]
const fn is_first_syn(tcp_flags: u8) -> bool {
    tcp_flags & (TCP_SYN | TCP_ACK) == TCP_SYN
}

/// The fields by which a packet is assigned to its connection.
struct FlowFields {
    source: Endpoint,
    destination: Endpoint,
    sequence: u32,
    tcp_flags: u8,
}

impl FlowFields {
    /// From the headers themselves; `None` when they are too short.
    #[inline]
    fn of_headers(headers: &[u8], l3: usize, l4: usize) -> Option<Self> {
        let (ip, tcp) = ip_and_tcp(headers, l3, l4)?;
        Self::of_parts(ip, tcp)
    }

    #[inline]
    fn of_parts(ip: &[u8], tcp: &[u8; 20]) -> Option<Self> {
        let (source, destination) = ends(ip, tcp)?;
        Some(Self {
            source,
            destination,
            sequence: u32::from_be_bytes(chunk(tcp, 4)),
            tcp_flags: tcp[13],
        })
    }

    /// From the bytes of a [`TruncatedMeta`](super::TruncatedMeta).
    #[cold]
    fn of_meta(meta: &[u8; TRUNCATED_META_LEN]) -> Self {
        let (low, high) = FlowKey::from_bytes(&chunk(meta, 0)).ends();
        let (source, destination) = if meta[41] == 0 {
            (high, low)
        } else {
            (low, high)
        };
        Self {
            source,
            destination,
            sequence: u32::from_ne_bytes(chunk(meta, 36)),
            tcp_flags: meta[40],
        }
    }
}

/// The IP header's bytes up to the TCP header, and the fixed part of the TCP header.
#[inline]
fn ip_and_tcp(headers: &[u8], l3: usize, l4: usize) -> Option<(&[u8], &[u8; 20])> {
    let ip = headers.get(l3..l4)?;
    let tcp = headers.get(l4..)?.first_chunk()?;
    Some((ip, tcp))
}

/// Source and destination; `None` when the IP header is too short, or of another version.
#[inline]
fn ends(ip: &[u8], tcp: &[u8; 20]) -> Option<(Endpoint, Endpoint)> {
    let source = u16::from_be_bytes(chunk(tcp, 0));
    let destination = u16::from_be_bytes(chunk(tcp, 2));
    match ip.first()? >> 4 {
        4 => {
            let ip = ip.first_chunk::<20>()?;
            let source = Endpoint::v4(chunk(ip, 12), source);
            Some((source, Endpoint::v4(chunk(ip, 16), destination)))
        }
        6 => {
            let ip = ip.first_chunk::<40>()?;
            let half = |at| u64::from_be_bytes(chunk(ip, at));
            let source = Endpoint::v6([half(8), half(16)], source);
            let destination = Endpoint::v6([half(24), half(32)], destination);
            Some((source, destination))
        }
        _ => None,
    }
}

/// `N` bytes at a constant offset of an array; both are constants, so the check costs nothing.
#[inline(always)]
fn chunk<const N: usize, const M: usize>(bytes: &[u8; M], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

#[inline(always)]
fn u16_at<const M: usize>(bytes: &[u8; M], at: usize) -> u16 {
    u16::from_ne_bytes(chunk(bytes, at))
}
