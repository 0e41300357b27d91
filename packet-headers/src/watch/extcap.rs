//! The interface by which Wireshark runs programs that capture for it (its manual, "extcap"): it asks what
//! there is to capture, with which options, and has the packets written into a pipe.

use std::fmt::Write as _;
use std::fs::OpenOptions;

use anyhow::{Context as _, Result, bail, ensure};

use super::copy;
use super::source::Source;
use crate::cli::ExtcapArguments;
use crate::live::USUAL_PLACE;
use crate::terminal::print;

/// The name of the only interface.
const INTERFACE: &str = "packet-headers";

/// The number of Ethernet. What a packet really begins with, the stream says.
const ETHERNET: u8 = 1;

/// Answers Wireshark, or captures for it.
///
/// # Errors
/// When it asks for what is not there, when no daemon answers, or the pipe cannot be written.
pub fn extcap(arguments: &ExtcapArguments) -> Result<()> {
    if arguments.extcap_interfaces {
        return print(&interfaces());
    }
    let interface = arguments.extcap_interface.as_deref();
    ensure!(
        interface == Some(INTERFACE),
        "the only interface is {INTERFACE}: give it with --extcap-interface, or ask with --extcap-interfaces"
    );
    if arguments.extcap_dlts {
        return print(&format!(
            "dlt {{number={ETHERNET}}}{{name=EN10MB}}{{display=Ethernet}}"
        ));
    }
    if arguments.extcap_config {
        return print(&options());
    }
    if arguments
        .extcap_capture_filter
        .as_deref()
        .is_some_and(|filter| !filter.is_empty())
    {
        bail!(
            "capture filters are not for this interface: choose networks and ports in its options"
        );
    }
    if !arguments.capture {
        return Ok(());
    }
    let fifo = arguments
        .fifo
        .as_deref()
        .context("--capture needs --fifo")?;
    let source = Source::connect(&arguments.watch.watch_socket, &arguments.watch.wanted())?;
    let name = fifo.display();
    let pipe = OpenOptions::new().write(true).open(fifo);
    copy(source, pipe.with_context(|| format!("opening {name}"))?)
}

fn interfaces() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "extcap {{version={version}}}{{display=packet-headers}}\n\
         interface {{value={INTERFACE}}}{{display=Headers of this host's TCP connections}}"
    )
}

fn options() -> String {
    let mut options = String::new();
    for (number, (call, display, default, tooltip)) in [
        (
            "--address",
            "Networks",
            "",
            "Only connections with one end in these networks, separated by commas",
        ),
        (
            "--port",
            "Ports",
            "",
            "Only connections with one end at these ports, separated by commas",
        ),
        (
            "--watch-socket",
            "Socket",
            USUAL_PLACE,
            "Where the daemon is: its --watch-socket",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let end = if number == 0 { "" } else { "\n" };
        // A String takes everything.
        let _written = write!(
            options,
            "{end}arg {{number={number}}}{{call={call}}}{{display={display}}}{{type=string}}\
             {{default={default}}}{{tooltip={tooltip}}}{{required=false}}"
        );
    }
    options
}
