//! Nanosecond pcap, little endian (draft-ietf-opsawg-pcap).

use packet_headers_common::LinkType;

use super::order::Order;
use super::records::{Item, u32_at};
use crate::headers::{link_type, plausible_lengths};

/// The header of a file up to the link type: magic, version 2.4, no time zone, no accuracy, and the
/// snap length that `format.rs` declares.
const HEADER: [u8; 20] = [
    0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0,
];

/// The length of the header with the link type.
const HEADER_LENGTH: usize = HEADER.len() + 4;

/// The length of what precedes a packet in its record: seconds, nanoseconds, captured and original
/// length.
const RECORD_HEADER: usize = 16;

/// A second in nanoseconds.
const SECOND: u32 = 1_000_000_000;

/// What is known of a file so far.
#[derive(Default)]
pub(super) struct Pcap {
    link: Option<LinkType>,
    order: Order,
}

impl Pcap {
    /// Whether the file begins like ours.
    pub(super) const fn begun(&self) -> bool {
        self.link.is_some()
    }

    /// What `rest` begins with.
    pub(super) fn next(&mut self, rest: &[u8]) -> Item {
        match self.link {
            None => self.header(rest),
            Some(link) => self.record(rest, link).unwrap_or(Item::Torn),
        }
    }

    fn header(&mut self, rest: &[u8]) -> Item {
        if rest.iter().zip(HEADER).any(|(&got, want)| got != want) {
            return Item::Wrong("it does not begin like one of our pcap files");
        }
        let Some(number) = u32_at(rest, HEADER.len()) else {
            return torn_number(rest);
        };
        self.link = link_type(number);
        if self.link.is_none() {
            return Item::Wrong("it has a link type that we do not write");
        }
        Item::Whole {
            length: HEADER_LENGTH,
            packets: 0,
        }
    }

    /// `None` when there is not all of it.
    fn record(&mut self, rest: &[u8], link: LinkType) -> Option<Item> {
        let time = (u32_at(rest, 0)?, u32_at(rest, 4)?);
        let (captured, original) = (u32_at(rest, 8)?, u32_at(rest, 12)?);
        if time.0 == 0 || time.1 >= SECOND || !plausible_lengths(captured, original) {
            return Some(Item::Wrong("a record differs from ours"));
        }
        let length = RECORD_HEADER + usize::try_from(captured).ok()?;
        let packet = rest.get(RECORD_HEADER..length)?;
        let time = u64::from(time.0) * u64::from(SECOND) + u64::from(time.1);
        if !self.order.follows(time, packet, link) {
            return Some(Item::Wrong("a packet differs from ours"));
        }
        Some(Item::Whole { length, packets: 1 })
    }
}

/// Whether a link type that is cut off can still be one of ours: those differ in their low byte,
/// and the others are zero.
fn torn_number(rest: &[u8]) -> Item {
    let (low, high) = match rest.get(HEADER.len()..) {
        None | Some([]) => return Item::Torn,
        Some([low, high @ ..]) => (*low, high),
    };
    if link_type(low.into()).is_some() && high.iter().all(|&byte| byte == 0) {
        return Item::Torn;
    }
    Item::Wrong("it has a link type that we do not write")
}
