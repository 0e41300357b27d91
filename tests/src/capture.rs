//! How most tests end: the daemon finishes, stops, and its files are judged.

use anyhow::{Context, Result};

use crate::peers::daemon::{Daemon, Stopped};
use crate::peers::tcpdump::Tcpdump;
use crate::traffic::Connection;
use crate::verify::oracle::Oracle;

/// Waits for a file of each connection and until no packet is held, stops daemon and tcpdump, and
/// judges all files by what tcpdump saw. The accounts must be in balance before and after.
///
/// # Errors
/// What is not as it should be, with everything that the daemon printed.
pub fn conclude(
    mut daemon: Daemon,
    tcpdump: Tcpdump,
    connections: &[Connection],
    uuid: impl Fn(&Connection) -> String,
) -> Result<(Stopped, Oracle)> {
    daemon.wait_for_files(connections.len())?;
    let quiet = daemon.wait_for_summary("no packet is held", |s| s.get("packets", "held") == 0)?;
    quiet.in_balance()?;
    let stopped = daemon.stop()?;
    let oracle = tcpdump.stop()?;
    oracle
        .judge(&stopped.captures, connections, uuid)
        .with_context(|| stopped.transcript.clone())?;
    stopped.summary.in_balance()?;
    Ok((stopped, oracle))
}
