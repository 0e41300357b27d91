//! A packet in memory, on its way to a file of any format.
//!
//! Pure: no I/O.

use packet_headers_common::{Direction, LinkType, Packet};

use crate::headers::ip_at;
use model::WallNanos;

/// A packet as a file will have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'buffer> {
    /// When it passed the interface.
    pub time: WallNanos,
    /// Its length on the wire, in bytes.
    pub wire_len: u32,
    /// The index of the interface; 0 if it is not known.
    pub ifindex: u32,
    /// How many packets on the wire it stands for: 1 unless an offload splits or merges packets.
    pub segments: u16,
    /// Which way it passed the interface.
    pub direction: Direction,
    /// What the headers begin with.
    pub link_type: LinkType,
    /// The offset of the IP header in the packet, or [`UNKNOWN`](Self::UNKNOWN).
    pub l3: usize,
    /// The offset of the TCP header in the packet, or [`UNKNOWN`](Self::UNKNOWN).
    pub l4: usize,
    /// The link, IP and TCP headers, to the byte; they may be truncated.
    pub headers: &'buffer [u8],
}

/// The length of an Ethernet header, in bytes.
const ETHERNET_LEN: usize = 14;

/// The length of a VLAN tag, in bytes.
const TAG_LEN: usize = 4;

/// The offset of a VLAN tag in an Ethernet header: behind both addresses.
const TAG_AT: usize = 12;

impl<'packet> Record<'packet> {
    /// An offset that is not known, or beyond all that a record can hold.
    pub const UNKNOWN: usize = u16::MAX as usize;

    /// The record of a captured packet with this timestamp, without its VLAN tag if the NIC removed
    /// that.
    #[inline]
    pub(crate) fn new(packet: &Packet<'packet>, time: WallNanos) -> Self {
        Self {
            time,
            wire_len: packet.wire_len,
            ifindex: packet.ifindex,
            segments: packet.segments,
            direction: packet.direction,
            link_type: packet.link_type,
            l3: packet.l3_offset.into(),
            l4: packet.l4_offset.into(),
            headers: packet.headers,
        }
    }

    /// How many of the headers are in front of the IP header.
    fn link_len(&self) -> usize {
        match self.l3 {
            Self::UNKNOWN => ip_at(self.headers, self.link_type).unwrap_or(match self.link_type {
                LinkType::Ethernet => ETHERNET_LEN,
                LinkType::RawIp => 0,
            }),
            known => known,
        }
    }
}

/// What comes in place of the first bytes of a packet's headers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Front {
    bytes: [u8; TAG_AT + TAG_LEN],
    len: usize,
    /// How many bytes it replaces.
    replaces: usize,
    link_type: LinkType,
}

impl Front {
    /// The addresses of an Ethernet header with the VLAN tag that the NIC removed put back behind
    /// them, as it was on the wire. `None` if the addresses are not there.
    pub(crate) fn tagged(record: &Record<'_>, (protocol, control): (u16, u16)) -> Option<Self> {
        let addresses = record.headers.first_chunk::<TAG_AT>()?;
        let mut bytes = [0; TAG_AT + TAG_LEN];
        bytes[..TAG_AT].copy_from_slice(addresses);
        bytes[TAG_AT..TAG_AT + 2].copy_from_slice(&protocol.to_be_bytes());
        bytes[TAG_AT + 2..].copy_from_slice(&control.to_be_bytes());
        Some(Self {
            bytes,
            len: TAG_AT + TAG_LEN,
            replaces: TAG_AT,
            link_type: record.link_type,
        })
    }

    /// The link header that makes it a packet of `link_type`: none, or an Ethernet header with
    /// all-zero addresses.
    pub(crate) fn linked(record: &Record<'_>, link_type: LinkType) -> Self {
        let replaces = record.link_len();
        let mut bytes = [0; TAG_AT + TAG_LEN];
        let len = match link_type {
            LinkType::Ethernet => ETHERNET_LEN,
            LinkType::RawIp => 0,
        };
        if link_type == LinkType::Ethernet {
            let first = record.headers.get(replaces).map_or(0, |first| first >> 4);
            let ethertype: u16 = if first == 6 { 0x86dd } else { 0x0800 };
            bytes[ETHERNET_LEN - 2..ETHERNET_LEN].copy_from_slice(&ethertype.to_be_bytes());
        }
        Self {
            bytes,
            len,
            replaces,
            link_type,
        }
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The record behind it: its headers lack what this replaces, its lengths and offsets count
    /// this.
    pub(crate) fn before<'packet>(&self, record: &Record<'packet>) -> Record<'packet> {
        let moved = |at: usize| match at {
            Record::UNKNOWN => at,
            at => (at + self.len).saturating_sub(self.replaces),
        };
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let rest = record.wire_len.saturating_sub(length(self.replaces));
        Record {
            wire_len: rest.saturating_add(length(self.len)),
            l3: moved(record.l3),
            l4: moved(record.l4),
            link_type: self.link_type,
            headers: record.headers.get(self.replaces..).unwrap_or_default(),
            ..*record
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A packet with these header bytes.
    pub(crate) fn packet(headers: &[u8], vlan: Option<(u16, u16)>) -> Packet<'_> {
        Packet {
            boot_ns: 0,
            hardware_ns: None,
            wire_len: 1514,
            ifindex: 3,
            direction: Direction::Egress,
            link_type: LinkType::Ethernet,
            vlan,
            at_primary_tap: true,
            entry: 0,
            from_low: true,
            tcp_flags: 0,
            segments: 3,
            beside: None,
            l3_offset: 14,
            l4_offset: 34,
            headers,
        }
    }
}
