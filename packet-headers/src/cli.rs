//! The command line, and the validated configuration that comes of it.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{CommandFactory as _, Parser, ValueEnum};

use crate::events::tcpinfo::EventSocket;
use crate::flow::Timing;
use crate::flow::uuid::UuidPrefix;
use crate::store::layout::partial_directory;

/// Saves the packet headers, and only the headers, of every TCP connection of this host, each
/// connection in its own pcap file that is named by the connection's UUID.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Arguments {
    /// Where the files go: DATADIR/YYYY/MM/DD/UUID.pcap
    #[arg(long, value_name = "DIRECTORY", default_value = "captures")]
    datadir: PathBuf,

    /// An interface to capture; may be given again [default: every one that is up but loopback]
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,

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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SourceKind {
    /// tcp-info when its event socket is given, else the kernel
    Auto,
    /// tcp-info's event socket
    Tcpinfo,
    /// The kernel's own sockets: nothing else needs to run
    Kernel,
}

/// What the daemon does.
#[derive(Debug)]
pub struct Config {
    /// Where published files go.
    pub datadir: PathBuf,
    /// Where files grow.
    pub partial: PathBuf,
    /// Names of the interfaces to capture; none for every one that is up but loopback.
    pub interfaces: Vec<String>,
    /// Who names flows.
    pub source: FlowSource,
    /// How long things last.
    pub timing: Timing,
    /// How many packet rings, and threads that read them.
    pub shards: u32,
}

/// Who says when flows begin and end, and what they are called.
#[derive(Debug, Clone)]
pub enum FlowSource {
    /// The kernel's sockets, named with this prefix.
    Kernel(UuidPrefix),
    /// tcp-info.
    TcpInfo(EventSocket),
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
        let refuse = |kind, message| Err(Self::command().error(kind, message));
        if self.uuidwaitduration > self.captureduration {
            let message = format!(
                "--uuidwaitduration ({}) must not exceed --captureduration ({})",
                humantime::format_duration(self.uuidwaitduration),
                humantime::format_duration(self.captureduration)
            );
            return refuse(clap::error::ErrorKind::ValueValidation, message);
        }
        if self.flow_source == SourceKind::Tcpinfo && self.tcpinfo_eventsocket.is_none() {
            let message = "--flow-source tcpinfo needs --tcpinfo.eventsocket".to_owned();
            return refuse(clap::error::ErrorKind::MissingRequiredArgument, message);
        }
        Ok(())
    }

    /// What the daemon does by these arguments.
    ///
    /// # Errors
    /// When a file that they name cannot be used.
    pub fn into_config(self) -> Result<Config> {
        let datadir = std::path::absolute(&self.datadir)
            .with_context(|| format!("finding {}", self.datadir.display()))?;
        let source = match (self.flow_source, self.tcpinfo_eventsocket) {
            (SourceKind::Auto | SourceKind::Tcpinfo, Some(socket)) => FlowSource::TcpInfo(socket),
            _ => FlowSource::Kernel(match &self.uuid_prefix_file {
                Some(file) => UuidPrefix::from_file(file)?,
                None => UuidPrefix::of_this_host()?,
            }),
        };
        Ok(Config {
            partial: partial_directory(&datadir),
            datadir,
            interfaces: self.interface,
            source,
            timing: Timing {
                uuid_wait: self.uuidwaitduration,
                capture: self.captureduration,
                idle: self.flowtimeout,
                linger: self.linger,
            },
            shards: default_shards(),
        })
    }
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
        let arguments = Arguments::try_parse_from([&["packet-headers"], arguments].concat())?;
        arguments.check()?;
        Ok(arguments)
    }

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn nothing_captures_everything_with_the_kernel_as_source() {
        let config = parse(&[]).unwrap().into_config().unwrap();
        assert!(config.interfaces.is_empty());
        assert!(config.datadir.ends_with("captures") && config.datadir.is_absolute());
        assert!(config.partial.ends_with("captures.partial"));
        assert!(matches!(config.source, FlowSource::Kernel(_)));
        assert_eq!(config.timing.capture, Duration::from_secs(30));
    }

    #[test]
    fn an_event_socket_makes_tcpinfo_the_source_unless_told_otherwise() {
        let socket = "--tcpinfo.eventsocket=/run/tcpevents.sock";
        let config = parse(&[socket]).unwrap().into_config().unwrap();
        assert!(matches!(config.source, FlowSource::TcpInfo(_)));
        let kernel = parse(&[socket, "--flow-source", "kernel"]).unwrap();
        let config = kernel.into_config().unwrap();
        assert!(matches!(config.source, FlowSource::Kernel(_)));
    }

    #[test]
    fn contradictions_are_refused() {
        let error = parse(&["--uuidwaitduration=40s"]).unwrap_err().to_string();
        assert!(error.contains("--uuidwaitduration (40s) must not exceed --captureduration (30s)"));
        let error = parse(&["--flow-source=tcpinfo"]).unwrap_err().to_string();
        assert!(error.contains("needs --tcpinfo.eventsocket"));
        assert!(parse(&["--linger=soon"]).is_err());
    }
}
