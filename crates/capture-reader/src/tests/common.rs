//! Captures made by hand, and what is read from them.

use std::path::Path;

use crate::{Buffer, Packet, ReadError, for_each_capture};

/// The order of bytes in numbers.
#[derive(Clone, Copy)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    fn put(self, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Little => out.extend_from_slice(bytes),
            Self::Big => out.extend(bytes.iter().rev()),
        }
    }

    pub(super) fn u16(self, number: u16, out: &mut Vec<u8>) {
        self.put(&number.to_le_bytes(), out);
    }

    pub(super) fn u32(self, number: u32, out: &mut Vec<u8>) {
        self.put(&number.to_le_bytes(), out);
    }

    pub(super) fn u64(self, number: u64, out: &mut Vec<u8>) {
        self.put(&number.to_le_bytes(), out);
    }
}

/// A classic file of packets: seconds, fraction, wire length and bytes.
pub(super) fn classic(
    order: Order,
    magic: u32,
    link_type: u32,
    packets: &[(u32, u32, u32, &[u8])],
) -> Vec<u8> {
    let mut out = Vec::new();
    order.u32(magic, &mut out);
    order.u16(2, &mut out);
    order.u16(4, &mut out);
    order.u64(0, &mut out);
    order.u32(262_144, &mut out);
    order.u32(link_type, &mut out);
    for (seconds, fraction, wire_len, bytes) in packets {
        for number in [*seconds, *fraction, bytes.len() as u32, *wire_len] {
            order.u32(number, &mut out);
        }
        out.extend_from_slice(bytes);
    }
    out
}

pub(super) type Opts = Vec<(u16, Vec<u8>)>;

/// A block of pcapng.
pub(super) enum Block {
    Section(Option<&'static str>),
    Interface {
        link_type: u16,
        snap: u32,
        options: Opts,
    },
    Packet {
        interface: u32,
        ticks: u64,
        wire_len: u32,
        data: Vec<u8>,
        options: Opts,
    },
    Simple {
        wire_len: u32,
        data: Vec<u8>,
    },
    Obsolete {
        interface: u16,
        ticks: u64,
        wire_len: u32,
        data: Vec<u8>,
    },
    Statistics(&'static [&'static str]),
    Other(u32),
}

pub(super) fn pcapng(order: Order, blocks: &[Block]) -> Vec<u8> {
    let mut out = Vec::new();
    for block in blocks {
        let mut body = Vec::new();
        let kind = block.body(order, &mut body);
        let total = body.len() as u32 + 12;
        order.u32(kind, &mut out);
        order.u32(total, &mut out);
        out.extend_from_slice(&body);
        order.u32(total, &mut out);
    }
    out
}

impl Block {
    fn body(&self, order: Order, out: &mut Vec<u8>) -> u32 {
        match self {
            Self::Section(comment) => {
                section(order, *comment, out);
                0x0a0d_0d0a
            }
            Self::Interface {
                link_type,
                snap,
                options: given,
            } => {
                order.u16(*link_type, out);
                order.u16(0, out);
                order.u32(*snap, out);
                options(order, given, out);
                1
            }
            Self::Packet {
                interface,
                ticks,
                wire_len,
                data,
                options: given,
            } => {
                order.u32(*interface, out);
                time(order, *ticks, out);
                order.u32(data.len() as u32, out);
                order.u32(*wire_len, out);
                padded(data, out);
                options(order, given, out);
                6
            }
            Self::Simple { wire_len, data } => {
                order.u32(*wire_len, out);
                padded(data, out);
                3
            }
            Self::Obsolete {
                interface,
                ticks,
                wire_len,
                data,
            } => {
                order.u16(*interface, out);
                order.u16(0xffff, out);
                time(order, *ticks, out);
                order.u32(data.len() as u32, out);
                order.u32(*wire_len, out);
                padded(data, out);
                2
            }
            Self::Statistics(comments) => {
                statistics(order, comments, out);
                5
            }
            Self::Other(kind) => {
                padded(b"something else", out);
                *kind
            }
        }
    }
}

fn statistics(order: Order, comments: &[&str], out: &mut Vec<u8>) {
    order.u32(0, out);
    time(order, 9, out);
    let mut all: Opts = vec![(4, vec![0; 8])];
    all.extend(
        comments
            .iter()
            .map(|comment| (1, comment.as_bytes().to_vec())),
    );
    options(order, &all, out);
}

fn section(order: Order, comment: Option<&str>, out: &mut Vec<u8>) {
    order.u32(0x1a2b_3c4d, out);
    order.u16(1, out);
    order.u16(0, out);
    order.u64(u64::MAX, out);
    if let Some(comment) = comment {
        options(order, &[(1, comment.as_bytes().to_vec())], out);
    }
}

fn time(order: Order, ticks: u64, out: &mut Vec<u8>) {
    order.u32((ticks >> 32) as u32, out);
    order.u32(ticks as u32, out);
}

fn padded(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn options(order: Order, options: &[(u16, Vec<u8>)], out: &mut Vec<u8>) {
    if options.is_empty() {
        return;
    }
    for (code, value) in options {
        order.u16(*code, out);
        order.u16(value.len() as u16, out);
        padded(value, out);
    }
    order.u32(0, out);
}

/// A packet as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) time: i64,
    pub(super) wire_len: u32,
    pub(super) bytes: Vec<u8>,
    pub(super) link_type: u16,
    pub(super) interface: u32,
}

/// All packets of a file, and why there are no more if that is not its end.
pub(super) fn packets(file: &[u8]) -> (Vec<Read>, Option<ReadError>) {
    let mut all = Vec::new();
    let end = read(file, |_, packet| {
        all.push(Read {
            time: packet.time,
            wire_len: packet.wire_len,
            bytes: packet.bytes.to_vec(),
            link_type: packet.interface.link_type,
            interface: packet.interface.number,
        });
    });
    (all, end)
}

/// Shows all packets of a file, with the comment of their section.
pub(super) fn read(
    file: &[u8],
    mut show: impl FnMut(Option<&str>, Packet<'_>),
) -> Option<ReadError> {
    let mut buffer = Buffer::default();
    let mut end = None;
    let whole = for_each_capture(
        Box::new(file),
        Path::new("file.pcap"),
        &mut buffer,
        &mut |member| {
            let mut capture = match member.capture {
                Ok(capture) => capture,
                Err(error) => {
                    end = Some(error);
                    return Ok(());
                }
            };
            loop {
                let comment = capture.comment().map(str::to_owned);
                match capture.next() {
                    Ok(Some(packet)) => show(comment.as_deref(), packet),
                    Ok(None) => return Ok(()),
                    Err(error) => {
                        assert!(matches!(capture.next(), Ok(None)), "there is an end to it");
                        end = Some(error);
                        return Ok(());
                    }
                }
            }
        },
    );
    end.or(whole.err())
}

/// The time of a packet of an interface with these options.
pub(super) fn time_of(ticks: u64, options: Opts) -> i64 {
    let blocks = [
        Block::Section(None),
        Block::Interface {
            link_type: 1,
            snap: 0,
            options,
        },
        Block::Packet {
            interface: 0,
            ticks,
            wire_len: 0,
            data: vec![],
            options: vec![],
        },
    ];
    let (packets, end) = packets(&pcapng(Order::Little, &blocks));
    assert!(end.is_none(), "{end:?}");
    packets[0].time
}
