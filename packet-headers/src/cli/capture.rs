//! The flags that say which packets are captured, where, and for how long.

use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use ipnet::IpNet;
use packet_headers_common::record::{MAX_HEADERS, MIN_HEADERS};

use super::{duration, go};
use model::{AttachMethod, Filters, NamePattern, Wanted};

/// The flags that say which packets are captured, where, and for how long.
#[derive(Debug, Args)]
#[command(next_help_heading = "Capture")]
pub(super) struct CaptureArguments {
    /// An interface to capture, or a pattern like 'eth*'; may be given again [default: every one
    /// that is up, or comes up, but loopback]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    interface: Vec<NamePattern>,

    /// How the kernel programs get to packets
    #[arg(long, value_enum, default_value_t = Attach::Auto)]
    attach: Attach,

    /// How long a connection is captured
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    captureduration: Duration,

    /// How long a connection may be silent before its file is finished
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    flowtimeout: Duration,

    /// How long a closed connection may be silent before its file is finished: its last packets
    /// come after its close
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration::parse, hide_short_help = true)]
    linger: Duration,

    /// Which connections: all, those accepted here, or those begun here
    #[arg(long, value_enum, default_value_t = Direction::All)]
    direction: Direction,

    /// Only connections with this port at either end; may be given again
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    port: Vec<u16>,

    /// No connections with this port at either end; may be given again
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    exclude_port: Vec<u16>,

    /// Only connections with an address in this network; may be given again
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    net: Vec<IpNet>,

    /// No connections with an address in this network; may be given again
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    exclude_net: Vec<IpNet>,

    /// How many header bytes are kept of a packet, 64 to 1024; longer headers are cut
    #[arg(long, value_name = "BYTES", default_value_t = MAX_HEADERS as u32, value_parser = clap::value_parser!(u32).range(MIN_HEADERS as i64..))]
    maxheadersize: u32,

    /// Whether connections inside of tunnels are captured, where the tunnel passes an interface: GRE,
    /// IP in IP, VXLAN and GENEVE
    #[arg(long, value_name = "BOOL", default_value_t = false, value_parser = go::boolean, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true, hide_short_help = true)]
    decapsulate: bool,

    /// Whose clock tells when packets passed
    #[arg(long, value_enum, default_value_t = Timestamp::Software, hide_short_help = true)]
    timestamp: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Attach {
    /// The best that works on this host
    Auto,
    /// TCX links: Linux 6.6
    Tcx,
    /// TC filters in the clsact qdisc
    Netlink,
    /// A packet socket, where TC cannot be used
    Socket,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Direction {
    /// Every connection
    All,
    /// Connections that were accepted here
    Incoming,
    /// Connections that were begun here
    Outgoing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Timestamp {
    /// The kernel's, when the packet passes the interface
    Software,
    /// The NIC's, for packets that it stamped and while its clock is set by the system's
    Hardware,
}

impl CaptureArguments {
    /// What is to be said of flags that mean less than they say.
    pub(super) fn notes(&self) -> Option<String> {
        (self.maxheadersize > MAX_HEADERS as u32).then(|| {
            format!("--maxheadersize is {MAX_HEADERS}: no more of a packet's headers can be kept")
        })
    }

    /// How long a connection is captured.
    pub(super) const fn duration(&self) -> Duration {
        self.captureduration
    }

    /// How long a connection may be silent.
    pub(super) const fn idle(&self) -> Duration {
        self.flowtimeout
    }

    /// How long a closed connection may be silent.
    pub(super) const fn linger(&self) -> Duration {
        self.linger
    }

    /// How programs get to packets; the best that works when nothing was said.
    pub(super) const fn attach(&self) -> Option<AttachMethod> {
        match self.attach {
            Attach::Auto => None,
            Attach::Tcx => Some(AttachMethod::Tcx),
            Attach::Netlink => Some(AttachMethod::Netlink),
            Attach::Socket => Some(AttachMethod::Socket),
        }
    }

    /// How many header bytes are kept of a packet.
    pub(super) fn header_bytes(&self) -> u32 {
        self.maxheadersize.min(MAX_HEADERS as u32)
    }

    /// Whether TCP inside of tunnels is captured.
    pub(super) const fn decapsulate(&self) -> bool {
        self.decapsulate
    }

    /// Whether the NIC's clock tells packets' times.
    pub(super) fn hardware_clock(&self) -> bool {
        self.timestamp == Timestamp::Hardware
    }

    /// The interfaces to capture, and which connections are wanted.
    pub(super) fn into_parts(self) -> (Vec<NamePattern>, Filters) {
        let filters = Filters {
            wanted: match self.direction {
                Direction::All => Wanted::All,
                Direction::Incoming => Wanted::Incoming,
                Direction::Outgoing => Wanted::Outgoing,
            },
            exclude_loopback: !captures_loopback(&self.interface),
            ports: self.port,
            exclude_ports: self.exclude_port,
            nets: self.net,
            exclude_nets: self.exclude_net,
        };
        (self.interface, filters)
    }
}

/// The name of the loopback interface, in every network namespace.
const LOOPBACK: &str = "lo";

/// Whether loopback is captured: it has to be named, as patterns never match it.
fn captures_loopback(interfaces: &[NamePattern]) -> bool {
    interfaces.iter().any(|pattern| pattern.names(LOOPBACK))
}
