//! Covers an IP header with all that belongs to it: options and extension headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Disguise, options};

/// Bytes of an IPv4 header without options (RFC 791, 3.1).
const IPV4: usize = 20;

/// Bytes of an IPv6 header (RFC 8200, 3).
const IPV6: usize = 40;

/// Bytes of the shortest extension header, and the unit of most lengths.
const EXTENSION: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;

/// Next header, length, reserved, SPI and sequence number (RFC 4302, 2). The integrity check value
/// behind them covers the addresses.
const AUTHENTICATION_KEPT: usize = 12;

/// Next header, length, type and segments left (RFC 8200, 4.4).
const ROUTING_KEPT: usize = 4;

/// In a segment routing header also last entry, flags and tag (RFC 8754, 2).
const SEGMENT_ROUTING: u8 = 4;
const SEGMENT_ROUTING_KEPT: usize = 8;

/// IPv4 Router Alert (RFC 2113), and its length.
const ROUTER_ALERT: (u8, usize) = (148, 4);

/// IPv6 Router Alert (RFC 2711) and Jumbo Payload (RFC 2675), with type and length.
const ROUTER_ALERT_V6: (u8, usize) = (5, 4);
const JUMBO: (u8, usize) = (0xc2, 6);

/// What comes behind an IP header, and where.
pub(super) type Payload = (u8, usize);

/// Covers the header at the beginning of `bytes`. Nothing when it makes no sense.
pub(super) fn cover(bytes: &mut [u8], disguise: &Disguise) -> Option<Payload> {
    match bytes.first()? >> 4 {
        4 => ipv4(bytes, disguise),
        6 => ipv6(bytes, disguise),
        _ => None,
    }
}

/// Bytes of the header that [`cover`] covers first, whatever is behind them.
pub(super) fn fixed(bytes: &[u8]) -> usize {
    let length = match bytes.first().map(|first| first >> 4) {
        Some(4) => IPV4,
        Some(6) => IPV6,
        _ => return 0,
    };
    if bytes.len() < length { 0 } else { length }
}

fn ipv4(bytes: &mut [u8], disguise: &Disguise) -> Option<Payload> {
    let (header, rest) = bytes.split_first_chunk_mut::<IPV4>()?;
    header[10..12].fill(0);
    for address in header[12..20].as_chunks_mut().0 {
        *address = shown_v4(*address, disguise);
    }
    let length = usize::from(header[0] & 0x0f) * 4;
    let list = rest.get_mut(..length.checked_sub(IPV4)?)?;
    options::walk(list, |option| {
        if (option[0], option.len()) != ROUTER_ALERT {
            // Routes and time stamps have addresses, and of others nobody knows.
            options::blank(option);
        }
    });
    let protocol = header[9];
    extensions(bytes, (protocol, length))
}

fn ipv6(bytes: &mut [u8], disguise: &Disguise) -> Option<Payload> {
    let header = bytes.first_chunk_mut::<IPV6>()?;
    for address in header[8..40].as_chunks_mut().0 {
        *address = shown_v6(*address, disguise);
    }
    let next = header[6];
    extensions(bytes, (next, IPV6))
}

fn shown_v4(octets: [u8; 4], disguise: &Disguise) -> [u8; 4] {
    match disguise.shown(IpAddr::V4(Ipv4Addr::from_octets(octets))) {
        IpAddr::V4(shown) => shown.octets(),
        // No scheme turns one family into the other.
        IpAddr::V6(_) => [0; 4],
    }
}

fn shown_v6(octets: [u8; 16], disguise: &Disguise) -> [u8; 16] {
    match disguise.shown(IpAddr::V6(Ipv6Addr::from_octets(octets))) {
        // A v4-mapped address that is on the wire, where it should not be.
        IpAddr::V4(shown) => shown.to_ipv6_mapped().octets(),
        IpAddr::V6(shown) => shown.octets(),
    }
}

/// Covers extension headers until something else comes. Each is 8 bytes at least, so it ends.
fn extensions(bytes: &mut [u8], (mut next, mut at): Payload) -> Option<Payload> {
    loop {
        let rest = bytes.get_mut(at..)?;
        let cover: fn(&mut [u8]) = match next {
            HOP_BY_HOP | DESTINATION => |header| options::walk_ipv6(&mut header[2..], option_v6),
            ROUTING => routing,
            // Offset and identification tell nothing.
            FRAGMENT => |_| {},
            AUTHENTICATION => |header| header[AUTHENTICATION_KEPT..].fill(0),
            MOBILITY | HIP | SHIM6 => |header| header[2..].fill(0),
            _ => return Some((next, at)),
        };
        let length = extension_length(next, *rest.get(1)?);
        let header = rest.get_mut(..length)?;
        next = header[0];
        cover(header);
        at += length;
    }
}

/// At least [`EXTENSION`], and at least [`AUTHENTICATION_KEPT`] for that one.
fn extension_length(kind: u8, units: u8) -> usize {
    let units = usize::from(units);
    match kind {
        FRAGMENT => EXTENSION,
        // RFC 4302, 2.2: in units of 4 bytes, minus 2.
        AUTHENTICATION => ((units + 2) * 4).max(AUTHENTICATION_KEPT),
        _ => (units + 1) * EXTENSION,
    }
}

fn option_v6(option: &mut [u8]) {
    let kind = (option[0], option.len());
    if kind != ROUTER_ALERT_V6 && kind != JUMBO {
        // Home addresses, routes, measurements, and padding that is not what it says.
        options::blank(option);
    }
}

/// Segments, home addresses, and the code over them.
fn routing(header: &mut [u8]) {
    let kept = match header[2] {
        SEGMENT_ROUTING => SEGMENT_ROUTING_KEPT,
        _ => ROUTING_KEPT,
    };
    header[kept..].fill(0);
}
