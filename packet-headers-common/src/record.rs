//! One captured packet: a fixed header, then the packet's own header bytes.

use crate::key::{Endpoint, FlowKey};

/// The most header bytes that a record can hold.
pub const MAX_HEADERS: usize = 1024;

/// The fewest header bytes that a record can be cut to: plain headers with little of their options.
pub const MIN_HEADERS: usize = 64;

/// How many header bytes each class of record has room for, smallest first.
///
/// Ring memory is reserved by constant sizes. 56 holds Ethernet + IPv4 + TCP (54), 72 the same with
/// timestamps (66), 88 that over IPv6 (86), 144 both with every TCP option and a tag or two; what is
/// longer has IP options or extension headers, which are rare. The largest has room for a [`Cut`] and
/// a hardware time as well.
pub const CLASSES: [usize; 5] = [56, 72, 88, 144, MAX_HEADERS + CUT + HARDWARE_TIME];

/// Which way the packet passed the interface.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Received by the interface.
    Ingress = 0,
    /// Sent by the interface.
    Egress = 1,
}

/// What a packet of the interface begins with.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkType {
    /// An Ethernet header.
    Ethernet = 0,
    /// An IP header: the interface has no link layer.
    RawIp = 1,
}

/// The fixed part of a record, as the classifier lays it into the ring.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RecordHeader {
    /// `CLOCK_BOOTTIME` in nanoseconds, read in the classifier.
    pub boot_ns: u64,
    /// Bytes that the packet had on the wire, without a tag that was stripped.
    pub wire_len: u32,
    /// Index of the interface.
    pub ifindex: u32,
    /// How many header bytes follow this header, or what `flags` put between them; the record may
    /// be longer.
    pub header_len: u16,
    /// Where in the packet the IP header begins.
    pub l3_offset: u16,
    /// Where in the packet the TCP header begins.
    pub l4_offset: u16,
    /// VLAN tag control information that the NIC stripped; valid when `vlan_protocol` is not 0.
    pub vlan_tci: u16,
    /// EtherType of the stripped tag, in host order: 0x8100, 0x88a8 or 0 for none.
    pub vlan_protocol: u16,
    /// A [`Direction`].
    pub direction: u8,
    /// A [`LinkType`].
    pub link_type: u8,
    /// Of the `FLAG_` bits.
    pub flags: u8,
    /// Zero.
    pub reserved: u8,
    /// Into how many packets on the wire the NIC splits this one, or of how many it was put
    /// together; 0 when it is one.
    pub segments: u16,
}

/// [`RecordHeader::flags`]: the kernel knows that this is no second copy of a packet.
pub const FLAG_AT_HOME: u8 = 1;

/// [`RecordHeader::flags`]: the packet's headers are longer than the record keeps. A [`Cut`] precedes
/// their bytes, as these may end before what it tells.
pub const FLAG_TRUNCATED: u8 = 2;

/// [`RecordHeader::flags`]: the NIC's time precedes the header bytes, behind a [`Cut`] when there is
/// one: nanoseconds as a `u64`, 0 when the NIC told none.
pub const FLAG_HARDWARE_TIME: u8 = 4;

/// Bytes of that time.
pub const HARDWARE_TIME: usize = size_of::<u64>();

/// Whose a packet is whose headers are cut, and what of TCP the daemon needs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// The connection.
    pub key: FlowKey,
    /// TCP sequence number.
    pub sequence: u32,
    /// TCP flags, the low eight.
    pub tcp_flags: u8,
    /// 1 when the lower end of the key sent it, else 0.
    pub from_low: u8,
    /// Zero: what follows is aligned to 8 bytes.
    pub reserved: [u8; 6],
}

/// Bytes of a [`Cut`].
pub const CUT: usize = size_of::<Cut>();

/// Bytes of a [`RecordHeader`].
pub const RECORD_HEADER: usize = size_of::<RecordHeader>();

// The two sides are compiled by different rustcs: a layout that drifts must fail the build.
const _: () = {
    assert!(RECORD_HEADER == 32);
    assert!(core::mem::offset_of!(RecordHeader, wire_len) == 8);
    assert!(core::mem::offset_of!(RecordHeader, header_len) == 16);
    assert!(core::mem::offset_of!(RecordHeader, vlan_protocol) == 24);
    assert!(core::mem::offset_of!(RecordHeader, link_type) == 27);
    assert!(core::mem::offset_of!(RecordHeader, flags) == 28);
    assert!(core::mem::offset_of!(RecordHeader, segments) == 30);
    assert!(CUT == 48);
    assert!(core::mem::offset_of!(Cut, sequence) == 36);
    assert!(core::mem::offset_of!(Cut, from_low) == 41);
    assert!(core::mem::offset_of!(Record<8>, bytes) == RECORD_HEADER);
};

/// One record of the ring: the classifier writes a `Record<N>` for one `N` of [`CLASSES`].
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Record<const N: usize> {
    /// The fixed part.
    pub header: RecordHeader,
    /// A [`Cut`] and a hardware time when there are; the packet's header bytes; what lies past them
    /// is unspecified.
    pub bytes: [u8; N],
}

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

/// A record borrowed from the ring; it must not outlive the ring item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'ring> {
    /// `CLOCK_BOOTTIME` in nanoseconds.
    pub boot_ns: u64,
    /// When the NIC saw it, by the NIC's own clock, in nanoseconds; kept when it was asked for.
    pub hardware_ns: Option<u64>,
    /// Bytes that the packet had on the wire, without a tag that was stripped.
    pub wire_len: u32,
    /// Index of the interface.
    pub ifindex: u32,
    /// Which way it passed the interface.
    pub direction: Direction,
    /// What the header bytes begin with.
    pub link_type: LinkType,
    /// EtherType and control information of a VLAN tag that the NIC stripped.
    pub vlan: Option<(u16, u16)>,
    /// Whether the kernel knows that this is no second copy of a packet.
    pub at_home: bool,
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
    /// Whether the packet's headers go on behind those that are here.
    pub truncated: bool,
    /// Link, IP and TCP header, to the byte, or as many bytes of them as a record may keep.
    pub headers: &'ring [u8],
}

/// TCP flag: the sender has no more data (RFC 9293, 3.1).
pub const TCP_FIN: u8 = 0x01;
/// TCP flag: synchronize sequence numbers (RFC 9293, 3.1).
pub const TCP_SYN: u8 = 0x02;
/// TCP flag: the connection is given up (RFC 9293, 3.1).
pub const TCP_RST: u8 = 0x04;
/// TCP flag: the acknowledgment field is significant (RFC 9293, 3.1).
pub const TCP_ACK: u8 = 0x10;

impl<'ring> Packet<'ring> {
    /// Reads a ring item by offset: no cast, and no alignment to argue about.
    ///
    /// # Errors
    /// A [`BadRecord`] that says what does not fit.
    #[inline]
    pub fn parse(item: &'ring [u8]) -> Result<Self, BadRecord> {
        let (header, rest) = item
            .split_first_chunk::<RECORD_HEADER>()
            .ok_or(BadRecord::Short)?;
        let truncated = header[28] & FLAG_TRUNCATED != 0;
        let (cut, bytes) = if truncated {
            let (cut, bytes) = rest.split_first_chunk::<CUT>().ok_or(BadRecord::Short)?;
            (Some(cut), bytes)
        } else {
            (None, rest)
        };
        let (hardware_ns, bytes) = if header[28] & FLAG_HARDWARE_TIME != 0 {
            let time = bytes.split_first_chunk::<HARDWARE_TIME>();
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
        let told = match cut {
            Some(cut) if l3_offset < l4_offset => Some(Told::cut(cut)),
            Some(_) => None,
            None => Told::headers(headers, l3_offset.into(), l4_offset.into()),
        };
        let told = told.ok_or(BadRecord::Offsets)?;
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
            at_home: header[28] & FLAG_AT_HOME != 0,
            source: told.source,
            destination: told.destination,
            sequence: told.sequence,
            tcp_flags: told.tcp_flags,
            segments: u16_at(header, 30).max(1),
            l3_offset,
            l4_offset,
            truncated,
            headers,
        })
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
        self.tcp_flags & (TCP_SYN | TCP_ACK) == TCP_SYN
    }
}

/// Whose a packet is, and what of TCP is needed.
struct Told {
    source: Endpoint,
    destination: Endpoint,
    sequence: u32,
    tcp_flags: u8,
}

impl Told {
    /// From the headers themselves, when they have all of it.
    #[inline]
    fn headers(headers: &[u8], l3: usize, l4: usize) -> Option<Self> {
        let (ip, tcp) = ip_and_tcp(headers, l3, l4)?;
        let (source, destination) = ends(ip, tcp)?;
        Some(Self {
            source,
            destination,
            sequence: u32::from_be_bytes(chunk(tcp, 4)),
            tcp_flags: tcp[13],
        })
    }

    /// From the bytes of a [`Cut`].
    #[cold]
    fn cut(cut: &[u8; CUT]) -> Self {
        let (low, high) = FlowKey::from_bytes(&chunk(cut, 0)).ends();
        let (source, destination) = if cut[41] == 0 {
            (high, low)
        } else {
            (low, high)
        };
        Self {
            source,
            destination,
            sequence: u32::from_ne_bytes(chunk(cut, 36)),
            tcp_flags: cut[40],
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

/// Source and destination, from the IP version's own place.
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

#[cfg(test)]
mod tests;
