//! Finds the inner IP header of a tunnel's packet.

use packet_headers_common::KernelDiscard;

use super::link::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6};
use super::{Bytes, MAX_OFFSET, Network, launder_offset};

const PROTOCOL_IPV4: u8 = 4;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_IPV6: u8 = 41;
const PROTOCOL_GRE: u8 = 47;

/// EtherType for an Ethernet frame (RFC 1701 and RFC 8926 call it Trans Ether Bridging).
const ETHERTYPE_ETHERNET: u16 = 0x6558;

const UDP_LEN: usize = 8;
const GRE_LEN: usize = 4;
const VXLAN_LEN: usize = 8;
const GENEVE_LEN: usize = 8;
const PORT_VXLAN: u16 = 4789;
/// What Linux used before a number was assigned, and still does unless told otherwise.
const PORT_LINUX_VXLAN: u16 = 8472;
const PORT_GENEVE: u16 = 6081;

/// Where the inner IP header is, when the outer IP packet carries `protocol`, which begins at `at`.
#[inline(always)]
pub(super) fn inside(
    packet: &impl Bytes,
    protocol: u8,
    at: usize,
) -> Result<Network, KernelDiscard> {
    let at = launder_offset(packet, at);
    if at > MAX_OFFSET {
        return Err(KernelDiscard::HeadersTooLong);
    }
    let (kind, at) = match protocol {
        PROTOCOL_IPV4 => (ETHERTYPE_IPV4, at),
        PROTOCOL_IPV6 => (ETHERTYPE_IPV6, at),
        PROTOCOL_GRE => gre(packet, at)?,
        PROTOCOL_UDP => udp(packet, at)?,
        _ => return Err(KernelDiscard::NotTcp),
    };
    let at = launder_offset(packet, at);
    match kind {
        ETHERTYPE_IPV4 => Ok(Network::V4(at)),
        ETHERTYPE_IPV6 => Ok(Network::V6(at)),
        // The packet is IP, even when the frame inside is not.
        ETHERTYPE_ETHERNET => link::ethernet(packet, at).map_err(|counter| {
            if matches!(counter, KernelDiscard::NotIp) {
                KernelDiscard::NotTcp
            } else {
                counter
            }
        }),
        _ => Err(KernelDiscard::NotTcp),
    }
}

/// RFC 2784 with the key and sequence number of RFC 2890: the EtherType that it carries, and where.
#[inline(always)]
fn gre(packet: &impl Bytes, at: usize) -> Result<(u16, usize), KernelDiscard> {
    const CHECKSUM: u8 = 0x80;
    const ROUTING: u8 = 0x40;
    const KEY: u8 = 0x20;
    const SEQUENCE: u8 = 0x10;
    const VERSION: u8 = 0x07;
    const FIELD: usize = 4;
    let header: [u8; GRE_LEN] = packet.read(at).ok_or(KernelDiscard::Malformed)?;
    // Version 1 is PPTP's; the routing field was abandoned with RFC 1701.
    if header[1] & VERSION != 0 || header[0] & ROUTING != 0 {
        return Err(KernelDiscard::NotTcp);
    }
    let has = |field| usize::from(header[0] & field != 0);
    let fields = has(CHECKSUM) + has(KEY) + has(SEQUENCE);
    let kind = u16::from_be_bytes([header[2], header[3]]);
    Ok((kind, at + GRE_LEN + fields * FIELD))
}

/// VXLAN (RFC 7348) and GENEVE (RFC 8926), by their ports: the EtherType that they carry, and where.
#[inline(always)]
fn udp(packet: &impl Bytes, at: usize) -> Result<(u16, usize), KernelDiscard> {
    const VALID_NETWORK: u8 = 0x08;
    const GENEVE_VERSION: u8 = 0xc0;
    const GENEVE_OPTION_UNITS: u8 = 0x3f;
    const OPTION_UNIT: usize = 4;
    // A UDP packet that has no room for either is not TCP, and not malformed.
    let header: [u8; UDP_LEN + VXLAN_LEN] = packet.read(at).ok_or(KernelDiscard::NotTcp)?;
    let first = header[UDP_LEN];
    match u16::from_be_bytes([header[2], header[3]]) {
        PORT_VXLAN | PORT_LINUX_VXLAN if first & VALID_NETWORK != 0 => {
            Ok((ETHERTYPE_ETHERNET, at + UDP_LEN + VXLAN_LEN))
        }
        PORT_GENEVE if first & GENEVE_VERSION == 0 => {
            let options = usize::from(first & GENEVE_OPTION_UNITS) * OPTION_UNIT;
            let kind = u16::from_be_bytes([header[UDP_LEN + 2], header[UDP_LEN + 3]]);
            Ok((kind, at + UDP_LEN + GENEVE_LEN + options))
        }
        _ => Err(KernelDiscard::NotTcp),
    }
}
