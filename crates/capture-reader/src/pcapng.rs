//! pcapng (draft-ietf-opsawg-pcapng): sections one after the other, each with interfaces of its own.

mod clock;

use std::ops::Range;

use self::clock::Clock;
use crate::MAX_PACKET;
use crate::bytes::Order;
use crate::error::ReadError;
use crate::options::{OptionCode, Options};
use crate::packet::Interface;
use crate::pcap::Found;
use crate::window::Window;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
/// Obsolete, but Wireshark still reads it.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

/// In a section's header, in its own byte order.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;

/// Lengths in bytes: of type and length, of the length behind a block, and of both.
const BEFORE: usize = 8;
const BEHIND: usize = 4;
const AROUND: usize = BEFORE + BEHIND;

/// The longest block of those that are looked into; others may be of any length.
const MAX_BLOCK: usize = 2 * MAX_PACKET;

/// The most interfaces of a section. Each that a capture claims takes memory.
const MAX_INTERFACES: usize = 65_536;

/// How much text of several options is put together, in bytes. One has no more.
const MAX_TEXTS: usize = 1 << 16;

/// A capture in pcapng, within a section.
pub(crate) struct Pcapng {
    order: Order,
    interfaces: Vec<(Interface, Clock)>,
    /// How many interfaces earlier sections had.
    before: u32,
    comment: Option<String>,
    /// What the last statistics block with comments says, one a line.
    statistics: Option<String>,
    /// The interface of the packet that was found last, and its time.
    current: usize,
    time: i64,
}

/// A block that lies in the window.
struct Block {
    kind: u32,
    total: usize,
}

impl Pcapng {
    pub(crate) fn recognizes(start: &[u8]) -> bool {
        Order::Little.u32(start, 0) == Some(SECTION)
    }

    /// Reads the header of the first section.
    pub(crate) fn begin(window: &mut Window<'_>) -> Result<Self, ReadError> {
        let mut new = Self {
            order: Order::Little,
            interfaces: Vec::new(),
            before: 0,
            comment: None,
            statistics: None,
            current: 0,
            time: 0,
        };
        let Some(block) = new.block(window)? else {
            return Err(window.end_inside());
        };
        new.section(window.bytes().get(..block.total).unwrap_or_default());
        window.consume(block.total);
        Ok(new)
    }

    /// The comment of the section.
    pub(crate) fn comment(&self) -> Option<&str> {
        self.comment.as_deref()
    }

    /// The comments of the section's statistics, as far as they were read.
    pub(crate) fn statistics(&self) -> Option<&str> {
        self.statistics.as_deref()
    }

    /// The interface of the packet that was found last.
    pub(crate) fn interface(&self) -> &Interface {
        &self.interfaces[self.current].0
    }

    /// What follows a packet's bytes in its block.
    #[inline]
    pub(crate) fn options<'b>(&self, block: &'b [u8], end: usize) -> Options<'b> {
        let at = end.next_multiple_of(4);
        let options = block.get(at..block.len().saturating_sub(BEHIND));
        Options::new(options.unwrap_or_default(), self.order)
    }

    /// The next packet, whose block the window then begins with.
    #[inline]
    pub(crate) fn find(&mut self, window: &mut Window<'_>) -> Result<Option<Found>, ReadError> {
        while let Some(Block { kind, total }) = self.block(window)? {
            let block = window.bytes().get(..total).unwrap_or_default();
            let body = block.get(BEFORE..total - BEHIND).unwrap_or_default();
            let found = match kind {
                ENHANCED_PACKET => Some(self.enhanced(body)),
                PACKET => Some(self.obsolete(body)),
                SIMPLE_PACKET => Some(self.simple(body)),
                _ => None,
            };
            if let Some(found) = found {
                let Some(found) = found else {
                    let what = "a packet that does not fit its block, or of an interface that is not there";
                    return Err(ReadError::Damaged {
                        offset: window.offset(),
                        what,
                    });
                };
                return Ok(Some(Found {
                    time: self.time,
                    wire_len: found.wire_len.max(found.bytes.len() as u32),
                    bytes: BEFORE + found.bytes.start..BEFORE + found.bytes.end,
                    total,
                }));
            }
            match kind {
                SECTION => self.section(block),
                STATISTICS => self.count(body),
                _ => self.describe(body, window.offset())?,
            }
            window.consume(total);
        }
        Ok(None)
    }

    /// The next block that is to be looked into, which the window then begins with, whole.
    #[inline]
    fn block(&mut self, window: &mut Window<'_>) -> Result<Option<Block>, ReadError> {
        loop {
            if !window.has(AROUND) {
                return window.end_between().map(|()| None);
            }
            let start = window.bytes();
            let is_section = Order::Little.u32(start, 0) == Some(SECTION);
            if is_section {
                self.order = order_of(start).ok_or(ReadError::Damaged {
                    offset: window.offset(),
                    what: "a section without a byte order",
                })?;
            }
            let (kind, total) = self
                .order
                .u32(start, 0)
                .zip(self.order.u32(start, 4))
                .unwrap_or((0, 0));
            let damaged = |what| ReadError::Damaged {
                offset: window.offset(),
                what,
            };
            if !total.is_multiple_of(4) || (total as usize) < AROUND {
                return Err(damaged("a block of an impossible length"));
            }
            let known = match kind {
                SECTION | INTERFACE | PACKET | SIMPLE_PACKET | ENHANCED_PACKET => true,
                STATISTICS => total as usize <= MAX_BLOCK,
                _ => false,
            };
            if !known {
                window.skip(u64::from(total))?;
                continue;
            }
            let length = total as usize;
            if length > MAX_BLOCK {
                return Err(damaged("a block of more than 2 MiB"));
            }
            if !window.has(length) {
                return Err(window.end_inside());
            }
            if self.order.u32(window.bytes(), length - BEHIND) != Some(total) {
                let what = "a block whose two lengths differ";
                return Err(ReadError::Damaged {
                    offset: window.offset(),
                    what,
                });
            }
            return Ok(Some(Block {
                kind,
                total: length,
            }));
        }
    }

    /// Section Header Block (4.1), whose byte order is known.
    fn section(&mut self, block: &[u8]) {
        /// Type, length, byte order, version, and the section's length.
        const FIXED: usize = BEFORE + 4 + 4 + 8;
        self.before = self.before.saturating_add(self.interfaces.len() as u32);
        self.interfaces.clear();
        let options = block.get(FIXED..block.len() - BEHIND).unwrap_or_default();
        self.comment = text_of(Options::new(options, self.order), OptionCode::COMMENT);
        self.statistics = None;
    }

    /// Interface Statistics Block (4.6).
    fn count(&mut self, body: &[u8]) {
        /// Interface, and time in two halves.
        const FIXED: usize = 12;
        let options = body.get(FIXED..).unwrap_or_default();
        let comments = texts_of(Options::new(options, self.order), OptionCode::COMMENT);
        if comments.is_some() {
            self.statistics = comments;
        }
    }

    /// Interface Description Block (4.2).
    fn describe(&mut self, body: &[u8], offset: u64) -> Result<(), ReadError> {
        /// Link type, reserved, and snap length.
        const FIXED: usize = 8;
        let damaged = |what| ReadError::Damaged { offset, what };
        let fields = self.order.u16(body, 0).zip(self.order.u32(body, 4));
        let (link_type, snap_length) = fields.ok_or_else(|| damaged("an interface cut short"))?;
        if self.interfaces.len() == MAX_INTERFACES {
            return Err(damaged("more than 65536 interfaces"));
        }
        let options = Options::new(body.get(FIXED..).unwrap_or_default(), self.order);
        let interface = Interface {
            link_type,
            snap_length,
            name: text_of(options, OptionCode::IF_NAME),
            number: self.before.saturating_add(self.interfaces.len() as u32),
        };
        self.interfaces
            .push((interface, Clock::of(options, self.order)));
        Ok(())
    }

    /// Enhanced Packet Block (4.3).
    #[inline]
    fn enhanced(&mut self, body: &[u8]) -> Option<InBody> {
        /// Interface, time in two halves, captured and wire length.
        const FIXED: usize = 20;
        let fixed = body.first_chunk::<FIXED>()?;
        let word = |at| self.order.u32(fixed, at);
        let interface = word(0)?;
        let ticks = u64::from(word(4)?) << 32 | u64::from(word(8)?);
        let (captured, wire_len) = (word(12)? as usize, word(16)?);
        self.at(interface, ticks)?;
        in_body(body, FIXED, captured, wire_len)
    }

    /// Packet Block (appendix A), without its count of drops.
    fn obsolete(&mut self, body: &[u8]) -> Option<InBody> {
        /// Interface, drops, time in two halves, captured and wire length.
        const FIXED: usize = 20;
        let word = |at| self.order.u32(body, at);
        let interface = u32::from(self.order.u16(body, 0)?);
        let ticks = u64::from(word(4)?) << 32 | u64::from(word(8)?);
        let (captured, wire_len) = (word(12)? as usize, word(16)?);
        self.at(interface, ticks)?;
        in_body(body, FIXED, captured, wire_len)
    }

    /// Simple Packet Block (4.4): of the first interface, and without a time.
    fn simple(&mut self, body: &[u8]) -> Option<InBody> {
        /// The wire length.
        const FIXED: usize = 4;
        let wire_len = self.order.u32(body, 0)?;
        let limit = match self.interfaces.first()?.0.snap_length {
            0 => u32::MAX,
            limit => limit,
        };
        self.current = 0;
        in_body(body, FIXED, wire_len.min(limit) as usize, wire_len)
    }

    /// Takes over a packet's interface and time.
    #[inline]
    fn at(&mut self, interface: u32, ticks: u64) -> Option<()> {
        let number = usize::try_from(interface).ok()?;
        let (_, clock) = self.interfaces.get(number)?;
        self.time = clock.nanoseconds(ticks);
        self.current = number;
        Some(())
    }
}

/// A packet in the body of its block.
struct InBody {
    bytes: Range<usize>,
    wire_len: u32,
}

#[inline]
fn in_body(body: &[u8], at: usize, captured: usize, wire_len: u32) -> Option<InBody> {
    if captured > MAX_PACKET || at + captured > body.len() {
        return None;
    }
    Some(InBody {
        bytes: at..at + captured,
        wire_len,
    })
}

/// The byte order of a section, by its header.
fn order_of(block: &[u8]) -> Option<Order> {
    let orders = [Order::Little, Order::Big];
    orders
        .into_iter()
        .find(|order| order.u32(block, BEFORE) == Some(BYTE_ORDER))
}

/// The value of the first option of a kind, if it is text.
fn text_of(mut options: Options<'_>, wanted: OptionCode) -> Option<String> {
    let (_, text) = options.find(|(code, _)| *code == wanted)?;
    text_in(text).map(str::to_owned)
}

/// The values of all options of a kind that are text, one a line, while they fit.
fn texts_of(options: Options<'_>, wanted: OptionCode) -> Option<String> {
    let of_kind = options.filter(|(code, _)| *code == wanted);
    let texts = of_kind.filter_map(|(_, text)| text_in(text));
    texts.fold(None, |all: Option<String>, text| match all {
        None => Some(text.to_owned()),
        Some(all) if all.len() + text.len() < MAX_TEXTS => Some(all + "\n" + text),
        full => full,
    })
}

fn text_in(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    Some(text.trim_end_matches('\0'))
}
