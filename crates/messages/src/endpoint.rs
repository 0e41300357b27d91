//! Endpoints from addresses.

use std::net::IpAddr;

use packet_headers_common::Endpoint;

/// An endpoint. A v4-mapped IPv6 address is the same as its IPv4 address.
#[must_use]
pub fn endpoint(address: IpAddr, port: u16) -> Endpoint {
    match address {
        IpAddr::V4(address) => Endpoint::v4(address.octets(), port),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            Endpoint::v6([(bits >> 64) as u64, bits as u64], port)
        }
    }
}
