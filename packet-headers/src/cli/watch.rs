//! The arguments of `watch` and `extcap`, which show what a running daemon captures.

use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;

use super::network;
use crate::live::{USUAL_PLACE, Wanted};

/// The end of the help of `watch`.
const WATCH_HELP: &str = "\
Examples:
  packet-headers watch | tshark -r -
  packet-headers watch --port 443 | wireshark -k -i -
  packet-headers watch --address 192.0.2.0/24 -o now.pcapng

Headers as the daemon captures them, as pcapng. Who reads too slowly loses packets, and is told how many.";

/// The end of the help of `extcap`.
const EXTCAP_HELP: &str = "\
Examples:
  packet-headers extcap --extcap-interfaces
  packet-headers extcap --extcap-interface packet-headers --capture --fifo /tmp/pipe --port 443

Wireshark finds programs in its directory of personal extcaps (Help, About, Folders). Put this there, as
an executable file named packet-headers:
  #!/bin/sh
  exec packet-headers extcap \"$@\"";

/// Which packets of which daemon.
#[derive(Debug, Args)]
pub struct WatchedArguments {
    /// The daemon to watch: its --watch-socket
    #[arg(long, value_name = "PATH", default_value = USUAL_PLACE)]
    pub watch_socket: PathBuf,
    /// Only connections with one end at this address, or in this network; repeatable
    #[arg(long, value_name = "NET", value_delimiter = ',', value_parser = network::parse)]
    address: Vec<IpNet>,
    /// Only connections with one end at this port; repeatable
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    port: Vec<u16>,
}

/// What to show, and where.
#[derive(Debug, Args)]
#[command(after_help = WATCH_HELP)]
pub struct WatchArguments {
    /// The file to write; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
    /// What to show.
    #[command(flatten)]
    pub watch: WatchedArguments,
}

/// What Wireshark asks for.
#[derive(Debug, Args)]
#[command(after_help = EXTCAP_HELP)]
pub struct ExtcapArguments {
    /// List what can be captured
    #[arg(long)]
    pub extcap_interfaces: bool,
    /// Wireshark's version
    #[arg(long, value_name = "VERSION")]
    pub extcap_version: Option<String>,
    /// What the other flags are about
    #[arg(long, value_name = "NAME")]
    pub extcap_interface: Option<String>,
    /// List what packets begin with
    #[arg(long)]
    pub extcap_dlts: bool,
    /// List the options
    #[arg(long)]
    pub extcap_config: bool,
    /// Capture
    #[arg(long)]
    pub capture: bool,
    /// The pipe to write to
    #[arg(long, value_name = "PATH")]
    pub fifo: Option<PathBuf>,
    /// A capture filter; refused
    #[arg(long, value_name = "FILTER")]
    pub extcap_capture_filter: Option<String>,
    /// What to capture.
    #[command(flatten)]
    pub watch: WatchedArguments,
}

impl WatchedArguments {
    /// Which connections are wanted.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        Wanted {
            addresses: self.address.clone(),
            ports: self.port.clone(),
        }
    }
}
