//! A strict reader of pcapng files (Internet-Draft draft-ietf-opsawg-pcapng) with one little-endian
//! section and times in nanoseconds.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// Block types.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;

/// Option codes: the comment of any block, and those of particular blocks.
const COMMENT: u16 = 1;
const INTERFACE_NAME: u16 = 2;
const TIME_RESOLUTION: u16 = 9;
const FLAGS: u16 = 2;

/// The direction of a packet, as the host that captured it sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Received.
    In,
    /// Sent.
    Out,
}

/// An interface where packets were captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The `LINKTYPE_` of its packets.
    pub link_type: u16,
    /// The most bytes captured of a packet; 0 for no limit.
    pub snaplen: u32,
    /// Its name.
    pub name: String,
}

/// A packet as it is in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawPacket {
    /// When it was captured: the time since 1970, in nanoseconds.
    pub time: Duration,
    /// Its length on the wire.
    pub wire_len: u32,
    /// The bytes of it that the file has.
    pub data: Vec<u8>,
    /// The index of its interface in the section.
    pub interface: usize,
    /// Its direction, if the file says it.
    pub direction: Option<Direction>,
}

/// The counters of one interface by option code: 4 for packets received, 5 dropped by the
/// interface, 6 accepted by a filter, 7 dropped by the operating system, 8 delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// The index of the interface in the section.
    pub interface: usize,
    /// The counters.
    pub counters: BTreeMap<u16, u64>,
    /// The comments.
    pub comments: Vec<String>,
}

/// A whole file: one section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// The comments in the section header.
    pub comments: Vec<String>,
    /// The interfaces, in the order of their indices.
    pub interfaces: Vec<Interface>,
    /// Every statistics block, with the number of packets before it.
    pub statistics: Vec<(usize, Statistics)>,
    /// The packets.
    pub packets: Vec<RawPacket>,
}

/// Whether these bytes begin like a pcapng file.
#[must_use]
pub fn is_pcapng(bytes: &[u8]) -> bool {
    bytes.starts_with(&SECTION.to_le_bytes())
}

/// Reads the bytes of a file.
///
/// # Errors
/// Anything that is incomplete or does not conform to the format.
pub fn parse(bytes: &[u8]) -> Result<Section> {
    let mut section = Section::default();
    let mut rest = bytes;
    let mut number = 0;
    while !rest.is_empty() {
        let at = || format!("block {number} at byte {}", bytes.len() - rest.len());
        let (kind, body, after) = block(rest).with_context(at)?;
        ensure!((number == 0) == (kind == SECTION), "{}: type {kind}", at());
        section.add(kind, body).with_context(at)?;
        rest = after;
        number += 1;
    }
    ensure!(number > 0, "an empty file");
    Ok(section)
}

/// The type and body of the first block, and the bytes behind it.
fn block(bytes: &[u8]) -> Result<(u32, &[u8], &[u8])> {
    let mut head = Fields(bytes);
    let (kind, length) = (head.u32()?, head.u32()? as usize);
    ensure!(length % 4 == 0 && length >= 12, "a length of {length}");
    let whole = bytes.get(..length).context("cut short")?;
    let (body, trailer) = whole[8..].split_at(length - 12);
    ensure!(trailer == &bytes[4..8], "its two lengths differ");
    Ok((kind, body, &bytes[length..]))
}

impl Section {
    fn add(&mut self, kind: u32, body: &[u8]) -> Result<()> {
        let mut fields = Fields(body);
        match kind {
            SECTION => {
                ensure!(fields.u32()? == 0x1a2b_3c4d, "not little-endian");
                ensure!((fields.u16()?, fields.u16()?) == (1, 0), "not version 1.0");
                ensure!(fields.take(8)? == [0xff; 8], "a section length");
                self.comments = fields.comments()?;
            }
            INTERFACE => self.interfaces.push(interface(fields)?),
            STATISTICS => {
                let interface = self.interface(fields.u32()?)?;
                fields.take(8)?;
                let (mut counters, mut comments) = (BTreeMap::new(), Vec::new());
                for (code, value) in fields.options()? {
                    if let (4..=8, Ok(value)) = (code, value.try_into()) {
                        counters.insert(code, u64::from_le_bytes(value));
                    } else if code == COMMENT {
                        comments.push(String::from_utf8(value.to_vec())?);
                    }
                }
                let statistics = Statistics {
                    interface,
                    counters,
                    comments,
                };
                self.statistics.push((self.packets.len(), statistics));
            }
            PACKET => {
                let interface = self.interface(fields.u32()?)?;
                self.packets.push(packet(interface, fields)?);
            }
            _ => bail!("the daemon writes no blocks of type {kind:#x}"),
        }
        Ok(())
    }

    fn interface(&self, number: u32) -> Result<usize> {
        let number = number as usize;
        ensure!(number < self.interfaces.len(), "no interface {number}");
        Ok(number)
    }
}

fn interface(mut fields: Fields<'_>) -> Result<Interface> {
    let (link_type, reserved) = (fields.u16()?, fields.u16()?);
    ensure!(reserved == 0, "reserved: {reserved}");
    let snaplen = fields.u32()?;
    let options = fields.options()?;
    let option = |code| options.iter().find(|option| option.0 == code);
    let resolution = option(TIME_RESOLUTION).map(|(_, value)| *value);
    ensure!(resolution == Some(&[9]), "times are not in nanoseconds");
    let (_, name) = option(INTERFACE_NAME).context("no name")?;
    Ok(Interface {
        link_type,
        snaplen,
        name: String::from_utf8(name.to_vec())?,
    })
}

fn packet(interface: usize, mut fields: Fields<'_>) -> Result<RawPacket> {
    let time = u64::from(fields.u32()?) << 32 | u64::from(fields.u32()?);
    let time = Duration::from_nanos(time);
    let (captured, wire_len) = (fields.u32()?, fields.u32()?);
    let data = fields.padded(captured as usize)?.to_vec();
    let options = fields.options()?;
    let flags = options.iter().find(|option| option.0 == FLAGS);
    let flags = flags.map(|(_, value)| -> Result<u32> {
        Ok(u32::from_le_bytes((*value).try_into().context("flags")?))
    });
    let direction = match flags.transpose()?.map(|flags| flags & 3) {
        Some(1) => Some(Direction::In),
        Some(2) => Some(Direction::Out),
        _ => None,
    };
    Ok(RawPacket {
        time,
        wire_len,
        data,
        interface,
        direction,
    })
}

/// The part of a block that is still to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).context("cut short")?;
        self.0 = rest;
        Ok(taken)
    }

    /// `len` bytes, which zeros pad to a multiple of four.
    fn padded(&mut self, len: usize) -> Result<&'a [u8]> {
        let taken = self.take(len)?;
        let padding = self.take(len.next_multiple_of(4) - len)?;
        ensure!(padding.iter().all(|byte| *byte == 0), "padding is not zero");
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.take(2)?.try_into()?))
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into()?))
    }

    /// The rest of the block: options and their end. A block without options has neither.
    fn options(&mut self) -> Result<Vec<(u16, &'a [u8])>> {
        let mut options = Vec::new();
        while !self.0.is_empty() {
            let (code, len) = (self.u16()?, self.u16()?);
            if code == 0 {
                ensure!(len == 0 && self.0.is_empty(), "bytes after the options");
                return Ok(options);
            }
            options.push((code, self.padded(len.into())?));
        }
        ensure!(options.is_empty(), "options without an end");
        Ok(options)
    }

    fn comments(&mut self) -> Result<Vec<String>> {
        let comments = self.options()?.into_iter();
        let comments = comments.filter(|(code, _)| *code == COMMENT);
        comments
            .map(|(_, text)| Ok(String::from_utf8(text.to_vec())?))
            .collect()
    }
}

#[cfg(test)]
mod tests;
