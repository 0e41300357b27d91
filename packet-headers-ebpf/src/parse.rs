//! Finds the headers of a packet: where they are, and of which connection. Knows formats, and nothing
//! of kernels.

use core::hint::black_box;

use packet_headers_common::quic::MAX_ID;
use packet_headers_common::record::{TCP_ACK, TCP_SYN};
use packet_headers_common::{FlowKey, KernelDiscard, LinkType};

mod ip;
mod link;
mod quic;
mod quote;
mod tunnel;
mod udp;

pub use ip::MAX_EXTENSIONS;
pub use link::{MAX_LABELS, MAX_TAGS};
pub use quic::{Shown, shown};

use ip::Carried;

/// A packet whose bytes are read by offset.
pub trait Bytes {
    /// Bytes of the whole packet.
    fn length(&self) -> usize;

    /// The `N` bytes at `offset`; `None` when the packet ends before.
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;

    /// The `N` words at `offset`, converted from network byte order; `None` when the packet ends
    /// before.
    ///
    /// The target would load bytes one by one.
    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]>;

    /// The `length` bytes at `offset`, 1 to [`MAX_PADDED`], as they lie in memory, and zeros behind them; `None` when
    /// the packet ends before.
    fn padded(&self, offset: usize, length: usize) -> Option<[u64; 3]> {
        let mut padded = [[0; 8]; 3];
        let places = padded.as_flattened_mut().iter_mut();
        for (at, byte) in (offset..offset + length).zip(places) {
            [*byte] = self.read(at)?;
        }
        Some(padded.map(u64::from_ne_bytes))
    }
}

/// The most bytes of [`Bytes::padded`]: a connection ID, and its length.
pub const MAX_PADDED: usize = 1 + MAX_ID;

/// The headers of a TCP packet, or of an ICMP error that quotes one: where they are, and of which connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Where the IP header begins: of several, the one nearest to TCP or ICMP.
    pub l3: usize,
    /// Where the TCP or the ICMP header begins: at most [`MAX_OFFSET`].
    pub l4: usize,
    /// Where the TCP or the UDP header ends; of an ICMP error, as much of the quoted one as is there. A record may keep
    /// less.
    pub end: usize,
    /// The connection.
    pub key: FlowKey,
    /// Whether the lower end of the key sent the packet, or the one that is quoted.
    pub from_low: bool,
    /// TCP sequence number, of the packet or the one that is quoted.
    pub sequence: u32,
    /// TCP flags, the low eight; none of an ICMP error.
    pub tcp_flags: u8,
}

/// A UDP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Its headers.
    pub headers: Headers,
    /// Bytes that follow them in the packet, of the datagram and nothing else.
    pub payload: usize,
}

/// What is captured of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// TCP.
    Tcp(Headers),
    /// ICMP, which [`parse_error`] looks into.
    Icmp,
    /// UDP, which [`parse_datagram`] looks into.
    Udp,
}

impl Headers {
    /// Whether the packet asks for a new connection: SYN without ACK.
    #[inline(always)]
    #[must_use]
    pub const fn is_first_syn(&self) -> bool {
        self.tcp_flags & (TCP_SYN | TCP_ACK) == TCP_SYN
    }
}

/// No header that begins later is looked at: the kernel's verifier wants a bound on what is added to a
/// packet pointer. A packet whose TCP header begins later is discarded as
/// [`KernelDiscard::HeadersTooLong`].
pub const MAX_OFFSET: usize = 4095;

/// Finds the headers of a TCP packet. With `decapsulate`, it may be inside of one tunnel.
///
/// # Errors
/// Why the packet has none that are captured.
#[inline(always)]
pub fn parse(
    packet: &impl Bytes,
    link: LinkType,
    decapsulate: bool,
) -> Result<Headers, KernelDiscard> {
    match find(packet, link, decapsulate)? {
        Found::Tcp(headers) => Ok(headers),
        Found::Icmp | Found::Udp => Err(KernelDiscard::NotTcp),
    }
}

/// The same, and tells ICMP from what is neither.
///
/// # Errors
/// As [`parse`].
#[inline(always)]
pub fn find(
    packet: &impl Bytes,
    link: LinkType,
    decapsulate: bool,
) -> Result<Found, KernelDiscard> {
    let headers = match innermost::<true>(packet, link, decapsulate)? {
        (_, Carried::Tcp(headers)) => headers,
        (_, Carried::Other { protocol, .. }) if quote::is_icmp(protocol) => return Ok(Found::Icmp),
        (_, Carried::Other { protocol, .. }) if udp::is_udp(protocol) => return Ok(Found::Udp),
        (_, Carried::Other { .. }) => return Err(KernelDiscard::NotTcp),
    };
    // The verifier need not look at the rest of the program for each way that leads here.
    Ok(Found::Tcp(Headers {
        end: launder_offset(packet, headers.end),
        ..headers
    }))
}

/// Finds the headers of an ICMP error that quotes a TCP packet: its own, and those of the quoted packet as far
/// as they are there. Nothing that may follow the quote is looked at (RFC 4884). With `decapsulate`, the error
/// may be inside of one tunnel.
///
/// # Errors
/// Why the packet is no such error.
#[inline(always)]
pub fn parse_error(
    packet: &impl Bytes,
    link: LinkType,
    decapsulate: bool,
) -> Result<Headers, KernelDiscard> {
    match innermost::<false>(packet, link, decapsulate)? {
        (network, Carried::Other { protocol, at }) => {
            quote::quoting(packet, network, (protocol, at))
        }
        (_, Carried::Tcp(_)) => Err(KernelDiscard::NotTcp),
    }
}

/// Finds the headers of a UDP packet. With `decapsulate`, it may be inside of one tunnel.
///
/// # Errors
/// Why the packet is none.
#[inline(always)]
pub fn parse_datagram(
    packet: &impl Bytes,
    link: LinkType,
    decapsulate: bool,
) -> Result<Datagram, KernelDiscard> {
    datagram_in(packet, network(packet, link, decapsulate)?)
}

/// Finds the IP header nearest to UDP.
///
/// # Errors
/// Why there is none.
#[inline(always)]
pub fn network(
    packet: &impl Bytes,
    link: LinkType,
    decapsulate: bool,
) -> Result<Network, KernelDiscard> {
    let outer = outermost(packet, link)?;
    if !decapsulate {
        return Ok(outer);
    }
    match ip::carried(packet, outer)? {
        Carried::Other { protocol, at } => match tunnel::inside(packet, protocol, at) {
            // It is no tunnel, or has no IP inside.
            Err(KernelDiscard::NotTcp) => Ok(outer),
            inner => inner,
        },
        Carried::Tcp(_) => Err(KernelDiscard::NotTcp),
    }
}

/// Finds the headers of the UDP packet that the IP packet carries which begins there.
///
/// # Errors
/// Why it carries none.
#[inline(always)]
pub fn datagram_in(packet: &impl Bytes, network: Network) -> Result<Datagram, KernelDiscard> {
    // A bound from the start, as in [`launder_offset`]: it may come from memory.
    let network = match network {
        Network::V4(l3) => Network::V4(l3 & ANY_OFFSET),
        Network::V6(l3) => Network::V6(l3 & ANY_OFFSET),
    };
    udp::datagram(packet, network, &ip::carried(packet, network)?)
}

#[inline(always)]
fn outermost(packet: &impl Bytes, link: LinkType) -> Result<Network, KernelDiscard> {
    match link {
        LinkType::Ethernet => link::ethernet(packet, 0),
        LinkType::RawIp => link::none(packet, 0),
    }
}

/// The innermost IP header, and what it carries. `UDP` says whether that may be UDP that is no tunnel.
#[inline(always)]
fn innermost<const UDP: bool>(
    packet: &impl Bytes,
    link: LinkType,
    decapsulate: bool,
) -> Result<(Network, Carried), KernelDiscard> {
    let outer = outermost(packet, link)?;
    match ip::carried(packet, outer)? {
        Carried::Other { protocol, at } if decapsulate && !quote::is_icmp(protocol) => {
            match tunnel::inside(packet, protocol, at) {
                Ok(inner) => Ok((inner, ip::carried(packet, inner)?)),
                // It is no tunnel, or has no IP inside.
                Err(KernelDiscard::NotTcp) if UDP && udp::is_udp(protocol) => {
                    Ok((outer, Carried::Other { protocol, at }))
                }
                Err(reason) => Err(reason),
            }
        }
        carried @ (Carried::Tcp(_) | Carried::Other { .. }) => Ok((outer, carried)),
    }
}

/// Where an IP header begins, and which version it must be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// IPv4.
    V4(usize),
    /// IPv6.
    V6(usize),
}

/// A mask that covers every offset to which one step can lead from [`MAX_OFFSET`].
const ANY_OFFSET: usize = 8191;

/// Hides an offset's value from the kernel's verifier, which otherwise looks at all that follows anew
/// for each value that it knows. So it looks at most twice: at plain packets, whose headers have their
/// usual place, and at all others.
///
/// The result has a bound from the start: verifiers before Linux 6.8 have forgotten what they learned
/// from a comparison once the number comes back from the stack.
#[inline(always)]
fn launder_offset(packet: &impl Bytes, offset: usize) -> usize {
    let anything = packet.length();
    black_box(offset.wrapping_add(anything)).wrapping_sub(anything) & ANY_OFFSET
}

impl Bytes for [u8] {
    fn length(&self) -> usize {
        self.len()
    }

    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..)?.first_chunk().copied()
    }

    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        let bytes = self.get(offset..)?.get(..N * 4)?;
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        Some(words)
    }
}

impl<T: Bytes + ?Sized> Bytes for &T {
    fn length(&self) -> usize {
        (**self).length()
    }

    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        (**self).read(offset)
    }

    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        (**self).words(offset)
    }
}

#[cfg(test)]
mod tests;
