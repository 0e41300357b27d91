//! A TCP packet, as one record of a capture gives it.

use std::net::SocketAddr;

use crate::ip::{Ecn, Ip, NotTcp, TCP, be16, be32};
use crate::options::Options;
use crate::sequence::place;

/// What of a TCP header has to be there: up to the window.
const NEEDED: usize = 16;

/// The shortest TCP header.
const SHORTEST: usize = 20;

/// A TCP packet, decoded from what was captured of it. It may stand for several segments that an offload
/// has merged (GRO, LRO) or not yet cut (TSO).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// When it was captured: nanoseconds since 1970.
    pub(crate) time: i64,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    /// Bytes of payload, whether captured or not.
    pub(crate) payload: u32,
    /// Bytes of the IP packet, by its header.
    pub(crate) ip_bytes: u32,
    /// How many segments it stands for, as far as the capture says.
    pub(crate) segments: u16,
    /// TTL or hop limit.
    pub(crate) ttl: u8,
    /// The field ECN of the IP header.
    pub(crate) ecn: Ecn,
    /// The field identification of an IPv4 header; 0 if it says nothing.
    pub(crate) identification: u16,
    /// Whether the capture ends within the TCP header.
    pub(crate) truncated: bool,
    /// Bytes of TCP options, by the header.
    pub(crate) options_len: u8,
    pub(crate) options: Options,
}

/// The flags of a TCP header (RFC 9293 3.1, RFC 9768 for AE).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags(pub(crate) u16);

impl Flags {
    pub(crate) const FIN: u16 = 0x001;
    pub(crate) const SYN: u16 = 0x002;
    pub(crate) const RST: u16 = 0x004;
    pub(crate) const ACK: u16 = 0x010;
    pub(crate) const ECE: u16 = 0x040;
    pub(crate) const CWR: u16 = 0x080;
    pub(crate) const AE: u16 = 0x100;

    /// Whether one of these is set.
    pub(crate) const fn any(self, flags: u16) -> bool {
        self.0 & flags != 0
    }

    /// The ones of `mask`.
    pub(crate) const fn of(self, mask: u16) -> u16 {
        self.0 & mask
    }
}

impl Segment {
    /// Decodes an IP packet, `ip`, from its IP header on and as far as it was captured.
    ///
    /// `time` is in nanoseconds since 1970. `wire_len_of_ip` is the packet's length on the wire, from the IP
    /// header on; it only counts where the IP header does not say its length, as with packets of more than
    /// 64 KiB. `segments` is how many segments an offload has merged into this packet; 1 if that is not known.
    ///
    /// # Errors
    /// It is not TCP, or too little of it was captured.
    pub fn of_ip(time: i64, ip: &[u8], wire_len_of_ip: u32, segments: u16) -> Result<Self, NotTcp> {
        let header = Ip::of::<TCP>(ip, wire_len_of_ip)?;
        let tcp = ip.get(header.carried_at..).ok_or(NotTcp::Cut)?;
        let (fixed, _) = tcp.split_first_chunk::<NEEDED>().ok_or(NotTcp::Cut)?;
        let header_len = usize::from(fixed[12] >> 4) * 4;
        if header_len < SHORTEST {
            return Err(NotTcp::Header(fixed[12] >> 4 << 2));
        }
        let options = tcp.get(SHORTEST..header_len.min(tcp.len()));
        let headers = u32::try_from(header.carried_at + header_len).unwrap_or(u32::MAX);
        Ok(Self {
            time,
            source: SocketAddr::new(header.source, be16(fixed, 0)),
            destination: SocketAddr::new(header.destination, be16(fixed, 2)),
            sequence: be32(fixed, 4),
            acknowledgment: be32(fixed, 8),
            flags: Flags(be16(fixed, 12) & 0x1ff),
            window: be16(fixed, 14),
            payload: header.bytes.saturating_sub(headers),
            ip_bytes: header.bytes,
            segments: segments.max(1),
            ttl: header.ttl,
            ecn: header.ecn,
            identification: header.identification,
            truncated: tcp.len() < header_len,
            // At most 40.
            options_len: ((fixed[12] >> 4) - 5) << 2,
            options: options.map_or(Options::NONE, Options::read),
        })
    }

    /// Its source and its destination.
    ///
    /// An IPv4 address that is mapped into IPv6 stays an IPv6 address: such a packet had an IPv6 header, so
    /// it belongs to another connection than one between the same IPv4 addresses.
    #[must_use]
    pub fn ends(&self) -> (SocketAddr, SocketAddr) {
        (self.source, self.destination)
    }

    /// When it was captured: nanoseconds since 1970.
    #[must_use]
    pub fn time(&self) -> i64 {
        self.time
    }

    /// Bytes of payload, whether captured or not.
    #[must_use]
    pub fn payload(&self) -> u32 {
        self.payload
    }

    /// Whether it has the flag SYN.
    #[must_use]
    pub fn has_syn(&self) -> bool {
        self.flags.any(Flags::SYN)
    }

    /// Whether it has the flag FIN.
    #[must_use]
    pub fn has_fin(&self) -> bool {
        self.flags.any(Flags::FIN)
    }

    /// Whether it has the flag RST.
    #[must_use]
    pub fn has_rst(&self) -> bool {
        self.flags.any(Flags::RST)
    }

    /// Its SACK blocks, from `[left` to `right]`, as places on a line of which `near` is one: what the packet
    /// [acknowledges](crate::Judgment::acknowledges).
    pub fn sack_blocks(&self, near: u64) -> impl Iterator<Item = [u64; 2]> + '_ {
        let blocks = self.options.sack_blocks().iter();
        blocks.map(move |edges| edges.map(|edge| place(edge, near)))
    }

    /// Its sender's clock, if it has timestamps.
    pub(crate) fn timestamp(&self) -> Option<u32> {
        self.options.timestamps.map(|timestamps| timestamps.value)
    }

    /// Whether it asks for a connection: SYN without ACK.
    pub(crate) fn is_syn(&self) -> bool {
        self.flags.of(Flags::SYN | Flags::ACK | Flags::RST) == Flags::SYN
    }

    /// Whether it accepts a connection.
    pub(crate) fn is_syn_ack(&self) -> bool {
        self.flags.of(Flags::SYN | Flags::ACK | Flags::RST) == Flags::SYN | Flags::ACK
    }

    /// How many sequence numbers it takes: a byte each, and one each for SYN and FIN (RFC 9293 3.4).
    pub(crate) fn numbers(&self) -> u64 {
        let flag = |flag| u64::from(self.flags.any(flag));
        u64::from(self.payload) + flag(Flags::SYN) + flag(Flags::FIN)
    }
}
