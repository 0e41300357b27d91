//! Flags for what the daemon serves and logs while it runs.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{ArgAction, Args, ValueEnum};

use super::{environment, go};
use crate::config::{Output, Service, WatchSocket};
use model::{FlowReaders, HostName, ListenAddress};

/// Flags for what the daemon serves and logs while it runs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Service")]
pub(super) struct ServiceArguments {
    /// A configuration file: TOML, with the names of flags as keys. The command line and the
    /// environment win
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// HTTP listen address for metrics, health and the list of connections; empty to serve nothing
    #[arg(
        long = "prometheusx.listen-address",
        value_name = "[HOST]:PORT",
        default_value = ":9990"
    )]
    listen_address: ListenAddress,

    /// Who may list connections over HTTP [default: host; with --netns=all, nobody]
    #[arg(long, value_name = "WHO", value_enum, hide_short_help = true)]
    serve_flows: Option<Readers>,

    /// A name of this host at which connections may be listed, besides its addresses and localhost;
    /// repeatable
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        hide_short_help = true
    )]
    http_host: Vec<HostName>,

    /// Serve flow events on this Unix socket, in place of tcp-info
    #[arg(long = "eventsocket.listen", value_name = "PATH")]
    eventsocket_listen: Option<PathBuf>,

    /// The Unix socket at which packets can be watched live, by this user and group; empty for none
    /// [default: /run/packet-headers/watch.sock, where that is possible and addresses are not hidden]
    #[arg(long, value_name = "PATH", value_parser = OsStringValueParser::new().map(PathBuf::from), hide_short_help = true)]
    watch_socket: Option<PathBuf>,

    /// Format of log lines, and of everything else that is printed
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,

    /// Print the accounts of every packet to standard output at the end, as SIGUSR1 does at any time
    #[arg(long, value_name = "BOOL", default_value_t = false, value_parser = go::boolean, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true, hide_short_help = true)]
    accounts: bool,

    /// Confine the daemon to what it still needs once it has started; off is for debugging
    #[arg(long, value_enum, default_value_t = Sandbox::On, hide_short_help = true)]
    sandbox: Sandbox,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sandbox {
    /// Files, system calls and sockets that are not needed are out of reach
    On,
    /// Only privileges are dropped
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Readers {
    /// Clients on this host
    Host,
    /// Any client that can reach the port
    Anyone,
    /// No client
    Nobody,
}

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Plain text
    Text,
    /// One JSON object per line
    Json,
}

/// Whether the command line of a capture, which cannot be understood as a whole, or the environment asks
/// for a log in JSON.
pub fn wants_json(arguments: impl IntoIterator<Item = OsString>) -> bool {
    const FLAG: &str = "log-format";
    const JSON: &str = "json";
    let arguments = arguments.into_iter().skip(1);
    let arguments: Vec<_> = arguments
        .map(|it| it.to_string_lossy().into_owned())
        .collect();
    if arguments
        .first()
        .is_some_and(|first| !first.starts_with('-'))
    {
        return false;
    }
    let names = arguments.iter().map(|it| it.trim_start_matches('-'));
    let mut pairs = names.clone().zip(names.clone().skip(1));
    names
        .clone()
        .any(|name| name.split_once('=') == Some((FLAG, JSON)))
        || pairs.any(|pair| pair == (FLAG, JSON))
        || env::var_os(environment::variable(FLAG)).is_some_and(|format| format == JSON)
}

impl ServiceArguments {
    /// How log lines are written.
    pub(super) const fn log_format(&self) -> LogFormat {
        self.log_format
    }

    /// What the daemon prints.
    pub(super) fn output(&self) -> Output {
        Output {
            json: self.log_format == LogFormat::Json,
            accounts: self.accounts,
        }
    }

    /// A remark to log once: whoever reads the log should know what else to read.
    pub(super) fn notes(&self) -> Option<String> {
        let file = self.config.as_ref()?.display();
        Some(format!(
            "configured by {file}; packet-headers config shows what is in force"
        ))
    }

    /// The configuration file, if there is one.
    ///
    /// # Errors
    /// When it is not known where that is.
    pub(super) fn file(&self) -> Result<Option<PathBuf>> {
        let absolute = |path| std::path::absolute(path).context("finding the configuration");
        self.config.as_ref().map(absolute).transpose()
    }

    /// Whether the daemon confines itself.
    pub(super) fn sandbox(&self) -> bool {
        self.sandbox == Sandbox::On
    }

    /// Whether flow events are served.
    pub(super) const fn serves_events(&self) -> bool {
        self.eventsocket_listen.is_some()
    }

    /// Whether packets are to be shown live, in any case.
    pub(super) fn serves_watchers(&self) -> bool {
        self.watch_socket.as_deref().is_some_and(|path| path != "")
    }

    /// The configuration of what is served.
    pub(super) fn into_config(self) -> Service {
        Service {
            http: Some(self.listen_address).filter(|address| !address.is_nowhere()),
            flows: self.serve_flows.map(|readers| match readers {
                Readers::Host => FlowReaders::Host,
                Readers::Anyone => FlowReaders::Anyone,
                Readers::Nobody => FlowReaders::Nobody,
            }),
            hosts: self.http_host,
            events: self.eventsocket_listen,
            watch: match self.watch_socket {
                None => WatchSocket::Usual,
                Some(path) if path.as_os_str().is_empty() => WatchSocket::Off,
                Some(path) => WatchSocket::At(path),
            },
        }
    }
}
