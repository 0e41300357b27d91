//! The ends of a connection or flow, as what it is found by.

use std::net::{IpAddr, SocketAddr};

/// Both ends, the smaller one first, as numbers: they are hashed and compared for each packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ends {
    addresses: [u128; 2],
    ports_and_family: u64,
}

impl Ends {
    #[inline]
    pub(crate) fn of((from, to): (SocketAddr, SocketAddr)) -> Self {
        let number = |end: SocketAddr| match end.ip() {
            IpAddr::V4(address) => (u128::from(address.to_bits()), end.port()),
            IpAddr::V6(address) => (address.to_bits(), end.port()),
        };
        let (one, other) = (number(from), number(to));
        let [one, other] = if one <= other {
            [one, other]
        } else {
            [other, one]
        };
        let ports_and_family =
            u64::from(one.1) << 32 | u64::from(other.1) << 16 | u64::from(from.is_ipv6());
        Self {
            addresses: [one.0, other.0],
            ports_and_family,
        }
    }
}
