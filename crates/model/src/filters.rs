//! Filters: which connections are captured.

use ipnet::IpNet;
use packet_headers_common::Endpoint;

/// Which connections are wanted, by the end that sent the SYN (`--direction`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wanted {
    /// Every one.
    #[default]
    All,
    /// Those that this host accepted.
    Incoming,
    /// Those that this host opened.
    Outgoing,
}

/// Which connections are wanted. An empty list does not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters {
    /// By the end that sent the SYN.
    pub wanted: Wanted,
    /// No connections over loopback: that interface is not captured, so they can have no packet.
    pub exclude_loopback: bool,
    /// Only connections with one of these ports at either end.
    pub ports: Vec<u16>,
    /// No connections with one of these ports at either end.
    pub exclude_ports: Vec<u16>,
    /// Only connections with an address in one of these networks, at either end.
    pub nets: Vec<IpNet>,
    /// No connections with an address in one of these networks, at either end.
    pub exclude_nets: Vec<IpNet>,
}

impl Filters {
    /// Whether a connection passes the filters for ports and networks. The kernel programs decide the
    /// same way.
    #[must_use]
    pub fn pass(&self, one: Endpoint, other: Endpoint) -> bool {
        let ends = [one, other];
        let port = |list: &[u16]| ends.iter().any(|end| list.contains(&end.port()));
        let net = |list: &[IpNet]| {
            ends.iter()
                .any(|end| list.iter().any(|net| within(end, net)))
        };
        let loopback = ends.iter().any(Endpoint::is_loopback);
        !(self.exclude_loopback && loopback)
            && (self.ports.is_empty() || port(&self.ports))
            && !port(&self.exclude_ports)
            && (self.nets.is_empty() || net(&self.nets))
            && !net(&self.exclude_nets)
    }
}

/// Whether an address is in a network. An IPv6 network may contain IPv4 addresses, as v4-mapped ones.
fn within(end: &Endpoint, net: &IpNet) -> bool {
    match net {
        IpNet::V4(_) => net.contains(&end.ip()),
        IpNet::V6(net) => net.contains(&std::net::Ipv6Addr::from(end.octets())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_left_out_where_it_is_not_captured() {
        let local = Endpoint::v4([127, 0, 0, 1], 443);
        let own = Endpoint::v4([10, 0, 0, 1], 50_000);
        for (exclude_loopback, passes) in [(false, true), (true, false)] {
            let filters = Filters {
                exclude_loopback,
                ..Filters::default()
            };
            assert_eq!(filters.pass(local, local), passes);
            assert!(filters.pass(own, own));
        }
    }

    #[test]
    fn filters_look_at_both_ends() {
        let server = Endpoint::v4([10, 0, 0, 1], 443);
        let client = Endpoint::v4([192, 0, 2, 7], 50_000);
        let passes = |filters: Filters| {
            let both = [filters.pass(server, client), filters.pass(client, server)];
            assert_eq!(both[0], both[1]);
            both[0]
        };
        let nets = |text: &str| vec![text.parse().unwrap()];
        let none = Filters::default;
        assert!(passes(none()));
        for (port, named) in [(443, true), (50_000, true), (80, false)] {
            let (ports, exclude_ports) = (vec![port], vec![port]);
            assert_eq!(passes(Filters { ports, ..none() }), named);
            let excluding = Filters {
                exclude_ports,
                ..none()
            };
            assert_eq!(passes(excluding), !named);
        }
        for (net, named) in [
            ("192.0.2.0/24", true),
            ("10.0.0.0/8", true),
            ("10.1.0.0/16", false),
            ("::ffff:0:0/96", true),
            ("2001:db8::/32", false),
        ] {
            let filters = Filters {
                nets: nets(net),
                ..none()
            };
            assert_eq!(passes(filters), named, "{net}");
            let filters = Filters {
                exclude_nets: nets(net),
                ..none()
            };
            assert_eq!(passes(filters), !named, "{net}");
        }
    }
}
