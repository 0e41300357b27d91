//! Flags that select which packets are captured, where, and for how long.

use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use ipnet::IpNet;
use packet_headers_common::record::{MAX_HEADERS, MIN_HEADERS};

use super::{duration, go, network};
use model::{AttachMethod, Filters, NamePattern, Wanted};

/// Flags that select which packets are captured, where, and for how long.
#[derive(Debug, Args)]
#[command(next_help_heading = "Capture")]
pub(super) struct CaptureArguments {
    /// An interface to capture, or a pattern such as 'eth*'; repeatable [default: every interface
    /// that is up, or comes up later, except loopback]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    interface: Vec<NamePattern>,

    /// How the kernel programs are attached
    #[arg(long, value_enum, default_value_t = Attach::Auto)]
    attach: Attach,

    /// How long a connection is captured
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    captureduration: Duration,

    /// How long a connection may be silent before its file is finished
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    flowtimeout: Duration,

    /// How long a closed connection must be silent before its file is finished: its last packets
    /// arrive after it is closed
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration::parse, hide_short_help = true)]
    linger: Duration,

    /// Which connections to capture, by the side that sent the SYN
    #[arg(long, value_enum, default_value_t = Direction::All)]
    direction: Direction,

    /// Capture only connections with this port at either end; repeatable
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    port: Vec<u16>,

    /// Leave out connections with this port at either end; repeatable
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    exclude_port: Vec<u16>,

    /// Capture only connections with this address, or one in this network; repeatable
    #[arg(long, value_name = "NET", value_delimiter = ',', value_parser = network::parse)]
    net: Vec<IpNet>,

    /// Leave out connections with this address, or one in this network; repeatable
    #[arg(long, value_name = "NET", value_delimiter = ',', value_parser = network::parse)]
    exclude_net: Vec<IpNet>,

    /// Header bytes kept per packet, at least 64 and at most 1024; longer headers are truncated
    #[arg(long, value_name = "BYTES", default_value_t = MAX_HEADERS as u32, value_parser = clap::value_parser!(u32).range(MIN_HEADERS as i64..))]
    maxheadersize: u32,

    /// Capture connections inside tunnels where the tunnel passes an interface: GRE, IP in IP, VXLAN
    /// and GENEVE
    #[arg(long, value_name = "BOOL", default_value_t = false, value_parser = go::boolean, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true, hide_short_help = true)]
    decapsulate: bool,

    /// Keep ICMP and ICMPv6 errors that quote a packet of a connection (unreachable, too big, time
    /// exceeded) in that connection's file
    #[arg(long, value_name = "BOOL", default_value_t = true, value_parser = go::boolean, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true, hide_short_help = true)]
    icmp_errors: bool,

    /// Clock used for packet timestamps
    #[arg(long, value_enum, default_value_t = Timestamp::Software, hide_short_help = true)]
    timestamp: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Attach {
    /// The best method that works on this host
    Auto,
    /// TCX links (Linux 6.6)
    Tcx,
    /// TC filters in the clsact qdisc
    Netlink,
    /// A packet socket, for hosts where TC cannot be used
    Socket,
    /// Rings of packet sockets, without eBPF: needs CAP_NET_RAW alone
    Raw,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Direction {
    /// Every connection
    All,
    /// Connections accepted by this host
    Incoming,
    /// Connections opened by this host
    Outgoing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Timestamp {
    /// The kernel's clock, when the packet passes the interface
    Software,
    /// The NIC's clock, for packets that it stamped, while within a second of the system's
    Hardware,
}

impl CaptureArguments {
    /// A remark to log once, if a flag has only part of its effect.
    pub(super) fn notes(&self) -> Option<String> {
        (self.maxheadersize > MAX_HEADERS as u32).then(|| {
            format!("--maxheadersize is taken as {MAX_HEADERS}, the most that can be kept")
        })
    }

    /// `--captureduration`.
    pub(super) const fn duration(&self) -> Duration {
        self.captureduration
    }

    /// How long an open connection may be silent before its file is finished.
    pub(super) const fn idle(&self) -> Duration {
        self.flowtimeout
    }

    /// How long a closed connection must be silent before its file is finished.
    pub(super) const fn linger(&self) -> Duration {
        self.linger
    }

    /// The attach method; `None` for the best that works.
    pub(super) const fn attach(&self) -> Option<AttachMethod> {
        match self.attach {
            Attach::Auto => None,
            Attach::Tcx => Some(AttachMethod::Tcx),
            Attach::Netlink => Some(AttachMethod::Netlink),
            Attach::Socket => Some(AttachMethod::Socket),
            Attach::Raw => Some(AttachMethod::Raw),
        }
    }

    /// Header bytes kept per packet, within what a record can hold.
    pub(super) fn header_bytes(&self) -> u32 {
        self.maxheadersize.min(MAX_HEADERS as u32)
    }

    /// Whether connections inside tunnels are captured.
    pub(super) const fn decapsulate(&self) -> bool {
        self.decapsulate
    }

    /// Whether ICMP errors that quote a connection's packet are captured.
    pub(super) const fn icmp_errors(&self) -> bool {
        self.icmp_errors
    }

    /// Whether packets get the NIC's timestamps.
    pub(super) fn hardware_clock(&self) -> bool {
        self.timestamp == Timestamp::Hardware
    }

    /// The filters for connections.
    pub(super) fn filters(&self) -> Filters {
        Filters {
            wanted: match self.direction {
                Direction::All => Wanted::All,
                Direction::Incoming => Wanted::Incoming,
                Direction::Outgoing => Wanted::Outgoing,
            },
            exclude_loopback: !captures_loopback(&self.interface),
            ports: self.port.clone(),
            exclude_ports: self.exclude_port.clone(),
            nets: self.net.clone(),
            exclude_nets: self.exclude_net.clone(),
        }
    }

    /// The interfaces to capture.
    pub(super) fn into_interfaces(self) -> Vec<NamePattern> {
        self.interface
    }
}

/// The name of the loopback interface, in every network namespace.
const LOOPBACK: &str = "lo";

/// Whether loopback is captured: it has to be named, as patterns never match it.
fn captures_loopback(interfaces: &[NamePattern]) -> bool {
    interfaces.iter().any(|pattern| pattern.names(LOOPBACK))
}
