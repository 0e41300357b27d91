//! What may precede an IP header: Ethernet with tags, labels or PPPoE, or nothing.

use packet_headers_common::KernelDiscard;

use super::{Bytes, Network, launder_offset};

/// How many VLAN tags a packet's bytes may hold (802.1ad stacks two; some networks stack three).
pub const MAX_TAGS: usize = 3;

/// How many labels an MPLS packet may carry: segment routing pushes the most, and hardware no more than
/// this.
pub const MAX_LABELS: usize = 8;

/// Where an Ethernet header's EtherType is.
const ETHERTYPE_OFFSET: usize = 12;
const ETHERTYPE_LEN: usize = 2;
const TAG_LEN: usize = 4;
const LABEL_LEN: usize = 4;
/// A PPPoE header, and the PPP protocol number behind it.
const PPPOE_LEN: usize = 8;

pub(super) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(super) const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;
const ETHERTYPE_OLD_QINQ: u16 = 0x9100;
const ETHERTYPE_MPLS: u16 = 0x8847;
const ETHERTYPE_MPLS_MULTICAST: u16 = 0x8848;
const ETHERTYPE_PPPOE_SESSION: u16 = 0x8864;

const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;

/// No link layer: the IP header's own version says which it is.
#[inline(always)]
pub(super) fn none(packet: &impl Bytes, at: usize) -> Result<Network, KernelDiscard> {
    match packet.read::<2>(at).ok_or(KernelDiscard::NotIp)?[0] >> 4 {
        4 => Ok(Network::V4(at)),
        6 => Ok(Network::V6(at)),
        _ => Err(KernelDiscard::NotIp),
    }
}

/// IEEE 802.3, with the tags of 802.1Q and 802.1ad that are still in the packet.
#[inline(always)]
pub(super) fn ethernet(packet: &impl Bytes, start: usize) -> Result<Network, KernelDiscard> {
    let mut at = start + ETHERTYPE_OFFSET;
    for _ in 0..=MAX_TAGS {
        let ethertype = packet.read(at).ok_or(KernelDiscard::NotIp)?;
        let next = at + ETHERTYPE_LEN;
        match u16::from_be_bytes(ethertype) {
            ETHERTYPE_IPV4 => return Ok(Network::V4(next)),
            ETHERTYPE_IPV6 => return Ok(Network::V6(next)),
            ETHERTYPE_VLAN | ETHERTYPE_SERVICE_VLAN | ETHERTYPE_OLD_QINQ => {
                at = launder_offset(packet, at + TAG_LEN);
            }
            ETHERTYPE_MPLS | ETHERTYPE_MPLS_MULTICAST => return mpls(packet, next),
            ETHERTYPE_PPPOE_SESSION => return pppoe(packet, next),
            _ => return Err(KernelDiscard::NotIp),
        }
    }
    Err(KernelDiscard::NotIp)
}

/// RFC 3032. No label says what the stack carries. Where that is IP, the IP version does (RFC 4928, 3).
#[inline(always)]
fn mpls(packet: &impl Bytes, start: usize) -> Result<Network, KernelDiscard> {
    let mut at = launder_offset(packet, start);
    for _ in 0..MAX_LABELS {
        let label: [u8; LABEL_LEN] = packet.read(at).ok_or(KernelDiscard::Malformed)?;
        at = launder_offset(packet, at + LABEL_LEN);
        let bottom = label[2] & 1 != 0;
        if bottom {
            return none(packet, at);
        }
    }
    Err(KernelDiscard::HeadersTooLong)
}

/// RFC 2516, the session stage. A protocol number whose first byte is odd has no second one (RFC 1661,
/// 6.5): the sender left out a zero.
#[inline(always)]
fn pppoe(packet: &impl Bytes, at: usize) -> Result<Network, KernelDiscard> {
    /// Version 1 and type 1.
    const VERSION_AND_TYPE: u8 = 0x11;
    const SESSION_DATA: u8 = 0;
    let header: [u8; PPPOE_LEN] = packet.read(at).ok_or(KernelDiscard::Malformed)?;
    if header[0] != VERSION_AND_TYPE || header[1] != SESSION_DATA {
        return Err(KernelDiscard::Malformed);
    }
    // No branch: the verifier would look twice at all that follows.
    let missing = header[6] & 1;
    let protocol = u16::from_be_bytes([header[6], header[7]]) >> (missing * 8);
    let at = launder_offset(packet, at + PPPOE_LEN - usize::from(missing));
    match protocol {
        PPP_IPV4 => Ok(Network::V4(at)),
        PPP_IPV6 => Ok(Network::V6(at)),
        _ => Err(KernelDiscard::NotIp),
    }
}
