//! The packet that an ICMP error quotes: as much of it as RFC 792 (8 bytes behind its IP header), RFC 1812
//! (4.3.2.3) and RFC 4443 (2.4) have routers send back.

use packet_headers_common::{Endpoint, FlowKey, KernelDiscard};

use super::ip::{
    EXTENSION_AUTHENTICATION, IPV4_MIN_LEN, IPV4_WORDS, IPV6_HEADER_LEN, IPV6_WORDS, PROTOCOL_TCP,
    TCP_MIN_LEN, authentication, extensions, ip_end,
};
use super::{Bytes, Headers, MAX_OFFSET, Network, launder_offset};

const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_ICMPV6: u8 = 58;

/// Bytes of an ICMP header, behind which errors have their quote.
const ICMP_LEN: usize = 8;

/// What every TCP header begins with, and every quote has of it: ports and sequence number.
const LEAST_QUOTED: usize = 8;

/// Where a TCP header says how long it is.
const DATA_OFFSET: usize = 12;

/// Whether a packet of either IP version can be ICMP.
#[inline(always)]
pub(super) const fn is_icmp(protocol: u8) -> bool {
    protocol == PROTOCOL_ICMP || protocol == PROTOCOL_ICMPV6
}

/// Finds the headers of an ICMP error that quotes TCP, where an IP packet carries this protocol from there on.
///
/// # Errors
/// Why it is none.
#[inline(always)]
pub(super) fn quoting(
    packet: &impl Bytes,
    network: Network,
    (protocol, at): (u8, usize),
) -> Result<Headers, KernelDiscard> {
    let (l3, end) = match network {
        Network::V4(l3) => (l3, l3 + 2),
        Network::V6(l3) => (l3, l3 + 4),
    };
    let told: [u8; 2] = packet.read(end).ok_or(KernelDiscard::Malformed)?;
    let told = u16::from_be_bytes(told);
    let icmp = launder_offset(packet, at);
    if icmp > MAX_OFFSET {
        return Err(KernelDiscard::HeadersTooLong);
    }
    // Of one byte, the verifier would not know that it is there.
    let kind: [u8; 2] = packet.read(icmp).ok_or(KernelDiscard::NotTcp)?;
    let quote = icmp + ICMP_LEN;
    // A quote that has no whole IP header is not looked at: padding may follow.
    let (end, quoted) = match network {
        Network::V4(_) if protocol == PROTOCOL_ICMP && is_error_v4(kind[0]) => {
            let end = ip_end(packet, l3, 0, told);
            if quote + IPV4_MIN_LEN > end {
                return Err(KernelDiscard::BadQuote);
            }
            (end, quoted_v4(packet, quote)?)
        }
        Network::V6(_) if protocol == PROTOCOL_ICMPV6 && is_error_v6(kind[0]) => {
            let end = ip_end(packet, l3, IPV6_HEADER_LEN, told);
            if quote + IPV6_HEADER_LEN > end {
                return Err(KernelDiscard::BadQuote);
            }
            (end, quoted_v6(packet, quote)?)
        }
        Network::V4(_) | Network::V6(_) => return Err(KernelDiscard::NotTcp),
    };
    let tcp = launder_offset(packet, quoted.tcp);
    let end = end.min(quoted.end);
    if tcp > MAX_OFFSET || tcp + LEAST_QUOTED > end {
        return Err(KernelDiscard::BadQuote);
    }
    let [ports, sequence]: [u32; 2] = packet.words(tcp).ok_or(KernelDiscard::BadQuote)?;
    let end = end.min(tcp + tcp_len(packet, tcp, end)?);
    let source = Endpoint::v6(quoted.source, (ports >> 16) as u16);
    let key = FlowKey::new(source, Endpoint::v6(quoted.destination, ports as u16));
    Ok(Headers {
        l3,
        l4: icmp,
        end: launder_offset(packet, end),
        key,
        from_low: key.is_low(&source),
        sequence,
        tcp_flags: 0,
    })
}

/// Unreachable, source quench, redirect, time exceeded and parameter problem (RFC 792): all that quote a
/// packet.
#[inline(always)]
const fn is_error_v4(kind: u8) -> bool {
    matches!(kind, 3 | 4 | 5 | 11 | 12)
}

/// Unreachable, packet too big, time exceeded and parameter problem (RFC 4443).
#[inline(always)]
const fn is_error_v6(kind: u8) -> bool {
    matches!(kind, 1..=4)
}

/// A packet whose IP header is quoted.
struct Quoted {
    source: [u64; 2],
    destination: [u64; 2],
    /// Where its TCP header begins.
    tcp: usize,
    /// Where it ends by its own account, quoted or not.
    end: usize,
}

#[inline(always)]
fn quoted_v4(packet: &impl Bytes, at: usize) -> Result<Quoted, KernelDiscard> {
    let header: [u32; IPV4_WORDS] = packet.words(at).ok_or(KernelDiscard::BadQuote)?;
    let [first, fragment, next, source, destination] = header;
    let length = (first >> 24 & 0x0f) as usize * 4;
    if first >> 28 != 4 || length < IPV4_MIN_LEN {
        return Err(KernelDiscard::BadQuote);
    }
    let (mut protocol, mut tcp) = ((next >> 16) as u8, at + length);
    let later_fragment = fragment & 0x1fff != 0;
    if protocol == EXTENSION_AUTHENTICATION && !later_fragment {
        let next: [u8; 4] = packet.read(tcp).ok_or(KernelDiscard::BadQuote)?;
        tcp += authentication(&next);
        protocol = next[0];
    }
    if protocol != PROTOCOL_TCP {
        return Err(KernelDiscard::NotTcp);
    }
    if later_fragment {
        return Err(KernelDiscard::BadQuote);
    }
    Ok(Quoted {
        source: Endpoint::v4(source.to_be_bytes(), 0).address(),
        destination: Endpoint::v4(destination.to_be_bytes(), 0).address(),
        tcp,
        end: told_end(at, 0, first as u16),
    })
}

#[inline(always)]
fn quoted_v6(packet: &impl Bytes, at: usize) -> Result<Quoted, KernelDiscard> {
    let header: [u32; IPV6_WORDS] = packet.words(at).ok_or(KernelDiscard::BadQuote)?;
    if header[0] >> 28 != 6 {
        return Err(KernelDiscard::BadQuote);
    }
    let next = (header[1] >> 8) as u8;
    let (protocol, tcp) = extensions(packet, next, at + IPV6_HEADER_LEN)
        .map_err(|_reason| KernelDiscard::BadQuote)?;
    if protocol != PROTOCOL_TCP {
        return Err(KernelDiscard::NotTcp);
    }
    // As in a packet: the key of an IPv4 connection has addresses in this form.
    if header[2] | header[3] | (header[4] ^ 0xffff) == 0 {
        return Err(KernelDiscard::BadQuote);
    }
    let half = |at| u64::from(header[at]) << 32 | u64::from(header[at + 1]);
    Ok(Quoted {
        source: [half(2), half(4)],
        destination: [half(6), half(8)],
        tcp,
        end: told_end(at, IPV6_HEADER_LEN, (header[1] >> 16) as u16),
    })
}

/// Where a quoted packet ends by its own account, whose length field does not count `beside` bytes, and is 0
/// when the NIC had yet to split it.
#[inline(always)]
fn told_end(at: usize, beside: usize, told: u16) -> usize {
    match told {
        0 => usize::MAX,
        told => at + beside + usize::from(told),
    }
}

/// Bytes of the quoted TCP header: of one that is quoted up to where it says so. Of another, the quote ends
/// within it.
#[inline(always)]
fn tcp_len(packet: &impl Bytes, tcp: usize, end: usize) -> Result<usize, KernelDiscard> {
    if tcp + DATA_OFFSET >= end {
        return Ok(TCP_MIN_LEN);
    }
    // With the byte before it, as above.
    let [_, words] = packet
        .read(tcp + DATA_OFFSET - 1)
        .ok_or(KernelDiscard::BadQuote)?;
    match usize::from(words >> 4) * 4 {
        length if length < TCP_MIN_LEN => Err(KernelDiscard::BadQuote),
        length => Ok(length),
    }
}
