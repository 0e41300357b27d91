//! The command line, and the validated configuration that comes of it.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::Result;
use bytesize::ByteSize;
use clap::{ArgAction, Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use packet_headers_common::record::{MAX_HEADERS, MIN_HEADERS};
use packet_headers_common::settings::MAX_SHARDS;

use crate::config::{Config, Filters, FlowSource, Sizes};
use crate::events::tcpinfo::EventSocket;
use crate::flow::Timing;
use crate::flow::table::Wanted;
use crate::flow::uuid::UuidPrefix;
use crate::interfaces::choice::NamePattern;
use crate::kernel::AttachMethod;

mod files;
mod named;
mod service;

use files::FileArguments;
pub use service::LogFormat;
use service::ServiceArguments;

/// Saves the packet headers, and only the headers, of every TCP connection of this host, each
/// connection in its own pcap file that is named by the connection's UUID.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, args_conflicts_with_subcommands = true)]
pub struct CommandLine {
    /// What to do; without it, capture.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// How to capture.
    #[command(flatten)]
    pub capture: Arguments,
}

/// What to do other than capture.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Say what this host has and lacks for a capture with these flags
    Doctor {
        /// As JSON
        #[arg(long)]
        json: bool,
        /// How to capture.
        #[command(flatten)]
        capture: Box<Arguments>,
    },
    /// Show what a running daemon does, in this terminal
    Top(TopArguments),
}

/// Which daemon to show.
#[derive(Debug, Args)]
pub struct TopArguments {
    /// Where it serves its metrics: its --prometheusx.listen-address
    #[arg(long, value_name = "ADDRESS", default_value = "localhost:9990")]
    pub address: String,
    /// How often to ask it
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    pub interval: Duration,
    /// Print what it says once, as text, and end
    #[arg(long)]
    pub once: bool,
}

/// How to capture.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    files: FileArguments,

    #[command(flatten)]
    service: ServiceArguments,

    /// An interface to capture, or a pattern like 'eth*'; may be given again [default: every one
    /// that is up, or comes up, but loopback]
    #[arg(long, value_name = "NAME")]
    interface: Vec<NamePattern>,

    /// How the kernel programs get to packets
    #[arg(long, value_enum, default_value_t = Attach::Auto)]
    attach: Attach,

    /// Who says when connections begin and end, and what they are called
    #[arg(long, value_enum, default_value_t = SourceKind::Auto)]
    flow_source: SourceKind,

    /// tcp-info's event socket: a path, or tcp://ADDRESS:PORT
    #[arg(long = "tcpinfo.eventsocket", value_name = "SOCKET")]
    tcpinfo_eventsocket: Option<EventSocket>,

    /// A file with what the kernel flow source begins its UUIDs with [default: hostname and boot
    /// time]
    #[arg(long, value_name = "FILE")]
    uuid_prefix_file: Option<PathBuf>,

    /// How long packets wait for their connection's name
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    uuidwaitduration: Duration,

    /// How long a connection is captured
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    captureduration: Duration,

    /// How long a connection may be silent before its file is finished
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    flowtimeout: Duration,

    /// How long a closed connection may be silent before its file is finished: its last packets
    /// come after its close
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    linger: Duration,

    /// Whose connections are named: those of the daemon's own network namespace, or of all on this
    /// host
    #[arg(long, value_enum, default_value_t = Namespaces::Own)]
    netns: Namespaces,

    /// Whether connections that were open before the daemon are captured from its start on
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    existing: bool,

    /// Which connections: all, those accepted here, or those begun here
    #[arg(long, value_enum, default_value_t = Direction::All)]
    direction: Direction,

    /// Only connections with this port at either end; may be given again
    #[arg(long, value_name = "PORT")]
    port: Vec<u16>,

    /// No connections with this port at either end; may be given again
    #[arg(long, value_name = "PORT")]
    exclude_port: Vec<u16>,

    /// Only connections with an address in this network; may be given again
    #[arg(long, value_name = "CIDR")]
    net: Vec<IpNet>,

    /// No connections with an address in this network; may be given again
    #[arg(long, value_name = "CIDR")]
    exclude_net: Vec<IpNet>,

    /// How many header bytes are kept of a packet; longer headers are cut
    #[arg(long, value_name = "BYTES", default_value_t = MAX_HEADERS as u32, value_parser = clap::value_parser!(u32).range(MIN_HEADERS as i64..=MAX_HEADERS as i64))]
    maxheadersize: u32,

    /// Whether connections inside of tunnels are captured, where the tunnel passes an interface: GRE,
    /// IP in IP, VXLAN and GENEVE
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    decapsulate: bool,

    /// Whose clock tells when packets passed
    #[arg(long, value_enum, default_value_t = Timestamp::Software)]
    timestamp: Timestamp,

    /// Memory for everything that grows with traffic
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    maxheap: ByteSize,

    /// How many connections are captured at once; 0 for as many as fit into --maxheap
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    maxflows: usize,

    /// Size of each shard's ring of captured connections; rounded up to a power of two. The ring of
    /// connections that have no name yet is a quarter of it
    #[arg(long, value_name = "SIZE", default_value = "16MiB")]
    ring_size: ByteSize,

    /// How many packet rings, and threads that read them [default: one for four CPUs, at most 8]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SHARDS)))]
    shards: Option<u32>,
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
enum SourceKind {
    /// tcp-info when its event socket is given, else the kernel
    Auto,
    /// tcp-info's event socket
    Tcpinfo,
    /// The kernel's own sockets: nothing else needs to run
    Kernel,
    /// tcp-info, and the kernel for the connections that tcp-info misses
    Hybrid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Namespaces {
    /// The daemon's own
    Own,
    /// Every one on this host
    All,
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

/// One reader is enough for so many CPUs: it takes a packet in a fraction of the time in which one
/// is sent.
const CPUS_PER_SHARD: usize = 4;

/// More readers than this would rather wait for the disk.
const MAX_DEFAULT_SHARDS: usize = 8;

impl Arguments {
    /// Refuses what contradicts itself.
    ///
    /// # Errors
    /// A clap error with the usage, for exit code 2.
    pub fn check(&self) -> Result<(), clap::Error> {
        let refuse = |kind, message| Err(CommandLine::command().error(kind, message));
        if self.uuidwaitduration > self.captureduration {
            let message = format!(
                "--uuidwaitduration ({}) must not exceed --captureduration ({})",
                humantime::format_duration(self.uuidwaitduration),
                humantime::format_duration(self.captureduration)
            );
            return refuse(clap::error::ErrorKind::ValueValidation, message);
        }
        let needs_socket = matches!(self.flow_source, SourceKind::Tcpinfo | SourceKind::Hybrid);
        if needs_socket && self.tcpinfo_eventsocket.is_none() {
            let message = "this --flow-source needs --tcpinfo.eventsocket".to_owned();
            return refuse(clap::error::ErrorKind::MissingRequiredArgument, message);
        }
        let (heap, ring) = (self.maxheap, self.ring_size);
        if heap < MIN_HEAP {
            let message = format!("--maxheap ({heap}) must be at least {MIN_HEAP}");
            return refuse(clap::error::ErrorKind::ValueValidation, message);
        }
        if !(MIN_RING..=MAX_RING).contains(&ring) {
            let message = format!("--ring-size ({ring}) must be {MIN_RING} to {MAX_RING}");
            return refuse(clap::error::ErrorKind::ValueValidation, message);
        }
        self.files
            .check()
            .or_else(|(kind, message)| refuse(kind, message))
    }

    /// How log lines are written.
    #[must_use]
    pub const fn log_format(&self) -> LogFormat {
        self.service.log_format()
    }

    /// What the daemon does by these arguments.
    ///
    /// # Errors
    /// When a file that they name cannot be used.
    pub fn into_config(self) -> Result<Config> {
        let given = self.uuid_prefix_file.as_deref();
        let given = given.map(UuidPrefix::from_file).transpose()?;
        let source = match (self.flow_source, self.tcpinfo_eventsocket) {
            (SourceKind::Hybrid, Some(socket)) => FlowSource::Hybrid(socket, given),
            (SourceKind::Auto | SourceKind::Tcpinfo, Some(socket)) => {
                FlowSource::TcpInfo(socket, given)
            }
            _ => FlowSource::Kernel(given.map_or_else(UuidPrefix::of_this_host, Ok)?),
        };
        Ok(Config {
            interfaces: self.interface,
            attach: match self.attach {
                Attach::Auto => None,
                Attach::Tcx => Some(AttachMethod::Tcx),
                Attach::Netlink => Some(AttachMethod::Netlink),
                Attach::Socket => Some(AttachMethod::Socket),
            },
            source,
            every_netns: self.netns == Namespaces::All,
            existing: self.existing,
            decapsulate: self.decapsulate,
            hardware_clock: self.timestamp == Timestamp::Hardware,
            timing: Timing {
                uuid_wait: self.uuidwaitduration,
                capture: self.captureduration,
                idle: self.flowtimeout,
                linger: self.linger,
                spill: self.files.spill_interval(),
            },
            files: self.files.into_config()?,
            sizes: Sizes {
                shards: self.shards.unwrap_or_else(default_shards),
                ring: ring_bytes(self.ring_size),
                heap: usize::try_from(self.maxheap.as_u64()).unwrap_or(usize::MAX),
                flows: match self.maxflows {
                    0 => usize::MAX,
                    flows => flows,
                },
                headers: self.maxheadersize,
            },
            filters: Filters {
                wanted: match self.direction {
                    Direction::All => Wanted::All,
                    Direction::Incoming => Wanted::Incoming,
                    Direction::Outgoing => Wanted::Outgoing,
                },
                ports: self.port,
                exclude_ports: self.exclude_port,
                nets: self.net,
                exclude_nets: self.exclude_net,
            },
            service: self.service.into_config(),
        })
    }
}

/// Less memory than this holds no useful number of flows.
const MIN_HEAP: ByteSize = ByteSize::mib(16);

/// The candidates' ring is a quarter of it, and must be whole pages of any size up to 64 KiB.
const MIN_RING: ByteSize = ByteSize::kib(256);

/// The kernel's bound of a ring buffer is 4 GiB, its users' that of the address space around it.
const MAX_RING: ByteSize = ByteSize::gib(1);

/// The next power of two, which is what a ring buffer's size has to be.
fn ring_bytes(size: ByteSize) -> u32 {
    u32::try_from(size.as_u64().next_power_of_two()).unwrap_or(1 << 30)
}

fn default_shards() -> u32 {
    let cpus = available_parallelism().map_or(1, NonZeroUsize::get);
    let shards = (cpus / CPUS_PER_SHARD).clamp(1, MAX_DEFAULT_SHARDS);
    u32::try_from(shards).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        let line = CommandLine::try_parse_from([&["packet-headers"], arguments].concat())?;
        line.capture.check()?;
        Ok(line.capture)
    }

    #[test]
    fn the_definition_holds_together() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn nothing_captures_everything_with_the_kernel_as_source() {
        let config = parse(&[]).unwrap().into_config().unwrap();
        assert!(config.interfaces.is_empty());
        assert!(matches!(config.source, FlowSource::Kernel(_)));
        assert_eq!(config.timing.capture, Duration::from_secs(30));
    }

    #[test]
    fn an_event_socket_makes_tcpinfo_the_source_unless_told_otherwise() {
        let socket = "--tcpinfo.eventsocket=/run/tcpevents.sock";
        let config = parse(&[socket]).unwrap().into_config().unwrap();
        assert!(matches!(config.source, FlowSource::TcpInfo(..)));
        let kernel = parse(&[socket, "--flow-source", "kernel"]).unwrap();
        let config = kernel.into_config().unwrap();
        assert!(matches!(config.source, FlowSource::Kernel(_)));
    }

    #[test]
    fn sizes_and_filters_are_taken_as_they_are_meant() {
        let config = parse(&["--maxheap=256MB", "--ring-size=5MiB", "--existing=false"]).unwrap();
        let config = config.into_config().unwrap();
        assert_eq!(config.sizes.heap, 256_000_000);
        assert_eq!(config.sizes.ring, 8 << 20);
        assert!(!config.existing);
        assert_eq!((config.sizes.headers, config.decapsulate), (1024, false));
        let config = parse(&[
            "--maxheadersize=64",
            "--decapsulate",
            "--timestamp=hardware",
        ])
        .unwrap();
        let config = config.into_config().unwrap();
        assert_eq!((config.sizes.headers, config.decapsulate), (64, true));
        assert!(config.hardware_clock);
        let config = parse(&["--net=10.0.0.0/8", "--net", "2001:db8::/32", "--port=443"]).unwrap();
        let filters = config.into_config().unwrap().filters;
        assert_eq!(filters.nets.len(), 2);
        assert_eq!(filters.ports, [443]);
    }

    #[test]
    fn contradictions_are_refused() {
        let error = parse(&["--uuidwaitduration=40s"]).unwrap_err().to_string();
        assert!(error.contains("--uuidwaitduration (40s) must not exceed --captureduration (30s)"));
        let error = parse(&["--flow-source=tcpinfo"]).unwrap_err().to_string();
        assert!(error.contains("needs --tcpinfo.eventsocket"));
        assert!(parse(&["--flow-source=hybrid"]).is_err());
        assert!(parse(&["--maxheap=1MB"]).is_err());
        assert!(parse(&["--ring-size=1KiB"]).is_err());
        assert!(parse(&["--shards=0"]).is_err());
        assert!(parse(&["--maxheadersize=63"]).is_err());
        assert!(parse(&["--maxheadersize=1025"]).is_err());
        assert!(parse(&["--net=10.0.0.0/33"]).is_err());
        assert!(parse(&["--linger=soon"]).is_err());
    }
}
