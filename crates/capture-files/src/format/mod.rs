//! How packets are laid out in a file. Pure: bytes go into a buffer.

use std::net::SocketAddr;
use std::ops::Range;

use smallvec::SmallVec;

use super::layout::{FlowMeta, Format};
use super::record::Record;
use crate::InterfaceNames;

mod pcap;
mod pcapng;

/// What a file says about its flow beside the packets.
#[derive(Debug, Clone)]
pub struct About<'a> {
    /// Its name, day, link type and ends.
    pub file: &'a FlowMeta,
    /// The flow's ends as they may be shown: this host's and the other one.
    pub ends: [SocketAddr; 2],
}

/// One file's encoder: what it has to remember from one block to the next. Cheap to clone, so that
/// a write that failed can be forgotten.
#[derive(Debug, Clone)]
pub enum Encoder {
    /// Nothing to remember.
    Pcap,
    /// The interfaces that the section describes, by their number in it.
    Pcapng(SmallVec<[pcapng::Interface; 1]>),
}

impl Encoder {
    /// The encoder of a new file.
    #[must_use]
    pub fn new(format: Format) -> Self {
        match format {
            Format::Pcap => Self::Pcap,
            Format::Pcapng => Self::Pcapng(SmallVec::new()),
        }
    }

    /// Writes what a file begins with.
    pub fn begin(&self, about: &About<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Pcap => pcap::header(about.file.link_type, out),
            Self::Pcapng(_) => pcapng::section(about, out),
        }
    }

    /// Writes a packet; where in `out` its headers are.
    #[inline]
    pub fn packet(
        &mut self,
        record: &Record<'_>,
        names: &InterfaceNames,
        out: &mut Vec<u8>,
    ) -> Range<usize> {
        match self {
            Self::Pcap => pcap::packet(record, out),
            Self::Pcapng(interfaces) => {
                let number = pcapng::interface(interfaces, record, names, out);
                pcapng::packet(record, number, out)
            }
        }
    }

    /// Writes what a file ends with; `lost` packets of this host were lost while it grew.
    pub fn end(&self, lost: u64, out: &mut Vec<u8>) {
        match self {
            Self::Pcap => {}
            Self::Pcapng(interfaces) => pcapng::statistics(interfaces, lost, out),
        }
    }
}

/// The snap length that files declare: as large as programs accept (libpcap's MAXIMUM_SNAPLEN), as
/// ours differs by packet. Readers refuse records above it.
const SNAP_LENGTH: u32 = 262_144;

/// Lengths here are of headers, far below 4 GiB.
fn u32_of(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
