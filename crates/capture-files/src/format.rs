//! How packets are laid out in a file. Pure: bytes go into a buffer.

use std::net::SocketAddr;

use model::Owner;
use packet_headers_common::{LinkType, SocketTotals};
use smallvec::SmallVec;

use crate::chunk::Chunk;
use crate::flow_meta::FlowMeta;
use crate::interface_names::InterfaceNames;
use crate::record::Record;

mod pcap;
mod pcapng;
mod stream;

pub use stream::PacketStream;

/// How packets are laid out in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// draft-ietf-opsawg-pcap, with nanoseconds.
    #[default]
    Pcap,
    /// draft-ietf-opsawg-pcapng.
    Pcapng,
}

impl Format {
    /// Every value.
    pub const ALL: [Self; 2] = [Self::Pcap, Self::Pcapng];

    /// What a file's name ends in, before the extension of its compression.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Pcap => ".pcap",
            Self::Pcapng => ".pcapng",
        }
    }
}

/// What a file says about its flow, beside the packets.
#[derive(Debug, Clone, Copy)]
pub struct FileHeader<'a> {
    /// The program that writes the file.
    pub application: &'a str,
    /// The flow's name.
    pub meta: &'a FlowMeta,
    /// What all packets of a pcap file begin with.
    pub link_type: LinkType,
    /// The flow's ends as they may be shown: this host's and the other one.
    pub ends: [SocketAddr; 2],
}

/// What a file says at its end about its flow, if its format has a place for it.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileEnd<'a> {
    /// How many packets of this host, of any flow, were lost while the file was open.
    pub lost: u64,
    /// What the kernel knew of the flow when its socket was closed.
    pub totals: Option<&'a SocketTotals>,
    /// Whose flow it was.
    pub owner: Option<&'a Owner>,
}

/// Encodes one file: what has to be remembered from one chunk to the next. Cheap to clone, so that
/// a write that failed can be undone.
///
/// ```
/// use capture_files::{Encoder, FileEnd, FileHeader, FlowMeta, Format, InterfaceNames, Record};
/// use model::{FlowUuid, WallNanos};
/// use packet_headers_common::{Direction, Endpoint, LinkType};
///
/// let (local, remote) = (Endpoint::v4([192, 0, 2, 1], 443), Endpoint::v4([192, 0, 2, 2], 50_000));
/// let meta = FlowMeta {
///     uuid: FlowUuid::new("host_1_00000000000000AA")?,
///     opened: WallNanos(1_700_000_000_000_000_000),
///     local,
///     remote,
/// };
/// let header = FileHeader {
///     application: "example",
///     meta: &meta,
///     link_type: LinkType::Ethernet,
///     ends: [local, remote].map(|end| (end.ip(), end.port()).into()),
/// };
/// let record = Record {
///     time: meta.opened,
///     wire_len: 1514,
///     ifindex: 2,
///     segments: 1,
///     direction: Direction::Egress,
///     link_type: LinkType::Ethernet,
///     l3: 14,
///     l4: 34,
///     headers: &[0; 54],
/// };
///
/// let (mut encoder, mut file) = (Encoder::new(Format::Pcap), Vec::new());
/// encoder.begin(&header, &mut file);
/// encoder.packet(&record, &InterfaceNames::default(), &mut file);
/// encoder.end(&FileEnd::default(), &mut file);
/// assert_eq!(file.len(), 24 + 16 + 54);
/// # Ok::<(), model::uuid::BadUuid>(())
/// ```
#[derive(Debug, Clone)]
pub struct Encoder(State);

#[derive(Debug, Clone)]
enum State {
    /// Nothing to remember.
    Pcap,
    /// The interfaces that the section describes, by their number in it.
    Pcapng(SmallVec<[pcapng::Interface; 1]>),
}

impl Encoder {
    /// The encoder of a new file.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self(match format {
            Format::Pcap => State::Pcap,
            Format::Pcapng => State::Pcapng(SmallVec::new()),
        })
    }

    /// Appends what a file begins with to `out`.
    pub fn begin(&self, header: &FileHeader<'_>, out: &mut Vec<u8>) {
        match &self.0 {
            State::Pcap => pcap::header(header.link_type, out),
            State::Pcapng(_) => pcapng::section(header, out),
        }
    }

    /// Appends a packet to `out`. In a pcap file, it must have the file's link type.
    #[inline]
    pub fn packet(&mut self, record: &Record<'_>, names: &InterfaceNames, out: &mut Vec<u8>) {
        match &mut self.0 {
            State::Pcap => pcap::packet(record, out),
            State::Pcapng(interfaces) => pcapng::packet(record, (interfaces, names), out),
        }
    }

    /// The packets of a chunk as the file has them, behind what is in `out` already. They are copied
    /// there only if something is, or if the format needs another form than that in memory.
    pub(crate) fn chunk<'a>(
        &mut self,
        chunk: &'a Chunk,
        names: &InterfaceNames,
        out: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        match &mut self.0 {
            State::Pcap if out.is_empty() => return chunk.bytes(),
            State::Pcap => out.extend_from_slice(chunk.bytes()),
            State::Pcapng(interfaces) => {
                out.reserve(chunk.length());
                for record in chunk.records() {
                    pcapng::packet(&record, (interfaces, names), out);
                }
            }
        }
        out
    }

    /// Appends what a file ends with to `out`.
    pub fn end(&self, end: &FileEnd<'_>, out: &mut Vec<u8>) {
        match &self.0 {
            State::Pcap => {}
            State::Pcapng(interfaces) => pcapng::statistics(interfaces, end, out),
        }
    }
}

/// The snap length that files declare: the largest that programs accept (libpcap's
/// MAXIMUM_SNAPLEN), as ours varies from packet to packet. Readers refuse records that are longer.
const SNAP_LENGTH: u32 = 262_144;

/// Lengths here are of headers, far below 4 GiB.
fn u32_of(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
