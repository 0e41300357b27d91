//! Packets on their way from memory to a file.
//!
//! Pure: no I/O.

use std::slice;

use anonymize::Layers;
use packet_headers_common::LinkType;

use crate::layout::Details;
use crate::pcap_record::{RECORD_HEADER_LEN, RecordHeader};
use crate::record::Record;

/// Packets on their way from a [`PacketBuffer`](crate::PacketBuffer) to a file, laid out as in a
/// pcap file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunk {
    pub(crate) bytes: Vec<u8>,
    /// One for each packet, or none.
    pub(crate) details: Vec<Details>,
    /// The link type of the buffer's first packet.
    pub(crate) link_type: Option<LinkType>,
    /// The number of packets.
    pub packets: u64,
    /// The memory that they hold, in bytes: more than they need, as a buffer grows by doubling.
    pub memory: usize,
}

impl Chunk {
    /// The packets, in time order. Of what their [layout](crate::Layout) does not keep, interface
    /// and offsets are unknown.
    #[must_use]
    pub fn records(&self) -> Records<'_> {
        Records::new(&self.bytes, &self.details, self.link_type)
    }

    /// The length of what is kept of all packets, in bytes: about as many as they take in a file
    /// that is not compressed.
    #[must_use]
    pub fn length(&self) -> usize {
        self.bytes.len() + size_of_val(self.details.as_slice())
    }

    /// All packets as they are in a pcap file.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the first packet of its buffer began with.
    #[must_use]
    pub const fn link_type(&self) -> Option<LinkType> {
        self.link_type
    }

    /// Calls `change` with the headers of each packet, and where they begin.
    pub(crate) fn change_headers(&mut self, change: impl Fn(&mut [u8], Layers)) {
        let mut details = self.details.iter();
        let unknown = Details::unknown(self.link_type.unwrap_or(LinkType::Ethernet));
        let mut rest = self.bytes.as_mut_slice();
        while let Some((header, behind)) = rest.split_first_chunk_mut::<RECORD_HEADER_LEN>() {
            let captured = RecordHeader::decode(header).captured as usize;
            let Some((headers, behind)) = behind.split_at_mut_checked(captured) else {
                break;
            };
            let details = details.next().unwrap_or(&unknown);
            let layers = Layers {
                link_type: details.link_type,
                l3: details.l3.into(),
                l4: details.l4.into(),
            };
            change(headers, layers);
            rest = behind;
        }
    }
}

/// The records of a [`Chunk`], in order.
#[derive(Debug, Clone)]
pub struct Records<'buffer> {
    bytes: &'buffer [u8],
    details: slice::Iter<'buffer, Details>,
    /// What stands for details that were not kept.
    unknown: Details,
}

impl<'buffer> Records<'buffer> {
    pub(crate) fn new(
        bytes: &'buffer [u8],
        details: &'buffer [Details],
        link_type: Option<LinkType>,
    ) -> Self {
        Self {
            bytes,
            details: details.iter(),
            unknown: Details::unknown(link_type.unwrap_or(LinkType::Ethernet)),
        }
    }
}

impl<'buffer> Iterator for Records<'buffer> {
    type Item = Record<'buffer>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (header, rest) = self.bytes.split_first_chunk()?;
        let header = RecordHeader::decode(header);
        let (headers, rest) = rest.split_at_checked(header.captured as usize)?;
        self.bytes = rest;
        let details = self.details.next().unwrap_or(&self.unknown);
        Some(Record {
            time: header.time,
            wire_len: header.wire_len,
            ifindex: details.ifindex,
            segments: details.segments,
            direction: details.direction,
            link_type: details.link_type,
            l3: details.l3.into(),
            l4: details.l4.into(),
            headers,
        })
    }
}
