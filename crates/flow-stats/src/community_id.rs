//! Community IDs, version 1: names for a connection that Zeek, Suricata, Arkime and Wireshark give it, too.

use std::net::SocketAddr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha1::{Digest as _, Sha1};

use crate::segment::octets;

/// The protocol number of TCP.
const TCP: u8 = 6;

/// The Community ID of a TCP connection between two ends, in either order, with the seed 0.
///
/// Source: <https://github.com/corelight/community-id-spec>.
#[must_use]
pub fn community_id(ends: [SocketAddr; 2]) -> String {
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
    hash.update([TCP, 0]);
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
        for (one, other, id) in [
            (
                "128.232.110.120:34855",
                "66.35.250.204:80",
                "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
            ),
            (
                "[2001:0db8:85a3::8a2e:0370:7334]:1",
                "[2001:0db8:85a3::8a2e:0370:7335]:2",
                "",
            ),
        ] {
            let ends: [SocketAddr; 2] = [one.parse().unwrap(), other.parse().unwrap()];
            let found = community_id(ends);
            assert_eq!(found, community_id([ends[1], ends[0]]), "in either order");
            if !id.is_empty() {
                assert_eq!(found, id);
            }
        }
    }
}
