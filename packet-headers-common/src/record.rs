//! One captured packet, as the programs write it into a segment.
//!
//! A record consists of a [`RecordHeader`]; a [`Meta`] and the NIC's time, if its flags say
//! so; the packet's own header bytes; and zeros up to a multiple of 8 bytes.

mod packet;
mod written;

pub use packet::{BadRecord, Beside, Glance, Packet, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN};

use crate::key::FlowKey;

/// The most header bytes that a record can hold.
pub const MAX_HEADERS: usize = 1024;

/// The fewest header bytes to which a record can be limited: plain headers with few of their options.
pub const MIN_HEADERS: usize = 64;

/// The most bytes that a record takes.
pub const MAX_RECORD_LEN: usize = record_len(FLAG_META | FLAG_HARDWARE_TIME, MAX_HEADERS);

/// The fewest bytes that a record takes: of a packet that has nothing but plain IPv4 and TCP headers.
pub const MIN_RECORD_LEN: usize = record_len(0, 40);

/// Bytes of a record with these [`RecordHeader::flags`] and so many header bytes.
#[inline(always)]
#[must_use]
pub const fn record_len(flags: u8, header_len: usize) -> usize {
    let mut length = RECORD_HEADER_LEN + header_len;
    if flags & FLAG_META != 0 {
        length += META_LEN;
    }
    if flags & FLAG_HARDWARE_TIME != 0 {
        length += HARDWARE_TIME_LEN;
    }
    (length + 7) & !7
}

/// When the packet of a record passed: `CLOCK_BOOTTIME` in nanoseconds. `None` when these bytes are
/// too few.
#[inline]
#[must_use]
pub fn boot_ns(record: &[u8]) -> Option<u64> {
    record.first_chunk().copied().map(u64::from_ne_bytes)
}

/// The first record of these bytes, and the rest. Bytes that cannot be a record are one, so that
/// whoever takes it apart finds a [`BadRecord`].
#[inline]
#[must_use]
pub fn split_first(bytes: &[u8]) -> (&[u8], &[u8]) {
    let length = bytes.first_chunk::<RECORD_HEADER_LEN>().map(|header| {
        let header_len = u16::from_ne_bytes([header[16], header[17]]);
        record_len(header[28], header_len.into())
    });
    let record = length.and_then(|length| bytes.split_at_checked(length));
    record.unwrap_or((bytes, &[]))
}

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

/// The fixed part of a record.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RecordHeader {
    /// `CLOCK_BOOTTIME` in nanoseconds, read in the classifier.
    pub boot_ns: u64,
    /// Bytes that the packet had on the wire, without a tag that the NIC stripped.
    pub wire_len: u32,
    /// Index of the interface.
    pub ifindex: u32,
    /// How many of the packet's header bytes the record has. They follow this header and what `flags`
    /// puts between.
    pub header_len: u16,
    /// Where in the packet the IP header begins.
    pub l3_offset: u16,
    /// Where in the packet the TCP header begins; or the ICMP header, with [`ICMP_ERROR`].
    pub l4_offset: u16,
    /// VLAN tag control information that the NIC stripped; valid with [`FLAG_VLAN`].
    pub vlan_tci: u16,
    /// The connection's entry in the table of flows, or 0 if it has none.
    pub entry: u32,
    /// A union of the `FLAG_` bits.
    pub flags: u8,
    /// TCP flags, the low eight.
    pub tcp_flags: u8,
    /// Into how many packets on the wire the NIC splits this one, or from how many it was merged;
    /// 0 when it is one.
    pub segments: u16,
}

/// [`RecordHeader::flags`]: the packet was captured at its connection's primary tap, so it is no
/// second copy.
pub const FLAG_PRIMARY_TAP: u8 = 1;

/// [`RecordHeader::flags`]: the packet's headers are longer than the record may keep, or it is an
/// [ICMP error](ICMP_ERROR) or [UDP](DATAGRAM). A [`Meta`] precedes the bytes that it has.
pub const FLAG_META: u8 = 2;

/// A bit of [`RecordHeader::l4_offset`] that no offset has: the packet is an ICMP error that quotes a packet of
/// the connection, whose TCP header is not at the offset, and may be cut off. [`FLAG_FROM_LOW`] says who sent
/// the packet that is quoted.
pub const ICMP_ERROR: u16 = 1 << 15;

/// A bit of [`RecordHeader::l4_offset`] that no offset has either: the packet is UDP. Its record has a [`Meta`], and
/// [`RecordHeader::tcp_flags`] are those of a SYN if the packet begins a flow.
pub const DATAGRAM: u16 = 1 << 14;

/// [`RecordHeader::flags`]: the NIC's time precedes the header bytes, behind a [`Meta`] if
/// there is one: nanoseconds as a `u64`, 0 when the NIC gave none.
pub const FLAG_HARDWARE_TIME: u8 = 4;

/// [`RecordHeader::flags`]: the lower end of the key sent the packet.
pub const FLAG_FROM_LOW: u8 = 8;

/// [`RecordHeader::flags`]: the interface sent the packet.
pub const FLAG_EGRESS: u8 = 16;

/// [`RecordHeader::flags`]: the packet begins with an IP header.
pub const FLAG_RAW_IP: u8 = 32;

/// [`RecordHeader::flags`]: the NIC stripped a VLAN tag.
pub const FLAG_VLAN: u8 = 64;

/// [`RecordHeader::flags`]: the stripped tag was a service tag (IEEE 802.1ad).
pub const FLAG_SERVICE_TAG: u8 = 128;

/// EtherType of a VLAN tag (IEEE 802.1Q).
const CUSTOMER_TAG: u16 = 0x8100;

/// EtherType of a service VLAN tag (IEEE 802.1ad).
const SERVICE_TAG: u16 = 0x88a8;

/// The flags of a stripped tag with this EtherType, in host order; none when it is 0. No branch: the
/// verifier would look twice at all that follows.
#[inline(always)]
#[must_use]
pub const fn tag_flags(protocol: u16) -> u8 {
    const SERVICE_BIT: u16 = SERVICE_TAG & !CUSTOMER_TAG & 8;
    let vlan = (protocol >> 15) as u8 * FLAG_VLAN;
    let service = (protocol & SERVICE_BIT) as u8 * (FLAG_SERVICE_TAG / SERVICE_BIT as u8);
    vlan | service
}

/// Bytes of a hardware time.
pub const HARDWARE_TIME_LEN: usize = size_of::<u64>();

/// Flow key and sequence number of a packet whose headers were truncated, so that the bytes that are left may
/// end before them; or of the packet that an ICMP error quotes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    /// The connection.
    pub key: FlowKey,
    /// TCP sequence number.
    pub sequence: u32,
    /// The cookie of the socket that sent the packet, if that is connected and the packet is UDP; or 0.
    pub cookie: u64,
}

/// Bytes of a [`Meta`].
pub const META_LEN: usize = size_of::<Meta>();

/// Bytes of a [`RecordHeader`].
pub const RECORD_HEADER_LEN: usize = size_of::<RecordHeader>();

// The two sides are compiled by different rustcs: a layout that drifts must fail the build.
const _: () = {
    assert!(RECORD_HEADER_LEN == 32);
    assert!(core::mem::offset_of!(RecordHeader, wire_len) == 8);
    assert!(core::mem::offset_of!(RecordHeader, header_len) == 16);
    assert!(core::mem::offset_of!(RecordHeader, entry) == 24);
    assert!(core::mem::offset_of!(RecordHeader, flags) == 28);
    assert!(core::mem::offset_of!(RecordHeader, segments) == 30);
    assert!(core::mem::offset_of!(RecordHeader, boot_ns) == 0);
    assert!(RECORD_HEADER_LEN.is_multiple_of(8) && META_LEN.is_multiple_of(8));
    assert!(META_LEN == 48);
    assert!(core::mem::offset_of!(Meta, cookie) == 40);
    assert!(core::mem::offset_of!(Meta, sequence) == 36);
};

#[cfg(test)]
mod tests;
