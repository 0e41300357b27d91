//! Reading pcapng files, strictly, as the Internet-Draft draft-ietf-opsawg-pcapng has them: one
//! little-endian section, times in nanoseconds.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

/// Block types.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;

/// Codes of options: the comment that any block may have, and those of one kind of block.
const COMMENT: u16 = 1;
const INTERFACE_NAME: u16 = 2;
const TIME_RESOLUTION: u16 = 9;
const FLAGS: u16 = 2;

/// Which way a packet went, by the host that captured it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Received.
    In,
    /// Sent.
    Out,
}

/// An interface that packets were captured at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// LINKTYPE_ of its packets.
    pub link_type: u16,
    /// Bytes of a packet at most; 0 for any number.
    pub snaplen: u32,
    /// Its name.
    pub name: String,
}

/// A packet as it is in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawPacket {
    /// Nanoseconds since 1970.
    pub time: u64,
    /// Its length on the wire.
    pub wire_len: u32,
    /// What the file has of it.
    pub data: Vec<u8>,
    /// Which of the section's interfaces it passed.
    pub interface: usize,
    /// Which way.
    pub way: Option<Way>,
}

/// What the counters of one interface say at the end, by option code: 4 is packets received, 5
/// dropped by the interface, 6 accepted by a filter, 7 dropped by the operating system, 8 delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// Which of the section's interfaces.
    pub interface: usize,
    /// The counters.
    pub counters: BTreeMap<u16, u64>,
}

/// A whole file: one section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// The section header's comments.
    pub comments: Vec<String>,
    /// The interfaces, in the order of their numbers.
    pub interfaces: Vec<Interface>,
    /// Every statistics block, and how many packets came before it.
    pub statistics: Vec<(usize, Statistics)>,
    /// The packets.
    pub packets: Vec<RawPacket>,
}

/// Whether bytes begin as a pcapng file does.
#[must_use]
pub fn is_pcapng(bytes: &[u8]) -> bool {
    bytes.starts_with(&SECTION.to_le_bytes())
}

/// Reads a file's bytes.
///
/// # Errors
/// Anything that is not whole, or not as the format has it.
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

/// The first block's type and body, and what follows it.
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
                let mut counters = BTreeMap::new();
                for (code, value) in fields.options()? {
                    if let (4..=8, Ok(value)) = (code, value.try_into()) {
                        counters.insert(code, u64::from_le_bytes(value));
                    }
                }
                let statistics = Statistics {
                    interface,
                    counters,
                };
                self.statistics.push((self.packets.len(), statistics));
            }
            PACKET => {
                let interface = self.interface(fields.u32()?)?;
                self.packets.push(packet(interface, fields)?);
            }
            _ => bail!("blocks of type {kind:#x} are not ours"),
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
    let (captured, wire_len) = (fields.u32()?, fields.u32()?);
    let data = fields.padded(captured as usize)?.to_vec();
    let options = fields.options()?;
    let flags = options.iter().find(|option| option.0 == FLAGS);
    let flags = flags.map(|(_, value)| -> Result<u32> {
        Ok(u32::from_le_bytes((*value).try_into().context("flags")?))
    });
    let way = match flags.transpose()?.map(|flags| flags & 3) {
        Some(1) => Some(Way::In),
        Some(2) => Some(Way::Out),
        _ => None,
    };
    Ok(RawPacket {
        time,
        wire_len,
        data,
        interface,
        way,
    })
}

/// What of a block is still to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).context("cut short")?;
        self.0 = rest;
        Ok(taken)
    }

    /// `len` bytes that are followed by zeros up to a multiple of four.
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

    /// The rest of the block: options and their end. A block without options has none of that.
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
