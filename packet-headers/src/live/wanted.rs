//! What a watcher wants to see.

use std::net::IpAddr;

use ipnet::IpNet;
use packet_headers_common::FlowKey;
use serde::{Deserialize, Serialize};

/// Which connections a watcher wants to see: those with one end in any of the networks, and one end at any
/// of the ports. Without networks or ports, these do not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Networks.
    #[serde(default)]
    pub addresses: Vec<IpNet>,
    /// Ports.
    #[serde(default)]
    pub ports: Vec<u16>,
}

impl Wanted {
    /// Whether a connection is one of them.
    pub(super) fn has(&self, connection: &FlowKey) -> bool {
        let (low, high) = connection.ends();
        let ends = [low, high];
        let within = |net: &IpNet| {
            ends.iter()
                .any(|end| net.contains(&IpAddr::to_canonical(&end.ip())))
        };
        let at = |port: &u16| ends.iter().any(|end| end.port() == *port);
        (self.addresses.is_empty() || self.addresses.iter().any(within))
            && (self.ports.is_empty() || self.ports.iter().any(at))
    }
}

#[cfg(test)]
mod tests {
    use packet_headers_common::Endpoint;

    use super::*;

    fn wanted(addresses: &[&str], ports: &[u16]) -> Wanted {
        let addresses = addresses.iter().map(|net| net.parse().unwrap());
        Wanted {
            addresses: addresses.collect(),
            ports: ports.to_vec(),
        }
    }

    #[test]
    fn a_connection_needs_an_end_of_each_kind_that_is_asked_for() {
        let v4 = FlowKey::new(
            Endpoint::v4([192, 0, 2, 1], 443),
            Endpoint::v4([198, 51, 100, 7], 50_000),
        );
        for (asked, has) in [
            (wanted(&[], &[]), true),
            (wanted(&["192.0.2.0/24"], &[]), true),
            (wanted(&["198.51.100.7/32"], &[443]), true),
            (
                wanted(&["203.0.113.0/24", "192.0.2.1/32"], &[80, 50_000]),
                true,
            ),
            (wanted(&["203.0.113.0/24"], &[443]), false),
            (wanted(&["192.0.2.0/24"], &[80]), false),
            (wanted(&["::/0"], &[]), false),
        ] {
            assert_eq!(asked.has(&v4), has, "{asked:?}");
        }
        let v6 = FlowKey::new(
            Endpoint::v6([0x2001_0db8 << 32, 1], 1),
            Endpoint::v6([0, 7], 2),
        );
        assert!(wanted(&["2001:db8::/32"], &[2]).has(&v6));
        assert!(!wanted(&["192.0.2.0/24"], &[]).has(&v6));
    }

    #[test]
    fn it_is_a_line_of_json_and_what_is_not_known_is_refused() {
        let asked = wanted(&["192.0.2.0/24"], &[443]);
        let line = serde_json::to_string(&asked).unwrap();
        assert_eq!(line, r#"{"addresses":["192.0.2.0/24"],"ports":[443]}"#);
        assert_eq!(serde_json::from_str::<Wanted>(&line).unwrap(), asked);
        assert_eq!(
            serde_json::from_str::<Wanted>("{}").unwrap(),
            Wanted::default()
        );
        assert!(serde_json::from_str::<Wanted>(r#"{"port":[443]}"#).is_err());
    }
}
