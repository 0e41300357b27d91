//! Flags for how connections get their names, and which of them get one.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{ArgAction, Args, ValueEnum};

use super::named_file::NamedFile;
use super::netns::Netns;
use super::refusal::Refusal;
use super::{duration, go};
use crate::events::uuid_prefix;
use model::{EventSocket, FlowSource};

/// Flags for how connections get their names, and which of them get one.
#[derive(Debug, Args)]
#[command(next_help_heading = "Names")]
pub(super) struct NameArguments {
    /// What reports that connections begin and end, and names them
    #[arg(long, value_enum, default_value_t = SourceKind::Auto)]
    flow_source: SourceKind,

    /// tcp-info's event socket: a path, or tcp://ADDRESS:PORT
    #[arg(long = "tcpinfo.eventsocket", value_name = "SOCKET")]
    tcpinfo_eventsocket: Option<EventSocket>,

    /// A file with the prefix of the UUIDs that the kernel source makes [default: hostname and boot
    /// time]
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    uuid_prefix_file: Option<PathBuf>,

    /// How long packets wait for their connection's name; at most --captureduration
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse)]
    uuidwaitduration: Duration,

    /// Network namespaces whose connections get names: own, all, or another one to capture in: a name
    /// that ip netns knows, or a path such as /proc/PID/ns/net
    #[arg(long, value_name = "own|all|NAME|PATH", default_value = "own")]
    netns: Netns,

    /// Also capture connections that were open before the daemon started
    #[arg(long, value_name = "BOOL", default_value_t = true, value_parser = go::boolean, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true, hide_short_help = true)]
    existing: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SourceKind {
    /// tcpinfo if --tcpinfo.eventsocket is given, otherwise kernel
    Auto,
    /// tcp-info's event socket
    Tcpinfo,
    /// This kernel's sockets; nothing else needs to run
    Kernel,
    /// tcp-info, and this kernel's sockets for the connections that tcp-info misses
    Hybrid,
}

impl NameArguments {
    /// Refuses flags that contradict each other.
    ///
    /// # Errors
    /// The message.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let needs_socket = matches!(self.flow_source, SourceKind::Tcpinfo | SourceKind::Hybrid);
        if needs_socket && self.tcpinfo_eventsocket.is_none() {
            return Err((
                ErrorKind::MissingRequiredArgument,
                "this --flow-source needs --tcpinfo.eventsocket".to_owned(),
            ));
        }
        Ok(())
    }

    /// Whether the kernel flow source is in use.
    pub(super) const fn watches_sockets(&self) -> bool {
        match self.flow_source {
            SourceKind::Auto => self.tcpinfo_eventsocket.is_none(),
            SourceKind::Tcpinfo => false,
            SourceKind::Kernel | SourceKind::Hybrid => true,
        }
    }

    /// `--uuidwaitduration`.
    pub(super) const fn uuid_wait(&self) -> Duration {
        self.uuidwaitduration
    }

    /// Whether connections of every network namespace get names.
    pub(super) fn every_netns(&self) -> bool {
        self.netns == Netns::All
    }

    /// The network namespace to capture in, if it is not the one that the daemon was started in.
    pub(super) fn other_netns(&self) -> Option<PathBuf> {
        match &self.netns {
            Netns::Own | Netns::All => None,
            Netns::Other(path) => Some(path.clone()),
        }
    }

    /// Whether connections that were open before the daemon started are captured.
    pub(super) const fn existing(&self) -> bool {
        self.existing
    }

    /// Tries the prefix file, if one was given, and drops the flag if the file cannot be used.
    pub(super) fn try_prefix(&mut self) -> Option<NamedFile> {
        let path = self.uuid_prefix_file.as_deref()?;
        let tried = uuid_prefix::from_file(path);
        let (file, prefix) = NamedFile::new("--uuid-prefix-file", path, tried);
        if prefix.is_none() {
            self.uuid_prefix_file = None;
        }
        Some(file)
    }

    /// The flow source.
    ///
    /// # Errors
    /// When the prefix file cannot be used.
    pub(super) fn into_source(self) -> Result<FlowSource> {
        let given = self.uuid_prefix_file.as_deref();
        let given = given.map(uuid_prefix::from_file).transpose()?;
        Ok(match (self.flow_source, self.tcpinfo_eventsocket) {
            (SourceKind::Hybrid, Some(socket)) => FlowSource::Hybrid(socket, given),
            (SourceKind::Auto | SourceKind::Tcpinfo, Some(socket)) => {
                FlowSource::TcpInfo(socket, given)
            }
            _ => FlowSource::Kernel(given.map_or_else(uuid_prefix::of_this_host, Ok)?),
        })
    }
}
