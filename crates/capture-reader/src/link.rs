//! Where the IP header is in a packet, by its link type (tcpdump.org/linktypes.html).

const NULL: u16 = 0;
const ETHERNET: u16 = 1;
const PPP: u16 = 9;
const PPP_HDLC: u16 = 50;
const RAW: u16 = 101;
/// As RAW, in files of systems that wrote their own number instead.
const DLT_RAW: u16 = 12;
const DLT_RAW_OPENBSD: u16 = 14;
const LOOP: u16 = 108;
const LINUX_SLL: u16 = 113;
const IPV4: u16 = 228;
const IPV6: u16 = 229;
const LINUX_SLL2: u16 = 276;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const PPPOE_SESSION: u16 = 0x8864;

/// How many VLAN tags are looked behind.
const MAX_TAGS: usize = 8;

/// The offset of the IP header; `None` if there is none, or the link type is not known.
#[inline]
pub(crate) fn ip_offset(link_type: u16, packet: &[u8]) -> Option<usize> {
    match link_type {
        ETHERNET => behind_ethertype(packet, 12),
        RAW | DLT_RAW | DLT_RAW_OPENBSD | IPV4 | IPV6 => is_ip(packet, 0),
        // An address family in the byte order of who wrote it, whose numbers differ.
        NULL | LOOP => is_ip(packet, 4),
        LINUX_SLL => behind_ethertype(packet, 14),
        // The type comes first, and 18 bytes more.
        LINUX_SLL2 => behind_type(packet, word(packet, 0)?, 20),
        PPP | PPP_HDLC => behind_ppp(packet, 0),
        _ => None,
    }
}

/// Behind an EtherType at this place.
#[inline]
fn behind_ethertype(packet: &[u8], at: usize) -> Option<usize> {
    behind_type(packet, word(packet, at)?, at + 2)
}

/// Behind headers that begin at a place and are of an EtherType.
#[inline]
fn behind_type(packet: &[u8], mut kind: u16, mut at: usize) -> Option<usize> {
    for _ in 0..=MAX_TAGS {
        match kind {
            ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => return is_ip(packet, at),
            // IEEE 802.1Q, 802.1ad, and two that came before the latter.
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
                kind = word(packet, at + 2)?;
                at += 4;
            }
            PPPOE_SESSION => return behind_ppp(packet, at + 6),
            _ => return None,
        }
    }
    None
}

/// RFC 1661, 1662: perhaps an address and a control field, and a protocol of one byte or two.
fn behind_ppp(packet: &[u8], mut at: usize) -> Option<usize> {
    if packet.get(at..)?.starts_with(&[0xff, 0x03]) {
        at += 2;
    }
    match packet.get(at..)? {
        [0x00, 0x21 | 0x57, ..] => is_ip(packet, at + 2),
        [0x21 | 0x57, ..] => is_ip(packet, at + 1),
        _ => None,
    }
}

/// The place itself, if what is there says that it is IP.
#[inline]
fn is_ip(packet: &[u8], at: usize) -> Option<usize> {
    matches!(packet.get(at)? >> 4, 4 | 6).then_some(at)
}

#[inline]
fn word(packet: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*packet.get(at..)?.first_chunk()?))
}
