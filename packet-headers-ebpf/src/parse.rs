//! Finds where the headers of a packet end. Knows formats, and nothing of kernels.

use core::hint::black_box;

use packet_headers_common::{FlowKey, KernelDiscard, LinkType};

mod ip;
mod link;
mod tunnel;

pub use ip::MAX_EXTENSIONS;
pub use link::{MAX_LABELS, MAX_TAGS};

use ip::Carried;

/// A packet whose bytes are read by offset.
pub trait Bytes {
    /// Bytes of the whole packet.
    fn length(&self) -> usize;

    /// The `N` bytes at `offset`, or nothing when the packet ends before.
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;

    /// The `N` words at `offset`, which the packet has in network byte order, as numbers; or nothing
    /// when the packet ends before.
    ///
    /// Bytes would be loaded one by one.
    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]>;
}

/// Where the headers of a TCP packet are, and whose they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Where the IP header begins: the one that is nearest to TCP.
    pub l3: usize,
    /// Where the TCP header begins: at most [`MAX_OFFSET`].
    pub l4: usize,
    /// Where the TCP header ends. A record may have room for less.
    pub end: usize,
    /// The connection.
    pub key: FlowKey,
    /// Whether the lower end of the key sent it.
    pub from_low: bool,
    /// Whether it asks for a new connection: SYN without ACK.
    pub first_syn: bool,
}

/// No header that begins later is looked at: the kernel's verifier wants a bound on what is added to
/// a packet pointer. A TCP header behind it makes [`KernelDiscard::HeadersTooLong`].
pub const MAX_OFFSET: usize = 4095;

/// Finds the headers of a TCP packet.
///
/// # Errors
/// The [`KernelDiscard`] that says why the packet has none that we keep.
#[inline(always)]
pub fn parse(packet: &impl Bytes, link: LinkType) -> Result<Headers, KernelDiscard> {
    parse_through(packet, link, false)
}

/// Finds the headers of a TCP packet; those inside of one tunnel when it is to `decapsulate`.
///
/// # Errors
/// The [`KernelDiscard`] that says why the packet has none that we keep.
#[inline(always)]
pub fn parse_through(
    packet: &impl Bytes,
    link: LinkType,
    decapsulate: bool,
) -> Result<Headers, KernelDiscard> {
    let outer = match link {
        LinkType::Ethernet => link::ethernet(packet, 0)?,
        LinkType::RawIp => link::none(packet, 0)?,
    };
    let (protocol, at) = match ip::carried(packet, outer)? {
        Carried::Tcp(headers) => return Ok(headers),
        Carried::Other { protocol, at } => (protocol, at),
    };
    if !decapsulate {
        return Err(KernelDiscard::NotTcp);
    }
    let inner = tunnel::inside(packet, protocol, at)?;
    match ip::carried(packet, inner)? {
        Carried::Tcp(headers) => Ok(headers),
        Carried::Other { .. } => Err(KernelDiscard::NotTcp),
    }
}

/// Where an IP header is, and which it must be.
#[derive(Clone, Copy)]
enum Network {
    V4(usize),
    V6(usize),
}

/// More than any offset that a step can lead to from [`MAX_OFFSET`], as a mask.
const ANY_OFFSET: usize = 8191;

/// The same offset. The kernel's verifier looks at what follows anew for each value that it knows;
/// of what comes out of this it knows none, so that it looks at most twice: at plain packets, where
/// headers have their usual place, and at all others. It knows a bound from the start: verifiers before
/// Linux 6.8 have forgotten what a comparison says when the number comes back from the stack.
#[inline(always)]
fn forget(packet: &impl Bytes, offset: usize) -> usize {
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
