//! The flags that say how the daemon is watched and asked while it runs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::config::Service;
use model::{FlowReaders, ListenAddress};

/// The flags that say how the daemon is watched and asked while it runs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Service")]
pub(super) struct ServiceArguments {
    /// Where metrics, health and connections are served over HTTP; empty for nowhere
    #[arg(
        long = "prometheusx.listen-address",
        value_name = "[HOST]:PORT",
        default_value = ":9990"
    )]
    listen_address: ListenAddress,

    /// Who may read over HTTP which connections there are
    #[arg(long, value_enum, default_value_t = Readers::Host, hide_short_help = true)]
    serve_flows: Readers,

    /// A Unix socket on which to serve the kernel's flow events as tcp-info serves its own
    #[arg(long = "eventsocket.listen", value_name = "PATH")]
    eventsocket_listen: Option<PathBuf>,

    /// How log lines are written
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Readers {
    /// Who asks from this host
    Host,
    /// Whoever reaches the port
    Anyone,
    /// Nobody
    Nobody,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// A JSON object a line
    Json,
}

impl ServiceArguments {
    /// How log lines are written.
    pub(super) const fn log_format(&self) -> LogFormat {
        self.log_format
    }

    /// Whether the kernel's flow events are served.
    pub(super) const fn serves_events(&self) -> bool {
        self.eventsocket_listen.is_some()
    }

    /// What others can ask of the daemon, by these arguments.
    pub(super) fn into_config(self) -> Service {
        Service {
            http: Some(self.listen_address).filter(|address| !address.is_nowhere()),
            flows: match self.serve_flows {
                Readers::Host => FlowReaders::Host,
                Readers::Anyone => FlowReaders::Anyone,
                Readers::Nobody => FlowReaders::Nobody,
            },
            events: self.eventsocket_listen,
        }
    }
}
