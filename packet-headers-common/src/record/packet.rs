//! A record as user space reads it.

use super::{
    CUSTOMER_TAG, DATAGRAM, Direction, FLAG_EGRESS, FLAG_FROM_LOW, FLAG_HARDWARE_TIME, FLAG_META,
    FLAG_PRIMARY_TAP, FLAG_RAW_IP, FLAG_SERVICE_TAG, FLAG_VLAN, HARDWARE_TIME_LEN, ICMP_ERROR,
    LinkType, META_LEN, RECORD_HEADER_LEN, SERVICE_TAG,
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
}

/// A captured packet, of TCP or an ICMP error about one: a record, decoded and borrowed from the ring.
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
    /// The connection's entry in the kernel's table of flows, by which it is found without its key; 0
    /// if it has none.
    pub entry: u32,
    /// Whether the lower end of the connection's key sent it; or the packet that an ICMP error quotes.
    pub from_low: bool,
    /// TCP flags, the low eight.
    pub tcp_flags: u8,
    /// How many packets on the wire it stands for: 1 unless an offload splits or merges.
    pub segments: u16,
    /// Where in the packet the IP header begins.
    pub l3_offset: u16,
    /// Where in the packet the TCP header begins, or the ICMP header.
    pub l4_offset: u16,
    /// What the record has beside the headers if these were truncated, so that they are longer than `headers`;
    /// or if it is an ICMP error.
    pub beside: Option<Beside>,
    /// Link, IP and TCP headers, to the byte, or as many bytes of them as a record may keep. Of an ICMP error:
    /// its headers, and the IP and TCP headers that it quotes, as far as it does.
    pub headers: &'ring [u8],
}

/// What is needed of headers that were truncated, or quoted: a [`Meta`](super::Meta).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beside {
    /// The connection.
    pub key: FlowKey,
    /// TCP sequence number.
    pub sequence: u32,
    /// Whether the packet is an ICMP error, and key and sequence number are those of the packet that it quotes.
    pub is_quoted: bool,
    /// The cookie of the socket that sent the packet, if that is connected and the packet is UDP; or 0.
    pub cookie: u64,
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
        let flags = header[28];
        let is = |flag| flags & flag != 0;
        let (meta, bytes) = if is(FLAG_META) {
            let meta = rest.split_first_chunk::<META_LEN>();
            let (meta, bytes) = meta.ok_or(BadRecord::Short)?;
            (Some(meta), bytes)
        } else {
            (None, rest)
        };
        let (hardware_ns, bytes) = if is(FLAG_HARDWARE_TIME) {
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
        let (l3_offset, mut l4_offset) = (u16_at(header, 18), u16_at(header, 20));
        let beside = meta.map(|meta| Beside::of(meta, &mut l4_offset));
        let has_fields = match beside {
            Some(_) => l3_offset < l4_offset,
            None => Fields::of(headers, l3_offset, l4_offset).is_some(),
        };
        if !has_fields {
            return Err(BadRecord::Offsets);
        }
        Ok(Self {
            boot_ns: u64::from_ne_bytes(chunk(header, 0)),
            hardware_ns,
            wire_len: u32::from_ne_bytes(chunk(header, 8)),
            ifindex: u32::from_ne_bytes(chunk(header, 12)),
            direction: match is(FLAG_EGRESS) {
                true => Direction::Egress,
                false => Direction::Ingress,
            },
            link_type: match is(FLAG_RAW_IP) {
                true => LinkType::RawIp,
                false => LinkType::Ethernet,
            },
            vlan: is(FLAG_VLAN).then(|| (tag_of(flags), u16_at(header, 22))),
            at_primary_tap: is(FLAG_PRIMARY_TAP),
            entry: u32::from_ne_bytes(chunk(header, 24)),
            from_low: is(FLAG_FROM_LOW),
            tcp_flags: header[29],
            segments: u16_at(header, 30).max(1),
            l3_offset,
            l4_offset,
            beside,
            headers,
        })
    }

    /// The connection that the packet belongs to.
    #[inline]
    #[must_use]
    pub fn key(&self) -> FlowKey {
        match (&self.beside, self.fields()) {
            (Some(beside), _) => beside.key,
            (None, Some(fields)) => fields.key(),
            // Not so: this was checked.
            (None, None) => FlowKey::default(),
        }
    }

    /// The end that sent it.
    #[must_use]
    pub fn source(&self) -> Endpoint {
        let (low, high) = self.key().ends();
        if self.from_low { low } else { high }
    }

    /// TCP sequence number.
    #[must_use]
    pub fn sequence(&self) -> u32 {
        match (&self.beside, self.fields()) {
            (Some(beside), _) => beside.sequence,
            (None, Some(fields)) => u32::from_be_bytes(chunk(fields.tcp, 4)),
            (None, None) => 0,
        }
    }

    /// Whether the packet asks for a new connection: SYN without ACK.
    #[inline]
    #[must_use]
    pub const fn is_first_syn(&self) -> bool {
        is_first_syn(self.tcp_flags)
    }

    /// Whether it is no packet of the connection, but an ICMP error that quotes one. Anybody can forge it.
    #[inline]
    #[must_use]
    pub const fn is_icmp_error(&self) -> bool {
        matches!(
            self.beside,
            Some(Beside {
                is_quoted: true,
                ..
            })
        )
    }

    #[inline]
    fn fields(&self) -> Option<Fields<'ring>> {
        Fields::of(self.headers, self.l3_offset, self.l4_offset)
    }
}

impl Beside {
    /// Takes the bit that says what it is of out of the offset.
    #[cold]
    fn of(meta: &[u8; META_LEN], l4_offset: &mut u16) -> Self {
        let is_quoted = *l4_offset & ICMP_ERROR != 0;
        *l4_offset &= !(ICMP_ERROR | DATAGRAM);
        Self {
            key: FlowKey::from_bytes(&chunk(meta, 0)),
            sequence: u32::from_ne_bytes(chunk(meta, 36)),
            is_quoted,
            cookie: u64::from_ne_bytes(chunk(meta, 40)),
        }
    }
}

/// What tells where a record belongs, read without the rest of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// As [`Packet::boot_ns`].
    pub boot_ns: u64,
    /// As [`Packet::entry`].
    pub entry: u32,
    /// As [`Packet::is_first_syn`].
    pub is_first_syn: bool,
}

impl Glance {
    /// Reads a ring item; `None` if it is too short. It is cheaper than [`Packet::parse`], and refuses
    /// less.
    #[inline]
    #[must_use]
    pub fn of(item: &[u8]) -> Option<Self> {
        let header = item.first_chunk::<RECORD_HEADER_LEN>()?;
        Some(Self {
            boot_ns: u64::from_ne_bytes(chunk(header, 0)),
            entry: u32::from_ne_bytes(chunk(header, 24)),
            is_first_syn: is_first_syn(header[29]),
        })
    }
}

/// The EtherType of the tag that these flags are of.
#[inline]
const fn tag_of(flags: u8) -> u16 {
    match flags & FLAG_SERVICE_TAG {
        0 => CUSTOMER_TAG,
        _ => SERVICE_TAG,
    }
}

/// Whether these flags ask for a new connection.
#[inline]
const fn is_first_syn(tcp_flags: u8) -> bool {
    tcp_flags & (TCP_SYN | TCP_ACK) == TCP_SYN
}

/// The headers in which a packet's fields are.
#[derive(Clone, Copy)]
struct Fields<'ring> {
    ip: Addresses<'ring>,
    /// The fixed part of the TCP header.
    tcp: &'ring [u8; 20],
}

/// An IP header of either version.
#[derive(Clone, Copy)]
enum Addresses<'ring> {
    V4(&'ring [u8; 20]),
    V6(&'ring [u8; 40]),
}

impl<'ring> Fields<'ring> {
    /// `None` when the IP header is too short, or of another version, or the TCP header is too short.
    #[inline]
    fn of(headers: &'ring [u8], l3: u16, l4: u16) -> Option<Self> {
        let ip = headers.get(l3.into()..l4.into())?;
        let tcp = headers.get(l4.into()..)?.first_chunk()?;
        let ip = match ip.first()? >> 4 {
            4 => Addresses::V4(ip.first_chunk()?),
            6 => Addresses::V6(ip.first_chunk()?),
            _ => return None,
        };
        Some(Self { ip, tcp })
    }

    #[inline]
    fn key(&self) -> FlowKey {
        let source = u16::from_be_bytes(chunk(self.tcp, 0));
        let destination = u16::from_be_bytes(chunk(self.tcp, 2));
        match self.ip {
            Addresses::V4(ip) => FlowKey::new(
                Endpoint::v4(chunk(ip, 12), source),
                Endpoint::v4(chunk(ip, 16), destination),
            ),
            Addresses::V6(ip) => {
                let half = |at| u64::from_be_bytes(chunk(ip, at));
                FlowKey::new(
                    Endpoint::v6([half(8), half(16)], source),
                    Endpoint::v6([half(24), half(32)], destination),
                )
            }
        }
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
