//! Covers a packet: the connection's own headers, and what they are carried in.
//!
//! What stands before the connection's IP header is walked from the link layer on. Where the walk
//! does not end at that header, it was misled, and all that it has seen is zeroed.

use packet_headers_common::LinkType;

use super::{Disguise, Layers, ip, tcp};

/// Bytes of an Ethernet header, and of the addresses that it begins with.
const ETHERNET: usize = 14;
const ETHERNET_ADDRESSES: usize = 12;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;
const ETHERTYPE_OLD_QINQ: u16 = 0x9100;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_MPLS: u16 = 0x8847;
const ETHERTYPE_MPLS_UPSTREAM: u16 = 0x8848;
const ETHERTYPE_PPPOE: u16 = 0x8864;
const ETHERTYPE_PPP: u16 = 0x880b;
const ETHERTYPE_ETHERNET: u16 = 0x6558;

const PROTOCOL_IPV4: u8 = 4;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_IPV6: u8 = 41;
const PROTOCOL_GRE: u8 = 47;
const PROTOCOL_ETHERIP: u8 = 97;
const PROTOCOL_MPLS: u8 = 137;
const PROTOCOL_ETHERNET: u8 = 143;

/// The ports that IANA gives, and the one that Linux took for VXLAN before there was one.
const PORT_VXLAN: u16 = 4789;
const PORT_LINUX_VXLAN: u16 = 8472;
const PORT_VXLAN_GPE: u16 = 4790;
const PORT_GENEVE: u16 = 6081;
const PORT_MPLS: u16 = 6635;

const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;
const PPP_MPLS: u16 = 0x0281;

/// The label that says that the next one is a hash of what is carried (RFC 6790).
const ENTROPY_INDICATOR: u32 = 7;

/// What comes next, in the name space of what came before.
#[derive(Clone, Copy)]
enum Next {
    Ethernet,
    EtherType(u16),
    Protocol(u8),
    Port(u16),
    Ppp,
}

/// What comes behind a header, and how many bytes the header has.
type Step = Option<(Next, usize)>;

/// Covers a packet's headers.
pub(super) fn cover(headers: &mut [u8], layers: Layers, disguise: &Disguise) {
    // The record ends before its packet's TCP header begins.
    let is_cut = layers.l4 > headers.len();
    let l3 = layers.l3.min(headers.len());
    let (carriers, rest) = headers.split_at_mut(l3);
    let l4 = layers.l4.saturating_sub(l3).min(rest.len());
    let (network, transport) = rest.split_at_mut(l4);

    let first = match layers.link_type {
        LinkType::Ethernet => Next::Ethernet,
        LinkType::RawIp => Next::EtherType(ETHERTYPE_IPV4),
    };
    if !walk(carriers, first, disguise) {
        forget(carriers, layers.link_type);
    }
    if ip::cover(network, disguise) != Some((PROTOCOL_TCP, network.len())) {
        // Of a packet that is cut nothing tells whether what precedes the end was understood.
        let kept = if is_cut { ip::fixed(network) } else { 0 };
        network[kept..].fill(0);
    }
    tcp::cover(transport);
}

/// Covers header after header. Whether an IP header comes next when all are covered.
fn walk(mut carriers: &mut [u8], mut next: Next, disguise: &Disguise) -> bool {
    while !carriers.is_empty() {
        let Some((then, length)) = step(next, carriers, disguise) else {
            return false;
        };
        // No header is empty, so it ends.
        let Some(rest) = carriers.get_mut(length.max(1)..) else {
            return false;
        };
        (next, carriers) = (then, rest);
    }
    matches!(
        next,
        Next::EtherType(ETHERTYPE_IPV4 | ETHERTYPE_IPV6)
            | Next::Protocol(PROTOCOL_IPV4 | PROTOCOL_IPV6)
    )
}

/// Zeroes all but the EtherType of the link layer.
fn forget(carriers: &mut [u8], link_type: LinkType) {
    let kept = match link_type {
        LinkType::Ethernet if carriers.len() >= ETHERNET => ETHERNET_ADDRESSES..ETHERNET,
        LinkType::Ethernet | LinkType::RawIp => 0..0,
    };
    carriers[..kept.start].fill(0);
    carriers[kept.end..].fill(0);
}

fn step(next: Next, bytes: &mut [u8], disguise: &Disguise) -> Step {
    match next {
        Next::Ethernet
        | Next::EtherType(ETHERTYPE_ETHERNET)
        | Next::Protocol(PROTOCOL_ETHERNET) => ethernet(bytes),
        Next::EtherType(ETHERTYPE_VLAN | ETHERTYPE_SERVICE_VLAN | ETHERTYPE_OLD_QINQ) => {
            Some((Next::EtherType(number(bytes, 2)?), 4))
        }
        Next::EtherType(ETHERTYPE_IPV4 | ETHERTYPE_IPV6)
        | Next::Protocol(PROTOCOL_IPV4 | PROTOCOL_IPV6) => outer_ip(bytes, disguise),
        Next::EtherType(ETHERTYPE_MPLS | ETHERTYPE_MPLS_UPSTREAM)
        | Next::Protocol(PROTOCOL_MPLS)
        | Next::Port(PORT_MPLS) => mpls(bytes),
        // RFC 2516, 4: version, code, session and length.
        Next::EtherType(ETHERTYPE_PPPOE) => Some((Next::Ppp, 6)),
        Next::EtherType(ETHERTYPE_PPP) | Next::Ppp => ppp(bytes),
        Next::Protocol(PROTOCOL_GRE) => gre(bytes),
        Next::Protocol(PROTOCOL_UDP) => udp(bytes),
        // RFC 3378, 3: a version and nothing.
        Next::Protocol(PROTOCOL_ETHERIP) => Some((Next::Ethernet, 2)),
        // RFC 7348, 5: flags, network identifier, and reserved bytes.
        Next::Port(PORT_VXLAN | PORT_LINUX_VXLAN) => Some((Next::Ethernet, 8)),
        Next::Port(PORT_VXLAN_GPE) => vxlan_gpe(bytes),
        Next::Port(PORT_GENEVE) => geneve(bytes),
        Next::EtherType(_) | Next::Protocol(_) | Next::Port(_) => None,
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u16::from_be_bytes)
}

fn ethernet(bytes: &mut [u8]) -> Step {
    bytes.get_mut(..ETHERNET_ADDRESSES)?.fill(0);
    let ethertype = number(bytes, ETHERNET_ADDRESSES)?;
    Some((Next::EtherType(ethertype), ETHERNET))
}

fn outer_ip(bytes: &mut [u8], disguise: &Disguise) -> Step {
    let (protocol, length) = ip::cover(bytes, disguise)?;
    if let [0x60..=0x6f, label @ ..] = bytes {
        // A tunnel's flow label is a hash of what it carries (RFC 6438).
        *label.first_mut()? &= 0xf0;
        label.get_mut(1..3)?.fill(0);
    }
    Some((Next::Protocol(protocol), length))
}

/// RFC 3032. What is carried tells itself by its first four bits (RFC 4928), and is Ethernet behind
/// a control word (RFC 4448) when these are zero.
fn mpls(bytes: &mut [u8]) -> Step {
    let (mut length, mut is_entropy) = (0, false);
    loop {
        let entry: &mut [u8; 4] = bytes.get_mut(length..)?.first_chunk_mut()?;
        if is_entropy {
            // 20 bits of label.
            entry[..2].fill(0);
            entry[2] &= 0x0f;
        }
        is_entropy = u32::from_be_bytes(*entry) >> 12 == ENTROPY_INDICATOR;
        length += 4;
        if entry[2] & 1 == 1 {
            break;
        }
    }
    match bytes.get(length).map(|first| first >> 4) {
        // Behind the end is the connection's own header.
        None | Some(4 | 6) => Some((Next::EtherType(ETHERTYPE_IPV4), length)),
        Some(0) => {
            // Zeroed, as it could also be the beginning of an Ethernet address.
            bytes.get_mut(length..length + 4)?.fill(0);
            Some((Next::Ethernet, length + 4))
        }
        Some(_) => None,
    }
}

/// RFC 1661, 2, with or without the address and control bytes of HDLC (RFC 1662).
fn ppp(bytes: &[u8]) -> Step {
    let hdlc = if number(bytes, 0)? == 0xff03 { 2 } else { 0 };
    let ethertype = match number(bytes, hdlc)? {
        PPP_IPV4 => ETHERTYPE_IPV4,
        PPP_IPV6 => ETHERTYPE_IPV6,
        PPP_MPLS => ETHERTYPE_MPLS,
        _ => return None,
    };
    Some((Next::EtherType(ethertype), hdlc + 2))
}

/// RFC 2784 with key and sequence number (RFC 2890), and the enhanced one of RFC 2637.
fn gre(bytes: &mut [u8]) -> Step {
    let flags = number(bytes, 0)?;
    let ethertype = number(bytes, 2)?;
    let [checksum, routing, key, sequence] = [15, 14, 13, 12].map(|bit| flags >> bit & 1 == 1);
    let acknowledgment = flags & 0x0087 == 0x0081;
    if routing || (flags & 7 != 0 && ethertype != ETHERTYPE_PPP) {
        return None;
    }
    let mut length = 4;
    if checksum {
        bytes.get_mut(length..length + 4)?.fill(0);
        length += 4;
    }
    if key {
        length += 4;
        if ethertype == ETHERTYPE_ETHERNET {
            // The last byte may be a hash of what is carried (NVGRE: RFC 7637, 3.2).
            *bytes.get_mut(length - 1)? = 0;
        }
    }
    length += 4 * (usize::from(sequence) + usize::from(acknowledgment));
    Some((Next::EtherType(ethertype), length))
}

/// The source port of a tunnel is a hash of what it carries (RFC 7348, 5), and the checksum covers
/// everything.
fn udp(bytes: &mut [u8]) -> Step {
    let header: &mut [u8; 8] = bytes.first_chunk_mut()?;
    header[..2].fill(0);
    header[6..].fill(0);
    Some((Next::Port(number(bytes, 2)?), 8))
}

/// draft-ietf-nvo3-vxlan-gpe, 3: the last of the reserved bytes before the network identifier says
/// what comes, when the P flag is set.
fn vxlan_gpe(bytes: &[u8]) -> Step {
    let next = match (bytes.first()? & 0x04 != 0, bytes.get(3)?) {
        (false, _) | (true, 3) => Next::Ethernet,
        (true, 1 | 2) => Next::EtherType(ETHERTYPE_IPV4),
        (true, _) => return None,
    };
    Some((next, 8))
}

/// RFC 8926, 3.4 and 3.5. Options keep class, type and length.
fn geneve(bytes: &mut [u8]) -> Step {
    let ethertype = number(bytes, 2)?;
    let length = 8 + usize::from(bytes.first()? & 0x3f) * 4;
    let mut options = bytes.get_mut(8..length)?;
    while let Some(data) = options
        .get_mut(3)
        .map(|length| usize::from(*length & 0x1f) * 4)
    {
        options.get_mut(4..4 + data)?.fill(0);
        options = options.get_mut(4 + data..)?;
    }
    Some((Next::EtherType(ethertype), length))
}
