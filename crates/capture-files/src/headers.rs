//! What all captured packets have in common, in files of every format.

use packet_headers_common::LinkType;

/// The shortest packet, in bytes: an IPv4 and a UDP header.
const MIN_PACKET: u32 = 28;

/// The longest: the 1024 bytes that the kernel programs copy and a VLAN tag that was put back, with
/// some room to spare.
pub(crate) const MAX_PACKET: u32 = 1100;

/// The offset of the EtherType in an Ethernet header, and how far a VLAN tag moves it.
const ETHERTYPE_AT: usize = 12;
const TAG: usize = 4;

/// The most tags: three that the kernel programs accept, and one that was put back.
const MAX_TAGS: usize = 4;

/// The length of an MPLS label, and the most labels that the kernel programs accept.
const LABEL: usize = 4;
const MAX_LABELS: usize = 8;

/// The length of a PPPoE header with the PPP protocol behind it.
const PPPOE: usize = 8;

/// The link type that has this number in files (draft-ietf-opsawg-pcaplinktype).
pub(crate) const fn link_type(number: u32) -> Option<LinkType> {
    match number {
        1 => Some(LinkType::Ethernet),
        101 => Some(LinkType::RawIp),
        _ => None,
    }
}

/// Whether a captured packet can have these lengths.
pub(crate) fn plausible_lengths(captured: u32, original: u32) -> bool {
    (MIN_PACKET..=MAX_PACKET).contains(&captured) && original >= captured
}

/// Whether these can be the headers of an IP packet: cheap, and enough to stop at what the disk
/// held before.
pub(crate) fn plausible(packet: &[u8], link: LinkType) -> bool {
    ip_at(packet, link).is_some()
}

/// The two addresses of a packet, the same in both directions. `None` if they are not in the
/// record.
pub(crate) type Hosts = Option<[[u8; 16]; 2]>;

/// The addresses of a plausible packet: the outermost, if there are several.
pub(crate) fn hosts(packet: &[u8], link: LinkType) -> Hosts {
    let ip = packet.get(ip_at(packet, link)?..)?;
    let (mut hosts, at, length) = match version(ip, 0)? {
        4 => ([[0; 16]; 2], 12, 4),
        _ => ([[0; 16]; 2], 8, 16),
    };
    for (host, at) in hosts.iter_mut().zip([at, at + length]) {
        host.get_mut(..length)?
            .copy_from_slice(ip.get(at..at + length)?);
    }
    hosts.sort_unstable();
    Some(hosts)
}

/// Where a packet's IP header is, or would be if the record were longer. `None` if it is nowhere.
pub(crate) fn ip_at(packet: &[u8], link: LinkType) -> Option<usize> {
    match link {
        LinkType::RawIp => matches!(version(packet, 0), Some(4 | 6)).then_some(0),
        LinkType::Ethernet => behind_ethernet(packet),
    }
}

fn behind_ethernet(packet: &[u8]) -> Option<usize> {
    for tags in 0..=MAX_TAGS {
        let at = ETHERTYPE_AT + tags * TAG;
        let ethertype = u16::from_be_bytes(*packet.get(at..)?.first_chunk()?);
        let at = at + 2;
        return match ethertype {
            0x0800 => (version(packet, at) == Some(4)).then_some(at),
            0x86dd => (version(packet, at) == Some(6)).then_some(at),
            0x8847 | 0x8848 => Some(at + behind_labels(packet.get(at..)?)?),
            0x8864 => behind_pppoe(packet.get(at..)?).then_some(at + PPPOE),
            0x8100 | 0x88a8 | 0x9100 => continue,
            _ => None,
        };
    }
    None
}

/// Where IP can be behind a stack of MPLS labels (RFC 3032), whose end a short record may not have.
fn behind_labels(stack: &[u8]) -> Option<usize> {
    let labels = stack.chunks_exact(LABEL).take(MAX_LABELS);
    match labels.clone().position(|label| label[2] & 1 != 0) {
        Some(bottom) => {
            let at = (bottom + 1) * LABEL;
            matches!(version(stack, at), None | Some(4 | 6)).then_some(at)
        }
        None => (labels.len() < MAX_LABELS).then_some(stack.len()),
    }
}

/// Whether IP is behind a PPPoE header (RFC 2516), whose protocol number may lack its first byte.
fn behind_pppoe(session: &[u8]) -> bool {
    match session {
        [0x11, 0, _, _, _, _, 0x00, 0x21, ..] => version(session, PPPOE) == Some(4),
        [0x11, 0, _, _, _, _, 0x00, 0x57, ..] => version(session, PPPOE) == Some(6),
        [0x11, 0, _, _, _, _, 0x21, ..] => version(session, PPPOE - 1) == Some(4),
        [0x11, 0, _, _, _, _, 0x57, ..] => version(session, PPPOE - 1) == Some(6),
        _ => false,
    }
}

fn version(packet: &[u8], at: usize) -> Option<u8> {
    Some(packet.get(at)? >> 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_plausible(between: &[u8], packet: &[u8]) -> bool {
        let frame = [&[2; 12], between, packet].concat();
        plausible(&frame, LinkType::Ethernet)
    }

    #[test]
    fn what_the_kernel_passes_is_plausible() {
        const TAG: [u8; 4] = [0x81, 0, 0, 7];
        const LABEL: [u8; 4] = [0, 1, 0, 64];
        const BOTTOM: [u8; 4] = [0, 1, 1, 64];
        const V4: [u8; 20] = [0x45; 20];
        let tags = TAG.repeat(MAX_TAGS);
        assert!(is_plausible(&[&tags[..], &[8, 0]].concat(), &V4));
        assert!(!is_plausible(&[&tags[..], &TAG, &[8, 0]].concat(), &V4));
        let labels = |labels, packet: &[u8]| {
            let stack = LABEL.repeat(labels);
            is_plausible(&[&[0x88, 0x47][..], &stack, &BOTTOM].concat(), packet)
        };
        assert!(labels(0, &V4) && labels(7, &V4) && labels(7, &[]));
        assert!(!labels(8, &V4) && !labels(0, &[0; 20]));
        let session =
            |first, protocol| is_plausible(&[0x88, 0x64, first, 0, 0, 7, 0, 42, 0, protocol], &V4);
        assert!(session(0x11, 0x21));
        assert!(!session(0x11, 0x57) && !session(0x12, 0x21) && !session(0x11, 0));
        let compressed =
            |protocol| is_plausible(&[0x88, 0x64, 0x11, 0, 0, 7, 0, 41, protocol], &V4);
        assert!(compressed(0x21) && !compressed(0x57) && !compressed(0x23));
    }
}
