//! What every captured packet has in common, whatever file it is in.

use packet_headers_common::LinkType;

/// The fewest bytes of a packet: an IPv4 and a TCP header.
const MIN_PACKET: u32 = 40;

/// The most: the kernel's 1024 and a VLAN tag that was put back, with room for a little more.
pub(super) const MAX_PACKET: u32 = 1100;

/// Where an Ethernet header's EtherType is, and what a VLAN tag moves it by.
const ETHERTYPE_AT: usize = 12;
const TAG: usize = 4;

/// The most tags: three that the kernel's parser passes, and one that was put back.
const MAX_TAGS: usize = 4;

/// The link type of a file's number for it (draft-ietf-opsawg-pcaplinktype).
pub(super) const fn link_type(number: u32) -> Option<LinkType> {
    match number {
        1 => Some(LinkType::Ethernet),
        101 => Some(LinkType::RawIp),
        _ => None,
    }
}

/// Whether these can be the lengths of a packet that was captured.
pub(super) fn plausible_lengths(captured: u32, original: u32) -> bool {
    (MIN_PACKET..=MAX_PACKET).contains(&captured) && original >= captured
}

/// Whether these can be the headers of an IP packet: cheap, and enough to stop at what a disk held
/// before.
pub(super) fn plausible(packet: &[u8], link: LinkType) -> bool {
    match link {
        LinkType::RawIp => matches!(version(packet, 0), Some(4 | 6)),
        LinkType::Ethernet => ethernet(packet).is_some(),
    }
}

fn ethernet(packet: &[u8]) -> Option<()> {
    for tags in 0..=MAX_TAGS {
        let at = ETHERTYPE_AT + tags * TAG;
        let ethertype = u16::from_be_bytes(*packet.get(at..)?.first_chunk()?);
        let want = match ethertype {
            0x0800 => 4,
            0x86dd => 6,
            0x8100 | 0x88a8 | 0x9100 => continue,
            _ => return None,
        };
        return (version(packet, at + 2) == Some(want)).then_some(());
    }
    None
}

fn version(packet: &[u8], at: usize) -> Option<u8> {
    Some(packet.get(at)? >> 4)
}
