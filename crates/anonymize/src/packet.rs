//! Anonymizes the headers of a packet: the connection's own, and the outer ones that carry it.
//!
//! The outer headers are walked from the link layer on. If the walk does not end exactly where the
//! connection's IP header begins, it has misread some header, so all outer headers are zeroed.

use crate::icmp::{self, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP};
use crate::{FlowAnonymizer, LinkType, ip, tcp, udp};

/// Where in a packet the headers of its connection begin, in bytes from the packet's first byte.
///
/// The crate's documentation says [what depends on the offsets](crate#offsets).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layers {
    /// What the packet begins with.
    pub link_type: LinkType,
    /// Offset of the connection's IP header: the innermost, if the packet is in a tunnel.
    pub l3: usize,
    /// Offset of the TCP header; or of an ICMP or UDP header, as the IP header says.
    pub l4: usize,
}

impl FlowAnonymizer {
    /// Anonymizes the headers of one packet in place: from the link layer to the end of the TCP
    /// header, of the one that an ICMP error quotes, or of what QUIC shows behind a UDP header, as [`Layers`]
    /// describe them. Whatever is not understood is zeroed. The length does not change.
    ///
    /// The crate's documentation says [which offsets to give](crate#offsets), and what happens when
    /// they are wrong.
    pub fn anonymize_headers(&self, headers: &mut [u8], layers: Layers) {
        anonymize(headers, layers, self);
    }
}

/// Bytes of an Ethernet header, and of the addresses at its beginning.
const ETHERNET_LEN: usize = 14;
const ETHERNET_ADDRESSES_LEN: usize = 12;

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
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_IPV6: u8 = 41;
const PROTOCOL_GRE: u8 = 47;
const PROTOCOL_ETHERIP: u8 = 97;
const PROTOCOL_MPLS: u8 = 137;
const PROTOCOL_ETHERNET: u8 = 143;

/// Assigned by IANA, except the port that Linux used for VXLAN before one was assigned.
const PORT_VXLAN: u16 = 4789;
const PORT_LINUX_VXLAN: u16 = 8472;
const PORT_VXLAN_GPE: u16 = 4790;
const PORT_GENEVE: u16 = 6081;
const PORT_MPLS: u16 = 6635;

const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;
const PPP_MPLS: u16 = 0x0281;

/// The label that marks the next one as a hash of what is carried (RFC 6790).
const ENTROPY_INDICATOR: u32 = 7;

/// What the next header is, in the number space of the header before it.
#[derive(Clone, Copy)]
enum Next {
    Ethernet,
    EtherType(u16),
    Protocol(u8),
    Port(u16),
    Ppp,
}

/// What follows a header, and how many bytes the header has. None if it is not understood.
type Step = Option<(Next, usize)>;

/// Anonymizes the headers of a packet in place.
fn anonymize(headers: &mut [u8], layers: Layers, flow: &FlowAnonymizer) {
    // The headers end before the TCP header begins.
    let is_cut = layers.l4 > headers.len();
    let l3 = layers.l3.min(headers.len());
    let (outer, rest) = headers.split_at_mut(l3);
    let l4 = layers.l4.saturating_sub(l3).min(rest.len());
    let (network, transport) = rest.split_at_mut(l4);

    let first = match layers.link_type {
        LinkType::Ethernet => Next::Ethernet,
        LinkType::RawIp => Next::EtherType(ETHERTYPE_IPV4),
    };
    if !walk(outer, first, flow) {
        zero_link_header(outer, layers.link_type);
    }
    let version = network.first().map(|first| first >> 4);
    let carried = ip::anonymize(network, flow).filter(|(_, end)| *end == network.len());
    match (version, carried) {
        (Some(4), Some((PROTOCOL_ICMP, _))) => icmp::anonymize(transport, PROTOCOL_ICMP, flow),
        (Some(6), Some((PROTOCOL_ICMPV6, _))) => icmp::anonymize(transport, PROTOCOL_ICMPV6, flow),
        (_, Some((PROTOCOL_TCP, _))) => tcp::anonymize(transport),
        (_, Some((PROTOCOL_UDP, _))) => udp::anonymize(transport),
        _ => {
            // If the headers are cut, the extension headers cannot be confirmed to lead to TCP; only
            // the fixed part of the IP header is sure to be what it seems.
            let kept = if is_cut { ip::fixed_len(network) } else { 0 };
            network[kept..].fill(0);
            tcp::anonymize(transport);
        }
    }
}

/// Anonymizes header after header. Returns whether an IP header comes next after the last one.
fn walk(mut outer: &mut [u8], mut next: Next, flow: &FlowAnonymizer) -> bool {
    while !outer.is_empty() {
        let Some((then, length)) = step(next, outer, flow) else {
            return false;
        };
        // Each step consumes at least one byte, so the loop ends.
        let Some(rest) = outer.get_mut(length.max(1)..) else {
            return false;
        };
        (next, outer) = (then, rest);
    }
    matches!(
        next,
        Next::EtherType(ETHERTYPE_IPV4 | ETHERTYPE_IPV6)
            | Next::Protocol(PROTOCOL_IPV4 | PROTOCOL_IPV6)
    )
}

/// Zeroes all outer headers, except the EtherType of an Ethernet header.
fn zero_link_header(outer: &mut [u8], link_type: LinkType) {
    let kept = match link_type {
        LinkType::Ethernet if outer.len() >= ETHERNET_LEN => ETHERNET_ADDRESSES_LEN..ETHERNET_LEN,
        LinkType::Ethernet | LinkType::RawIp => 0..0,
    };
    outer[..kept.start].fill(0);
    outer[kept.end..].fill(0);
}

fn step(next: Next, bytes: &mut [u8], flow: &FlowAnonymizer) -> Step {
    match next {
        Next::Ethernet
        | Next::EtherType(ETHERTYPE_ETHERNET)
        | Next::Protocol(PROTOCOL_ETHERNET) => ethernet(bytes),
        Next::EtherType(ETHERTYPE_VLAN | ETHERTYPE_SERVICE_VLAN | ETHERTYPE_OLD_QINQ) => {
            Some((Next::EtherType(read_u16(bytes, 2)?), 4))
        }
        Next::EtherType(ETHERTYPE_IPV4 | ETHERTYPE_IPV6)
        | Next::Protocol(PROTOCOL_IPV4 | PROTOCOL_IPV6) => outer_ip(bytes, flow),
        Next::EtherType(ETHERTYPE_MPLS | ETHERTYPE_MPLS_UPSTREAM)
        | Next::Protocol(PROTOCOL_MPLS)
        | Next::Port(PORT_MPLS) => mpls(bytes),
        // RFC 2516, 4: version, code, session and length.
        Next::EtherType(ETHERTYPE_PPPOE) => Some((Next::Ppp, 6)),
        Next::EtherType(ETHERTYPE_PPP) | Next::Ppp => ppp(bytes),
        Next::Protocol(PROTOCOL_GRE) => gre(bytes),
        Next::Protocol(PROTOCOL_UDP) => tunnel_udp(bytes),
        // RFC 3378, 3: a version and reserved bits.
        Next::Protocol(PROTOCOL_ETHERIP) => Some((Next::Ethernet, 2)),
        // RFC 7348, 5: flags, network identifier and reserved bytes.
        Next::Port(PORT_VXLAN | PORT_LINUX_VXLAN) => Some((Next::Ethernet, 8)),
        Next::Port(PORT_VXLAN_GPE) => vxlan_gpe(bytes),
        Next::Port(PORT_GENEVE) => geneve(bytes),
        Next::EtherType(_) | Next::Protocol(_) | Next::Port(_) => None,
    }
}

fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u16::from_be_bytes)
}

fn ethernet(bytes: &mut [u8]) -> Step {
    bytes.get_mut(..ETHERNET_ADDRESSES_LEN)?.fill(0);
    let ethertype = read_u16(bytes, ETHERNET_ADDRESSES_LEN)?;
    Some((Next::EtherType(ethertype), ETHERNET_LEN))
}

fn outer_ip(bytes: &mut [u8], flow: &FlowAnonymizer) -> Step {
    let (protocol, length) = ip::anonymize(bytes, flow)?;
    if let [0x60..=0x6f, label @ ..] = bytes {
        // The flow label of a tunnel is a hash of what it carries (RFC 6438).
        *label.first_mut()? &= 0xf0;
        label.get_mut(1..3)?.fill(0);
    }
    Some((Next::Protocol(protocol), length))
}

/// RFC 3032. The first four bits of the payload say what it is (RFC 4928): an IP version, or zero
/// for a control word that Ethernet follows (RFC 4448).
fn mpls(bytes: &mut [u8]) -> Step {
    let (mut length, mut is_entropy) = (0, false);
    loop {
        let entry: &mut [u8; 4] = bytes.get_mut(length..)?.first_chunk_mut()?;
        if is_entropy {
            // The label is the first 20 bits.
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
        // The end of the outer headers: the connection's own IP header is next.
        None | Some(4 | 6) => Some((Next::EtherType(ETHERTYPE_IPV4), length)),
        Some(0) => {
            // Zero the control word: it could also be the beginning of a MAC address.
            bytes.get_mut(length..length + 4)?.fill(0);
            Some((Next::Ethernet, length + 4))
        }
        Some(_) => None,
    }
}

/// RFC 1661, 2, with or without the address and control bytes of HDLC (RFC 1662). A protocol number
/// whose first byte is odd has no second one (RFC 1661, 6.5).
fn ppp(bytes: &[u8]) -> Step {
    let hdlc = if bytes.starts_with(&[0xff, 0x03]) {
        2
    } else {
        0
    };
    let first = *bytes.get(hdlc)?;
    let (protocol, length) = if first & 1 == 0 {
        (read_u16(bytes, hdlc)?, 2)
    } else {
        (first.into(), 1)
    };
    let ethertype = match protocol {
        PPP_IPV4 => ETHERTYPE_IPV4,
        PPP_IPV6 => ETHERTYPE_IPV6,
        PPP_MPLS => ETHERTYPE_MPLS,
        _ => return None,
    };
    Some((Next::EtherType(ethertype), hdlc + length))
}

/// RFC 2784 with key and sequence number (RFC 2890), and the enhanced GRE of PPTP (RFC 2637).
fn gre(bytes: &mut [u8]) -> Step {
    let flags = read_u16(bytes, 0)?;
    let ethertype = read_u16(bytes, 2)?;
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
            // The last byte may be a hash of what is carried (FlowID of NVGRE: RFC 7637, 3.2).
            *bytes.get_mut(length - 1)? = 0;
        }
    }
    length += 4 * (usize::from(sequence) + usize::from(acknowledgment));
    Some((Next::EtherType(ethertype), length))
}

/// The source port of a tunnel is a hash of what it carries (RFC 7348, 5), and the checksum covers
/// all of it.
fn tunnel_udp(bytes: &mut [u8]) -> Step {
    let header: &mut [u8; 8] = bytes.first_chunk_mut()?;
    header[..2].fill(0);
    header[6..].fill(0);
    Some((Next::Port(read_u16(bytes, 2)?), 8))
}

/// draft-ietf-nvo3-vxlan-gpe, 3: if the P flag is set, the byte before the network identifier says
/// what follows.
fn vxlan_gpe(bytes: &[u8]) -> Step {
    let next = match (bytes.first()? & 0x04 != 0, bytes.get(3)?) {
        (false, _) | (true, 3) => Next::Ethernet,
        (true, 1 | 2) => Next::EtherType(ETHERTYPE_IPV4),
        (true, _) => return None,
    };
    Some((next, 8))
}

/// RFC 8926, 3.4 and 3.5. Options keep class, type and length; their data is zeroed.
fn geneve(bytes: &mut [u8]) -> Step {
    let ethertype = read_u16(bytes, 2)?;
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
