//! One captured packet, as the programs write it into a ring.
//!
//! A record consists of a [`RecordHeader`]; a [`TruncatedMeta`] and the NIC's time, if its flags say
//! so; the packet's own header bytes; and unspecified bytes up to the end of its class.

mod packet;

pub use packet::{BadRecord, Packet, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN};

use crate::key::FlowKey;

/// The most header bytes that a record can hold.
pub const MAX_HEADERS: usize = 1024;

/// The fewest header bytes to which a record can be limited: plain headers with few of their options.
pub const MIN_HEADERS: usize = 64;

/// How many bytes each class of record holds behind its fixed part, smallest first.
///
/// Ring memory is reserved in constant sizes. 56 holds Ethernet + IPv4 + TCP (54), 72 the same with
/// timestamps (66), 88 that over IPv6 (86), 144 both with every TCP option and a tag or two; longer
/// ones have IP options or extension headers, which are rare. The largest also has room for a
/// [`TruncatedMeta`] and a hardware time.
pub const CLASSES: [usize; 5] = [
    56,
    72,
    88,
    144,
    MAX_HEADERS + TRUNCATED_META_LEN + HARDWARE_TIME_LEN,
];

/// The smallest of the [`CLASSES`] that holds so many bytes, or the largest one.
#[inline(always)]
#[must_use]
pub fn class(bytes: usize) -> usize {
    let [smaller @ .., largest] = CLASSES;
    let mut smaller = smaller.into_iter();
    smaller.find(|&class| bytes <= class).unwrap_or(largest)
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
    /// puts between; the record may be longer.
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
    /// A union of the `FLAG_` bits.
    pub flags: u8,
    /// Zero.
    pub reserved: u8,
    /// Into how many packets on the wire the NIC splits this one, or from how many it was merged;
    /// 0 when it is one.
    pub segments: u16,
}

/// [`RecordHeader::flags`]: the packet was captured at its connection's primary tap, so it is no
/// second copy.
pub const FLAG_PRIMARY_TAP: u8 = 1;

/// [`RecordHeader::flags`]: the packet's headers are longer than the record may keep. A
/// [`TruncatedMeta`] precedes the bytes that it has.
pub const FLAG_TRUNCATED: u8 = 2;

/// [`RecordHeader::flags`]: the NIC's time precedes the header bytes, behind a [`TruncatedMeta`] if
/// there is one: nanoseconds as a `u64`, 0 when the NIC gave none.
pub const FLAG_HARDWARE_TIME: u8 = 4;

/// Bytes of a hardware time.
pub const HARDWARE_TIME_LEN: usize = size_of::<u64>();

/// Flow key and TCP fields of a packet whose headers were truncated: the bytes that are left may end
/// before them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TruncatedMeta {
    /// The connection.
    pub key: FlowKey,
    /// TCP sequence number.
    pub sequence: u32,
    /// TCP flags, the low eight.
    pub tcp_flags: u8,
    /// 1 when the lower end of the key sent the packet, else 0.
    pub from_low: u8,
    /// Zero: what follows is aligned to 8 bytes.
    pub reserved: [u8; 6],
}

/// Bytes of a [`TruncatedMeta`].
pub const TRUNCATED_META_LEN: usize = size_of::<TruncatedMeta>();

/// Bytes of a [`RecordHeader`].
pub const RECORD_HEADER_LEN: usize = size_of::<RecordHeader>();

// The two sides are compiled by different rustcs: a layout that drifts must fail the build.
const _: () = {
    assert!(RECORD_HEADER_LEN == 32);
    assert!(core::mem::offset_of!(RecordHeader, wire_len) == 8);
    assert!(core::mem::offset_of!(RecordHeader, header_len) == 16);
    assert!(core::mem::offset_of!(RecordHeader, vlan_protocol) == 24);
    assert!(core::mem::offset_of!(RecordHeader, link_type) == 27);
    assert!(core::mem::offset_of!(RecordHeader, flags) == 28);
    assert!(core::mem::offset_of!(RecordHeader, segments) == 30);
    assert!(TRUNCATED_META_LEN == 48);
    assert!(core::mem::offset_of!(TruncatedMeta, sequence) == 36);
    assert!(core::mem::offset_of!(TruncatedMeta, from_low) == 41);
};

#[cfg(test)]
mod tests;
