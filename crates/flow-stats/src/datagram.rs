//! A UDP packet, as one record of a capture gives it.

use std::net::SocketAddr;

use crate::ip::{Ecn, Ip, UDP, be16};

/// Bytes of a UDP header (RFC 768).
const HEADER: usize = 8;

/// A UDP packet, decoded from what was captured of it. It may stand for several datagrams that an offload has
/// merged (GRO) or not yet cut (GSO).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// When it was captured: nanoseconds since 1970.
    pub(crate) time: i64,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    /// Bytes of payload, whether captured or not.
    pub(crate) payload: u32,
    /// What was captured of them.
    pub(crate) captured: &'a [u8],
    /// Bytes of the IP packet, by its header.
    pub(crate) ip_bytes: u32,
    /// How many datagrams it stands for, as far as the capture says.
    pub(crate) datagrams: u16,
    /// TTL or hop limit.
    pub(crate) ttl: u8,
    /// The field ECN of the IP header.
    pub(crate) ecn: Ecn,
}

impl<'a> Datagram<'a> {
    /// Decodes an IP packet, `ip`, from its IP header on and as far as it was captured: up to the end of its UDP
    /// header at least. The other arguments are as for [`Segment::of_ip`](crate::Segment::of_ip). `None` if it
    /// is not UDP, or too little of it was captured.
    #[must_use]
    pub fn of_ip(time: i64, ip: &'a [u8], wire_len_of_ip: u32, datagrams: u16) -> Option<Self> {
        let header = Ip::of::<UDP>(ip, wire_len_of_ip).ok()?;
        let (fixed, captured) = ip.get(header.carried_at..)?.split_first_chunk::<HEADER>()?;
        let headers = u32::try_from(header.carried_at + HEADER).unwrap_or(u32::MAX);
        // Of a first fragment UDP says how long the datagram is. In a jumbogram it says nothing (RFC 2675 4), and where
        // an offload has merged several, it may still say how long one is.
        let said = u32::from(be16(fixed, 4)).saturating_sub(HEADER as u32);
        let payload = said.max(header.bytes.saturating_sub(headers));
        // Behind the datagram there may be what the link has added.
        let whole = usize::try_from(payload).unwrap_or(usize::MAX);
        Some(Self {
            time,
            source: SocketAddr::new(header.source, be16(fixed, 0)),
            destination: SocketAddr::new(header.destination, be16(fixed, 2)),
            payload,
            captured: &captured[..captured.len().min(whole)],
            ip_bytes: header.bytes,
            datagrams: datagrams.max(1),
            ttl: header.ttl,
            ecn: header.ecn,
        })
    }

    /// Its source and its destination, as [`Segment::ends`](crate::Segment::ends).
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

    /// How many bytes of payload were captured.
    #[must_use]
    pub fn captured_payload(&self) -> usize {
        self.captured.len()
    }

    /// How many datagrams it stands for.
    #[must_use]
    pub fn datagrams(&self) -> u16 {
        self.datagrams
    }
}
