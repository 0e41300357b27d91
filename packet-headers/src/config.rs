//! What the daemon does: the command line's values, validated.

use std::path::PathBuf;

use ipnet::IpNet;
use packet_headers_common::Endpoint;

use crate::anonymize::Method;
use crate::events::tcpinfo::EventSocket;
use crate::flow::Timing;
use crate::flow::table::Wanted;
use crate::flow::uuid::UuidPrefix;
use crate::http::ListenAddress;
use crate::interfaces::choice::NamePattern;
use crate::kernel::AttachMethod;
use crate::store::layout::Naming;
use crate::store::retention::Limits;

/// What the daemon does.
#[derive(Debug)]
pub struct Config {
    /// Where files go, and what they look like.
    pub files: Files,
    /// The interfaces to capture; none for every one that is or comes up but loopback.
    pub interfaces: Vec<NamePattern>,
    /// How programs get to their packets; the best that works when nothing was said.
    pub attach: Option<AttachMethod>,
    /// Who names flows.
    pub source: FlowSource,
    /// Whether sockets of every network namespace count, or only of the daemon's own.
    pub every_netns: bool,
    /// Whether connections that were open before the daemon are captured.
    pub existing: bool,
    /// Whether TCP inside of tunnels is captured.
    pub decapsulate: bool,
    /// Whether the NIC's clock tells packets' times, where it does.
    pub hardware_clock: bool,
    /// How long things last.
    pub timing: Timing,
    /// How much there may be.
    pub sizes: Sizes,
    /// Which connections are wanted.
    pub filters: Filters,
    /// What others can ask of the daemon.
    pub service: Service,
}

/// What others can ask of the daemon.
#[derive(Debug, Clone)]
pub struct Service {
    /// Where metrics and health are served over HTTP, if they are.
    pub http: Option<ListenAddress>,
    /// Who may read over HTTP which connections there are.
    pub flows: FlowReaders,
    /// The Unix socket on which the kernel source's events are served, if they are.
    pub events: Option<PathBuf>,
}

/// Who may read over HTTP which connections there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowReaders {
    /// Who asks from this host.
    Host,
    /// Whoever reaches the port.
    Anyone,
    /// Nobody.
    Nobody,
}

/// Where files go, and what they look like.
#[derive(Debug)]
pub struct Files {
    /// Where published files go.
    pub data: PathBuf,
    /// Where files grow.
    pub partial: PathBuf,
    /// Whether a file is made safe against a power loss before it is published.
    pub fsync: bool,
    /// What they are called, and their format and compression.
    pub naming: Naming,
    /// How hard compression tries, when it was said.
    pub level: Option<u32>,
    /// How addresses are hidden, if they are.
    pub anonymize: Option<Method>,
    /// How much published files may take, and how old they may get.
    pub retention: Limits,
}

/// Who says when flows begin and end, and what they are called.
#[derive(Debug, Clone)]
pub enum FlowSource {
    /// The kernel's sockets, named with this prefix.
    Kernel(UuidPrefix),
    /// tcp-info. The prefix is for connections that were open before us, when it was given.
    TcpInfo(EventSocket, Option<UuidPrefix>),
    /// tcp-info, and the kernel for what tcp-info misses, under the names that it would have given.
    Hybrid(EventSocket, Option<UuidPrefix>),
}

impl FlowSource {
    /// Whether the kernel's sockets are watched.
    #[must_use]
    pub const fn watches_sockets(&self) -> bool {
        matches!(self, Self::Kernel(_) | Self::Hybrid(..))
    }
}

/// How much there may be.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Packet rings, and threads that read them.
    pub shards: u32,
    /// Bytes of one shard's ring of named connections; that of the others is a quarter of it.
    pub ring: u32,
    /// Bytes of memory for everything that grows with traffic.
    pub heap: usize,
    /// Named connections at once.
    pub flows: usize,
    /// Header bytes that are kept of a packet.
    pub headers: u32,
}

/// Connections that nobody named get a quarter of the ring that named ones get: their ring is the
/// one that a flood fills.
const CANDIDATE_RING_SHARE: u32 = 4;

impl Sizes {
    /// Bytes of one shard's ring of connections that nobody has named yet.
    #[must_use]
    pub const fn candidate_ring(&self) -> u32 {
        self.ring / CANDIDATE_RING_SHARE
    }
}

/// Which connections are wanted; an empty list asks for nothing.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    /// Who sent the SYN.
    pub wanted: Wanted,
    /// Only connections with one of these ports at either end.
    pub ports: Vec<u16>,
    /// No connections with one of these ports at either end.
    pub exclude_ports: Vec<u16>,
    /// Only connections with an address of either end in one of these.
    pub nets: Vec<IpNet>,
    /// No connections with an address of either end in one of these.
    pub exclude_nets: Vec<IpNet>,
}

impl Filters {
    /// Whether ports and networks are those of a wanted connection, as the kernel programs decide.
    #[must_use]
    pub fn pass(&self, one: Endpoint, other: Endpoint) -> bool {
        let ends = [one, other];
        let port = |list: &[u16]| ends.iter().any(|end| list.contains(&end.port()));
        let net = |list: &[IpNet]| {
            ends.iter()
                .any(|end| list.iter().any(|net| within(end, net)))
        };
        (self.ports.is_empty() || port(&self.ports))
            && !port(&self.exclude_ports)
            && (self.nets.is_empty() || net(&self.nets))
            && !net(&self.exclude_nets)
    }
}

/// Whether an address is in a network; one of IPv6 holds IPv4 addresses as v4-mapped ones.
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
