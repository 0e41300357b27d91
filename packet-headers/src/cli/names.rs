//! The flags that say who names connections, and which of them are named.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{ArgAction, Args, ValueEnum};

use super::named_file::NamedFile;
use super::refusal::Refusal;
use super::{duration, go};
use crate::events::uuid_prefix;
use model::{EventSocket, FlowSource};

/// The flags that say who names connections, and which of them are named.
#[derive(Debug, Args)]
#[command(next_help_heading = "Names")]
pub(super) struct NameArguments {
    /// Who says when connections begin and end, and what they are called
    #[arg(long, value_enum, default_value_t = SourceKind::Auto)]
    flow_source: SourceKind,

    /// tcp-info's event socket: a path, or tcp://ADDRESS:PORT
    #[arg(long = "tcpinfo.eventsocket", value_name = "SOCKET")]
    tcpinfo_eventsocket: Option<EventSocket>,

    /// A file with what the kernel flow source begins its UUIDs with [default: hostname and boot
    /// time]
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    uuid_prefix_file: Option<PathBuf>,

    /// How long packets wait for their connection's name
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse)]
    uuidwaitduration: Duration,

    /// Whose connections are named: those of the daemon's own network namespace, or of all on this
    /// host
    #[arg(long, value_enum, default_value_t = Namespaces::Own)]
    netns: Namespaces,

    /// Whether connections that were open before the daemon are captured from its start on
    #[arg(long, value_name = "BOOL", default_value_t = true, value_parser = go::boolean, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true, hide_short_help = true)]
    existing: bool,
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

impl NameArguments {
    /// Refuses what contradicts itself.
    ///
    /// # Errors
    /// What to say.
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

    /// Whether the kernel's sockets are watched.
    pub(super) const fn watches_sockets(&self) -> bool {
        match self.flow_source {
            SourceKind::Auto => self.tcpinfo_eventsocket.is_none(),
            SourceKind::Tcpinfo => false,
            SourceKind::Kernel | SourceKind::Hybrid => true,
        }
    }

    /// How long packets wait for their connection's name.
    pub(super) const fn uuid_wait(&self) -> Duration {
        self.uuidwaitduration
    }

    /// Whether sockets of every network namespace count.
    pub(super) fn every_netns(&self) -> bool {
        self.netns == Namespaces::All
    }

    /// Whether connections that were open before the daemon are captured.
    pub(super) const fn existing(&self) -> bool {
        self.existing
    }

    /// Tries the prefix's file, if one was given; one that cannot be used is forgotten.
    pub(super) fn try_prefix(&mut self) -> Option<NamedFile> {
        let path = self.uuid_prefix_file.as_deref()?;
        let tried = uuid_prefix::from_file(path);
        let (file, prefix) = NamedFile::new("--uuid-prefix-file", path, tried);
        if prefix.is_none() {
            self.uuid_prefix_file = None;
        }
        Some(file)
    }

    /// Who names connections, by these arguments.
    ///
    /// # Errors
    /// When the prefix's file cannot be used.
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
