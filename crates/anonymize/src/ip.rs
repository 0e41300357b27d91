//! Anonymizes an IP header with its options or extension headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{FlowAnonymizer, options};

/// Bytes of an IPv4 header without options (RFC 791, 3.1).
const IPV4_LEN: usize = 20;

/// Bytes of an IPv6 header (RFC 8200, 3).
const IPV6_LEN: usize = 40;

/// Bytes of the shortest extension header, and the unit in which most give their length.
const EXTENSION_LEN: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;

/// Next header, length, reserved, SPI and sequence number (RFC 4302, 2). The integrity check value
/// that follows covers the addresses.
const AUTHENTICATION_KEPT_LEN: usize = 12;

/// Next header, length, type and segments left (RFC 8200, 4.4).
const ROUTING_KEPT_LEN: usize = 4;

/// A segment routing header also keeps last entry, flags and tag (RFC 8754, 2).
const SEGMENT_ROUTING: u8 = 4;
const SEGMENT_ROUTING_KEPT_LEN: usize = 8;

/// Type and length of IPv4 Router Alert (RFC 2113).
const ROUTER_ALERT: (u8, usize) = (148, 4);

/// Type and length of IPv6 Router Alert (RFC 2711) and Jumbo Payload (RFC 2675).
const ROUTER_ALERT_V6: (u8, usize) = (5, 4);
const JUMBO: (u8, usize) = (0xc2, 6);

/// The protocol number of what an IP header carries, and the offset at which it begins.
pub(crate) type Payload = (u8, usize);

/// Anonymizes the header at the beginning of `bytes`. None if it is malformed or incomplete.
pub(crate) fn anonymize(bytes: &mut [u8], flow: &FlowAnonymizer) -> Option<Payload> {
    match bytes.first()? >> 4 {
        4 => ipv4(bytes, flow),
        6 => ipv6(bytes, flow),
        _ => None,
    }
}

/// Bytes of the fixed part of the header, which [`anonymize`] has anonymized even if it then fails
/// at what follows; 0 if there are fewer.
pub(crate) fn fixed_len(bytes: &[u8]) -> usize {
    let length = match bytes.first().map(|first| first >> 4) {
        Some(4) => IPV4_LEN,
        Some(6) => IPV6_LEN,
        _ => return 0,
    };
    if bytes.len() < length { 0 } else { length }
}

fn ipv4(bytes: &mut [u8], flow: &FlowAnonymizer) -> Option<Payload> {
    let (header, rest) = bytes.split_first_chunk_mut::<IPV4_LEN>()?;
    header[10..12].fill(0);
    for address in header[12..20].as_chunks_mut().0 {
        *address = pseudonym_v4(*address, flow);
    }
    let length = usize::from(header[0] & 0x0f) * 4;
    let list = rest.get_mut(..length.checked_sub(IPV4_LEN)?)?;
    options::walk(list, |option| {
        if (option[0], option.len()) != ROUTER_ALERT {
            // Routes and timestamps contain addresses, and unknown options may.
            options::blank(option);
        }
    });
    let protocol = header[9];
    extensions(bytes, (protocol, length))
}

fn ipv6(bytes: &mut [u8], flow: &FlowAnonymizer) -> Option<Payload> {
    let header = bytes.first_chunk_mut::<IPV6_LEN>()?;
    for address in header[8..40].as_chunks_mut().0 {
        *address = pseudonym_v6(*address, flow);
    }
    let next = header[6];
    extensions(bytes, (next, IPV6_LEN))
}

pub(crate) fn pseudonym_v4(octets: [u8; 4], flow: &FlowAnonymizer) -> [u8; 4] {
    match flow.pseudonym(IpAddr::V4(Ipv4Addr::from_octets(octets))) {
        IpAddr::V4(pseudonym) => pseudonym.octets(),
        // No method changes the family of an IPv4 address.
        IpAddr::V6(_) => [0; 4],
    }
}

fn pseudonym_v6(octets: [u8; 16], flow: &FlowAnonymizer) -> [u8; 16] {
    match flow.pseudonym(IpAddr::V6(Ipv6Addr::from_octets(octets))) {
        // An IPv4-mapped address, which should not be on the wire but can be.
        IpAddr::V4(pseudonym) => pseudonym.to_ipv6_mapped().octets(),
        IpAddr::V6(pseudonym) => pseudonym.octets(),
    }
}

/// Anonymizes extension headers up to the first header of another kind. Each has at least 8 bytes,
/// so the loop ends.
fn extensions(bytes: &mut [u8], (mut next, mut at): Payload) -> Option<Payload> {
    loop {
        let rest = bytes.get_mut(at..)?;
        let anonymize: fn(&mut [u8]) = match next {
            HOP_BY_HOP | DESTINATION => |header| options::walk_ipv6(&mut header[2..], option_v6),
            ROUTING => routing,
            // Offset and identification do not depend on addresses.
            FRAGMENT => |_| {},
            AUTHENTICATION => |header| {
                if let Some(signature) = header.get_mut(AUTHENTICATION_KEPT_LEN..) {
                    signature.fill(0);
                }
            },
            MOBILITY | HIP | SHIM6 => |header| header[2..].fill(0),
            _ => return Some((next, at)),
        };
        let length = extension_length(next, *rest.get(1)?);
        let header = rest.get_mut(..length)?;
        next = header[0];
        anonymize(header);
        at += length;
    }
}

/// Bytes of an extension header: at least [`EXTENSION_LEN`].
fn extension_length(kind: u8, units: u8) -> usize {
    let units = usize::from(units);
    match kind {
        FRAGMENT => EXTENSION_LEN,
        // RFC 4302, 2.2: in units of 4 bytes, minus 2.
        AUTHENTICATION => (units + 2) * 4,
        _ => (units + 1) * EXTENSION_LEN,
    }
}

fn option_v6(option: &mut [u8]) {
    let kind = (option[0], option.len());
    if kind != ROUTER_ALERT_V6 && kind != JUMBO {
        // Home addresses, routes, measurements, and padding that may not be padding.
        options::blank(option);
    }
}

/// Zeroes segments, home addresses, and the HMAC over them.
fn routing(header: &mut [u8]) {
    let kept = match header[2] {
        SEGMENT_ROUTING => SEGMENT_ROUTING_KEPT_LEN,
        _ => ROUTING_KEPT_LEN,
    };
    header[kept..].fill(0);
}
