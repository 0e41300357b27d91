//! pcapng for packets of many connections, which somebody reads while more come.

use smallvec::SmallVec;

use super::pcapng;
use crate::interface_names::InterfaceNames;
use crate::record::Record;
use model::WallNanos;

/// Encodes packets of many connections as one section of pcapng, for who reads it while it goes on.
///
/// ```
/// use capture_files::{InterfaceNames, PacketStream, Record};
/// use model::WallNanos;
/// use packet_headers_common::{Direction, LinkType};
///
/// let mut out = Vec::new();
/// let mut stream = PacketStream::begin("example 1.0", &mut out);
/// let record = Record {
///     time: WallNanos(1_700_000_000_000_000_007),
///     wire_len: 1514,
///     ifindex: 2,
///     segments: 1,
///     direction: Direction::Ingress,
///     link_type: LinkType::Ethernet,
///     l3: 14,
///     l4: 34,
///     headers: &[0; 54],
/// };
/// stream.packet(&record, &InterfaceNames::default(), &mut out);
/// assert!(stream.lost(7, record.time, &mut out));
/// ```
#[derive(Debug, Clone, Default)]
pub struct PacketStream {
    /// The interfaces that the section describes, by their number in it.
    interfaces: SmallVec<[pcapng::Interface; 1]>,
    lost: u64,
}

impl PacketStream {
    /// Begins a stream: appends its section header to `out`.
    #[must_use]
    pub fn begin(application: &str, out: &mut Vec<u8>) -> Self {
        pcapng::begin("packets as they were captured", application, out);
        Self::default()
    }

    /// Appends a packet to `out`, behind the description of its interface if that is new.
    pub fn packet(&mut self, record: &Record<'_>, names: &InterfaceNames, out: &mut Vec<u8>) {
        pcapng::packet(record, (&mut self.interfaces, names), out);
    }

    /// Appends that so many packets are missing here: for programs the number of all that are, and for
    /// people a comment. Returns whether that could be said: a section without a packet has no
    /// interface yet that it could be said of.
    pub fn lost(&mut self, packets: u64, at: WallNanos, out: &mut Vec<u8>) -> bool {
        if self.interfaces.is_empty() {
            return false;
        }
        self.lost += packets;
        let remark = format!("{packets} packets are missing here: they were read too slowly");
        pcapng::loss(self.lost, &remark, at, out);
        true
    }
}
