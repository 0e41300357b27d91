//! What is kept of packets in memory, by what their files need.

use packet_headers_common::{Direction, LinkType};

use crate::record::Record;

/// How a [`PacketBuffer`](crate::PacketBuffer) lays packets out, by the files that they go into:
/// see [`FileOptions::layout`](crate::FileOptions::layout).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Layout {
    /// As they are in a pcap file, and nothing beside. All have the link type of the first.
    #[default]
    Pcap,
    /// The same, and where their headers begin: they are anonymized on the way to the file.
    PcapToAnonymize,
    /// With all that a pcapng file says. Each keeps its own link type.
    Pcapng,
}

impl Layout {
    /// Whether [`Details`] are kept.
    #[inline]
    pub(crate) const fn has_details(self) -> bool {
        !matches!(self, Self::Pcap)
    }

    /// Whether all packets get the link type of the first one, as a pcap file has only one.
    #[inline]
    pub(crate) const fn has_one_link_type(self) -> bool {
        !matches!(self, Self::Pcapng)
    }
}

/// What a pcap file does not say of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Details {
    pub(crate) ifindex: u32,
    pub(crate) segments: u16,
    pub(crate) l3: u16,
    pub(crate) l4: u16,
    pub(crate) direction: Direction,
    pub(crate) link_type: LinkType,
}

impl Details {
    /// Those of a packet.
    #[inline]
    pub(crate) fn of(record: &Record<'_>) -> Self {
        // What does not fit is unknown.
        let offset = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        Self {
            ifindex: record.ifindex,
            segments: record.segments,
            l3: offset(record.l3),
            l4: offset(record.l4),
            direction: record.direction,
            link_type: record.link_type,
        }
    }

    /// Those of a packet of which nothing else is known.
    pub(crate) const fn unknown(link_type: LinkType) -> Self {
        Self {
            ifindex: 0,
            segments: 1,
            l3: u16::MAX,
            l4: u16::MAX,
            direction: Direction::Ingress,
            link_type,
        }
    }
}
