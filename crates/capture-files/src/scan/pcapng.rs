//! pcapng, little endian, nanoseconds (draft-ietf-opsawg-pcapng).

use packet_headers_common::LinkType;

use super::order::Order;
use super::records::{Item, MAX_ITEM, u16_at, u32_at};
use crate::headers::{MAX_PACKET, link_type, plausible_lengths};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;

/// What follows a section header's length: the byte order, and version 1.0.
const SECTION_START: [u8; 8] = [0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0];
/// Where that is.
const SECTION_START_AT: usize = 8;

/// The length of a block without its content: type and length before it, length again behind it.
const FRAME: usize = 12;
/// Where the content is.
const CONTENT_AT: usize = 8;

/// The length of the content before the options, or before the packet.
const SECTION_FIXED: usize = 16;
const INTERFACE_FIXED: usize = 8;
const STATISTICS_FIXED: usize = 12;
const PACKET_FIXED: usize = 20;

/// The end of options; the option for the unit of timestamps, and its value for nanoseconds.
const OPTION_END: u16 = 0;
const OPTION_TSRESOL: u16 = 9;
const NANOSECONDS: u8 = 9;

/// More interfaces than the packets of a flow ever pass.
const MAX_INTERFACES: usize = 1024;

/// A second in nanoseconds: nothing was captured before 1970-01-01T00:00:01Z.
const SECOND: u64 = 1_000_000_000;

/// What is known of a file so far.
#[derive(Default)]
pub(super) struct Pcapng {
    section: bool,
    interfaces: Vec<LinkType>,
    order: Order,
}

impl Pcapng {
    /// Whether the file begins like ours. Other programs write section headers like ours, but use
    /// microseconds.
    pub(super) fn begun(&self) -> bool {
        !self.interfaces.is_empty()
    }

    /// What `rest` begins with.
    pub(super) fn next(&mut self, rest: &[u8]) -> Item {
        if !self.section && !may_be_section(rest) {
            return Item::Wrong("it does not begin like one of our pcapng files");
        }
        self.block(rest).unwrap_or(Item::Torn)
    }

    /// `None` if it is cut off.
    fn block(&mut self, rest: &[u8]) -> Option<Item> {
        let wrong = Item::Wrong("a block differs from ours");
        let kind = u32_at(rest, 0)?;
        let known = match kind {
            SECTION => !self.section,
            INTERFACE => self.section && self.interfaces.len() < MAX_INTERFACES,
            PACKET | STATISTICS => self.begun(),
            _ => false,
        };
        if !known {
            return Some(wrong);
        }
        let length = usize::try_from(u32_at(rest, 4)?).ok()?;
        if !(FRAME..=MAX_ITEM).contains(&length) || !length.is_multiple_of(4) {
            return Some(wrong);
        }
        let block = rest.get(..length)?;
        let content = block.get(CONTENT_AT..length - 4).unwrap_or_default();
        if block.last_chunk() != rest.get(4..)?.first_chunk::<4>()
            || self.content(kind, content).is_none()
        {
            return Some(wrong);
        }
        Some(Item::Whole {
            length,
            packets: u64::from(kind == PACKET),
        })
    }

    /// Takes note of a block's content; `None` if it differs from ours.
    fn content(&mut self, kind: u32, content: &[u8]) -> Option<()> {
        match kind {
            SECTION => {
                Options(content.get(SECTION_FIXED..)?).check()?;
                self.section = true;
            }
            INTERFACE => {
                let link = link_type(u16_at(content, 0)?.into())?;
                let options = Options(content.get(INTERFACE_FIXED..)?);
                options.check()?;
                let mut resolutions = options.filter(|(code, _)| *code == OPTION_TSRESOL);
                if resolutions.next()?.1 != [NANOSECONDS] || resolutions.next().is_some() {
                    return None;
                }
                self.interfaces.push(link);
            }
            PACKET => self.packet(content)?,
            _ => {
                self.interface(content)?;
                Options(content.get(STATISTICS_FIXED..)?).check()?;
            }
        }
        Some(())
    }

    fn packet(&mut self, content: &[u8]) -> Option<()> {
        let link = self.interface(content)?;
        let [high, low, captured, original] = [4, 8, 12, 16].map(|at| u32_at(content, at));
        let (captured, original) = (captured?, original?);
        let time = u64::from(high?) << 32 | u64::from(low?);
        if time < SECOND || !plausible_lengths(captured, original) {
            return None;
        }
        debug_assert!(captured <= MAX_PACKET);
        let captured = usize::try_from(captured).ok()?;
        let bytes = content.get(PACKET_FIXED..)?;
        Options(bytes.get(captured.next_multiple_of(4)..)?).check()?;
        let packet = bytes.get(..captured)?;
        self.order.follows(time, packet, link).then_some(())
    }

    /// The link type of the interface that a block is about.
    fn interface(&self, content: &[u8]) -> Option<LinkType> {
        let number = usize::try_from(u32_at(content, 0)?).ok()?;
        self.interfaces.get(number).copied()
    }
}

/// Whether a file of ours can begin like this, as far as it goes.
fn may_be_section(rest: &[u8]) -> bool {
    let same = |at: usize, want: &[u8]| {
        let got = rest.get(at..).unwrap_or_default();
        got.iter().zip(want).all(|(got, want)| got == want)
    };
    same(0, &SECTION.to_le_bytes()) && same(SECTION_START_AT, &SECTION_START)
}

/// A block's options: code, length, value, and padding to 32 bits.
#[derive(Clone, Copy)]
struct Options<'a>(&'a [u8]);

impl Options<'_> {
    /// `None` if they do not fill their place.
    fn check(mut self) -> Option<()> {
        self.by_ref().for_each(drop);
        self.0.is_empty().then_some(())
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (code, length) = (u16_at(self.0, 0)?, usize::from(u16_at(self.0, 2)?));
        if code == OPTION_END {
            // Behind the end there is nothing.
            if length == 0 && self.0.len() == 4 {
                self.0 = &[];
            }
            return None;
        }
        let value = self.0.get(4..4 + length)?;
        let rest = self.0.get(4 + length.next_multiple_of(4)..)?;
        self.0 = rest;
        Some((code, value))
    }
}
