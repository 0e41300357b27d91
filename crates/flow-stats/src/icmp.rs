//! ICMP errors about a connection: routers and hosts say why they dropped a packet of it, and quote that.

use std::net::SocketAddr;

use crate::column::columns;
use crate::ip::{be16, be32, carried, quoted_ends};

/// Bytes of an ICMP header, behind which an error has its quote.
const HEADER: usize = 8;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

columns! {
    /// What ICMP and ICMPv6 errors said that quote a packet of the connection. Anybody can forge them.
    Icmp [ICMP_COLUMNS: "icmp_"] {
        /// ICMP errors in the capture that quote a packet of the connection. They count as packets nowhere. Nothing
        /// for UDP and QUIC, of which errors are not looked at, and in rows of older versions.
        errors: Option<u64>, "RFC 792, RFC 4443 2.1; tshark: `icmp.type`, `icmpv6.type`";
        /// The smallest MTU that one of them told: of a link for which a packet was too big.
        mtu_bytes: Option<u32>, "RFC 1191 4, RFC 8201 4; tshark: `icmp.mtu`, `icmpv6.mtu`";
    }
}

impl Icmp {
    /// Nobody looks.
    pub(crate) const UNKNOWN: Self = Self {
        errors: None,
        mtu_bytes: None,
    };

    /// No error.
    pub(crate) const NONE: Self = Self {
        errors: Some(0),
        mtu_bytes: None,
    };

    pub(crate) fn add(&mut self, error: &IcmpError) {
        self.errors = self.errors.map(|errors| errors + 1);
        self.mtu_bytes = match (self.mtu_bytes, error.mtu) {
            (Some(known), Some(told)) => Some(known.min(told)),
            (known, told) => known.or(told),
        };
    }
}

/// An ICMP error that quotes a TCP packet: unreachable, too big, time exceeded, a problem with a parameter,
/// redirect or source quench.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpError {
    time: i64,
    source: SocketAddr,
    destination: SocketAddr,
    mtu: Option<u32>,
}

impl IcmpError {
    /// Decodes an IP packet, `ip`, from its IP header on and as far as it was captured: up to the ports of the
    /// quoted packet at least. `time` is in nanoseconds since 1970. `None` if it is no such error.
    #[must_use]
    pub fn of_ip(time: i64, ip: &[u8]) -> Option<Self> {
        let (protocol, message) = carried(ip)?;
        let (header, quoted) = message.split_first_chunk::<HEADER>()?;
        let told = match (protocol, header[0]) {
            (ICMP, 3) if header[1] == 4 => be16(header, 6).into(),
            (ICMP, 3 | 4 | 5 | 11 | 12) | (ICMPV6, 1 | 3 | 4) => 0,
            (ICMPV6, 2) => be32(header, 4),
            _ => return None,
        };
        let (source, destination) = quoted_ends(quoted)?;
        // ICMP for IPv4 quotes IPv4, and the other the other.
        (source.is_ipv4() == (protocol == ICMP)).then_some(Self {
            time,
            source,
            destination,
            // A router that is older than RFC 1191 says nothing.
            mtu: Some(told).filter(|told| *told != 0),
        })
    }

    /// Source and destination of the packet that it quotes: what [`Segment::ends`](crate::Segment::ends) are of
    /// that.
    #[must_use]
    pub fn ends(&self) -> (SocketAddr, SocketAddr) {
        (self.source, self.destination)
    }

    /// When it was captured: nanoseconds since 1970.
    #[must_use]
    pub fn time(&self) -> i64 {
        self.time
    }
}
