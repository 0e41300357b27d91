//! What passes the interfaces of a simulated host: conversations over a few four-tuples, forged
//! packets, and ring items that are none.

use fastrand::Rng;
use model::WallNanos;
use packet_headers_common::record::{
    FLAG_EGRESS, FLAG_FROM_LOW, FLAG_PRIMARY_TAP, FLAG_RAW_IP, FLAG_VLAN, RECORD_HEADER_LEN,
    TCP_ACK,
};
use packet_headers_common::{Endpoint, FlowKey, LinkType};

/// The number of a packet: each packet of a history has one of its own, and its headers have it.
pub(crate) type Number = u32;

/// The offset of the acknowledgment number, which is the packet's number, in a TCP header.
const NUMBER_AT: usize = 8;

/// The length of an Ethernet header, and of the addresses in it.
const ETHERNET: usize = 14;
const ADDRESSES: usize = 12;

/// A four-tuple, the ends of which talk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tuple {
    pub(crate) local: Endpoint,
    pub(crate) remote: Endpoint,
    link: LinkType,
    is_v6: bool,
    /// Distinguishes it from all others of a history.
    index: u16,
}

impl Tuple {
    /// The tuple of this index; what it is like follows from that.
    pub(crate) const fn new(index: u16) -> Self {
        let is_v6 = index % 3 == 1;
        let link = if index % 4 == 2 {
            LinkType::RawIp
        } else {
            LinkType::Ethernet
        };
        let (local, remote) = if is_v6 {
            let at = 0xfd00 << 48;
            (
                Endpoint::v6([at, 1], 443),
                Endpoint::v6([at, 2], 40_000 + index),
            )
        } else {
            let port = 40_000 + index;
            (
                Endpoint::v4([192, 0, 2, 1], 443),
                Endpoint::v4([192, 0, 2, 2], port),
            )
        };
        Self {
            local,
            remote,
            link,
            is_v6,
            index,
        }
    }

    pub(crate) const fn key(&self) -> FlowKey {
        FlowKey::new(self.local, self.remote)
    }
}

/// What a packet is to be like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// When it passes, by the boot clock.
    pub(crate) at: u64,
    /// Whether the host sends it.
    pub(crate) sent: bool,
    pub(crate) flags: u8,
    pub(crate) sequence: u32,
    /// The interface.
    pub(crate) interface: u32,
}

/// A packet that passed: what a file must have of it, and when it passed.
#[derive(Debug, Clone)]
pub(crate) struct Passed {
    pub(crate) key: FlowKey,
    pub(crate) at: u64,
    /// Its headers as a file has them.
    pub(crate) headers: Vec<u8>,
    /// The run of the daemon that it came to.
    pub(crate) run: usize,
}

/// The ring item of a packet, and its headers as a file has them.
pub(crate) fn packet(
    tuple: &Tuple,
    shape: Shape,
    number: Number,
    random: &mut Rng,
) -> (Vec<u8>, Vec<u8>) {
    let (mut headers, l3) = link(tuple);
    let options = 4 * random.usize(0..4);
    network(tuple, shape.sent, &mut headers);
    let l4 = headers.len();
    transport(tuple, shape, (number, options), &mut headers);
    let tag = (tuple.link == LinkType::Ethernet && random.u8(0..10) == 0).then_some(7u16);
    let mut item = vec![0; RECORD_HEADER_LEN];
    let mut put = |at: usize, bytes: &[u8]| item[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &shape.at.to_ne_bytes());
    put(
        8,
        &(headers.len() as u32 + random.u32(0..1400)).to_ne_bytes(),
    );
    put(12, &shape.interface.to_ne_bytes());
    put(16, &(headers.len() as u16).to_ne_bytes());
    put(18, &(l3 as u16).to_ne_bytes());
    put(20, &(l4 as u16).to_ne_bytes());
    if let Some(tag) = tag {
        put(22, &tag.to_ne_bytes());
    }
    let at_primary = if random.u8(0..20) == 0 {
        FLAG_PRIMARY_TAP
    } else {
        0
    };
    let (from, to) = ends(tuple, shape.sent);
    let flags = at_primary
        | (u8::from(FlowKey::new(from, to).is_low(&from)) * FLAG_FROM_LOW)
        | (u8::from(shape.sent) * FLAG_EGRESS)
        | (tuple.link as u8 * FLAG_RAW_IP)
        | (u8::from(tag.is_some()) * FLAG_VLAN);
    put(28, &[flags, shape.flags]);
    item.extend_from_slice(&headers);
    item.resize(item.len().next_multiple_of(8), 0);
    if let Some(tag) = tag {
        let [high, low] = tag.to_be_bytes();
        headers.splice(ADDRESSES..ADDRESSES, [0x81, 0x00, high, low]);
    }
    (item, headers)
}

/// A link header, and its length.
fn link(tuple: &Tuple) -> (Vec<u8>, usize) {
    if tuple.link == LinkType::RawIp {
        return (Vec::new(), 0);
    }
    let mut header = vec![2; ADDRESSES];
    header.extend(if tuple.is_v6 {
        [0x86, 0xdd]
    } else {
        [0x08, 0x00]
    });
    (header, ETHERNET)
}

fn network(tuple: &Tuple, sent: bool, out: &mut Vec<u8>) {
    let (from, to) = ends(tuple, sent);
    if tuple.is_v6 {
        out.extend_from_slice(&[0x60, 0, 0, 0, 0, 20, 6, 64]);
        out.extend_from_slice(&from.octets());
        out.extend_from_slice(&to.octets());
    } else {
        out.extend_from_slice(&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0]);
        out.extend_from_slice(&from.octets()[12..]);
        out.extend_from_slice(&to.octets()[12..]);
    }
}

fn transport(tuple: &Tuple, shape: Shape, (number, options): (Number, usize), out: &mut Vec<u8>) {
    let (from, to) = ends(tuple, shape.sent);
    out.extend_from_slice(&from.port().to_be_bytes());
    out.extend_from_slice(&to.port().to_be_bytes());
    out.extend_from_slice(&shape.sequence.to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(&[((5 + options / 4) as u8) << 4, shape.flags]);
    out.extend_from_slice(&tuple.index.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend(std::iter::repeat_n(1, options));
}

const fn ends(tuple: &Tuple, sent: bool) -> (Endpoint, Endpoint) {
    if sent {
        (tuple.local, tuple.remote)
    } else {
        (tuple.remote, tuple.local)
    }
}

/// The number that is in the headers of a packet, if they are those of one.
pub(crate) fn number(headers: &[u8]) -> Option<Number> {
    let tcp = [14 + 20, 14 + 40, 18 + 20, 18 + 40, 20, 40]
        .into_iter()
        .find(|&l4| {
            let ip = match l4 {
                20 | 40 => 0,
                34 | 54 => 14,
                _ => 18,
            };
            let Some(&first) = headers.get(ip) else {
                return false;
            };
            let ethertype = match ip {
                0 => None,
                ip => headers.get(ip - 2..ip),
            };
            match (l4 - ip, first) {
                (20, 0x45) => ethertype.is_none_or(|it| it == [8, 0]),
                (40, 0x60) => ethertype.is_none_or(|it| it == [0x86, 0xdd]),
                _ => false,
            }
        })?;
    let number = headers.get(tcp + NUMBER_AT..)?.first_chunk()?;
    Some(u32::from_be_bytes(*number))
}

/// A ring item that is none.
pub(crate) fn garbage(random: &mut Rng) -> Vec<u8> {
    let tuple = Tuple::new(0);
    let shape = Shape {
        at: 0,
        sent: false,
        flags: TCP_ACK,
        sequence: 0,
        interface: 2,
    };
    let (mut item, headers) = packet(&tuple, shape, 0, random);
    match random.u8(0..4) {
        0 => item.truncate(random.usize(0..RECORD_HEADER_LEN)),
        1 => item.truncate(RECORD_HEADER_LEN + random.usize(0..headers.len().min(40))),
        2 => item[16..18].copy_from_slice(&random.u16(200..).to_ne_bytes()),
        _ => item[20..22].copy_from_slice(&random.u16(100..).to_ne_bytes()),
    }
    item
}

/// The time of the wall clock at a moment of the boot clock.
pub(crate) const fn wall(at: u64, offset: i64) -> WallNanos {
    WallNanos(at.saturating_add_signed(offset))
}
