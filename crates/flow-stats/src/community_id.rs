//! Community IDs, version 1: names for a connection that Zeek, Suricata, Arkime and Wireshark give it, too.

use std::net::SocketAddr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha1::{Digest as _, Sha1};

use crate::{ip::octets, words::Protocol};

/// The Community ID of what two ends have between them, in either order, by this protocol, with the seed 0.
///
/// Source: <https://github.com/corelight/community-id-spec>.
#[must_use]
pub fn community_id(protocol: Protocol, ends: [SocketAddr; 2]) -> String {
    let [first, second] = ends.map(|end| octets(&end));
    let key = |(address, length, port): ([u8; 16], usize, u16)| (length, address, port);
    let (low, high) = if key(first) <= key(second) {
        (first, second)
    } else {
        (second, first)
    };
    let mut hash = Sha1::new();
    // The seed, which keeps IDs of different networks apart.
    hash.update([0, 0]);
    hash.update(&low.0[..low.1]);
    hash.update(&high.0[..high.1]);
    hash.update([protocol.number(), 0]);
    hash.update(low.2.to_be_bytes());
    hash.update(high.2.to_be_bytes());
    format!("1:{}", BASE64_STANDARD.encode(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the baseline of the specification.
    #[test]
    fn ids_are_those_of_the_specification() {
        for (protocol, one, other, id) in [
            (
                Protocol::Tcp,
                "128.232.110.120:34855",
                "66.35.250.204:80",
                "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
            ),
            (
                Protocol::Udp,
                "192.168.1.52:54585",
                "8.8.8.8:53",
                "1:d/FP5EW3wiY1vCndhwleRRKHowQ=",
            ),
            (
                Protocol::Quic,
                "192.168.1.52:54585",
                "8.8.8.8:53",
                "1:d/FP5EW3wiY1vCndhwleRRKHowQ=",
            ),
        ] {
            let ends: [SocketAddr; 2] = [one.parse().unwrap(), other.parse().unwrap()];
            let found = community_id(protocol, ends);
            assert_eq!(
                found,
                community_id(protocol, [ends[1], ends[0]]),
                "in either order"
            );
            assert_eq!(found, id);
        }
    }
}
