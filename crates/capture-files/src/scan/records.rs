//! Follows the plain content of a file from record to record, in whatever pieces it comes.

use super::pcap::Pcap;
use super::pcapng::Pcapng;
use super::{STEP, Whole};
use crate::format::Format;

/// The longest header, record or block that is followed: room for a block with options and
/// comments.
pub(super) const MAX_ITEM: usize = 64 << 10;

/// What a piece of content begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    /// A header or record of this length.
    Whole { length: usize, packets: u64 },
    /// The beginning of one, as far as it goes.
    Torn,
    /// Something that we do not write, and why.
    Wrong(&'static str),
}

/// What one format's content has to be.
enum Rules {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// What was found so far.
pub(super) struct Records {
    rules: Rules,
    /// What is not a whole item yet: less than [`MAX_ITEM`].
    rest: Vec<u8>,
    whole: Whole,
    stopped: bool,
    foreign: Option<&'static str>,
}

impl Records {
    pub(super) fn new(format: Format) -> Self {
        Self {
            rules: match format {
                Format::Pcap => Rules::Pcap(Pcap::default()),
                Format::Pcapng => Rules::Pcapng(Pcapng::default()),
            },
            rest: Vec::with_capacity(STEP),
            whole: Whole {
                bytes: 0,
                packets: 0,
            },
            stopped: false,
            foreign: None,
        }
    }

    /// Takes the next piece.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(rest) = self.rest.get(at..).filter(|_| !self.stopped) {
            let item = match &mut self.rules {
                Rules::Pcap(rules) => rules.next(rest),
                Rules::Pcapng(rules) => rules.next(rest),
            };
            match item {
                Item::Whole { length, packets } => {
                    at += length;
                    self.whole.bytes += length as u64;
                    self.whole.packets += packets;
                }
                Item::Torn => break,
                Item::Wrong(why) => {
                    self.stopped = true;
                    if !self.knows_its_own() {
                        self.foreign = Some(why);
                    }
                }
            }
        }
        self.rest.drain(..at.min(self.rest.len()));
    }

    /// Whether enough was seen to know that the file is ours.
    fn knows_its_own(&self) -> bool {
        match &self.rules {
            Rules::Pcap(rules) => rules.begun(),
            Rules::Pcapng(rules) => rules.begun(),
        }
    }

    /// Declares that the file is not ours, for a reason outside its content.
    pub(super) const fn refuse(&mut self, why: &'static str) {
        if self.foreign.is_none() {
            self.foreign = Some(why);
        }
    }

    /// Whether something differed from what we write: nothing behind it counts.
    pub(super) const fn stopped(&self) -> bool {
        self.stopped
    }

    /// Whether an item has begun that is not whole yet.
    pub(super) const fn waiting(&self) -> bool {
        !self.rest.is_empty()
    }

    /// The whole part of the plain content.
    pub(super) const fn whole(&self) -> Whole {
        self.whole
    }

    /// Why the file is not ours, if it is not.
    pub(super) const fn foreign(&self) -> Option<&'static str> {
        self.foreign
    }
}

/// The 16 bits at `at`, little endian.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_le_bytes(*field))
}

/// The 32 bits at `at`, little endian.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*field))
}
