//! Promise: every connection has its file, however short it is: with the kernel as the source, and with
//! tcp-info as the one who names and the kernel as the one who misses nothing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, Stopped, kernel_uuid};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::peers::tcpinfo::{StandIn, uuid};
use end_to_end::traffic::Connection;
use end_to_end::traffic::short_connections::{self, Poll};
use end_to_end::verify::oracle::Oracle;
use end_to_end::world::netns::Lab;
use tempfile::TempDir;

const CONNECTIONS: usize = 10_000;

/// Waits until a daemon holds nothing more, and stops it.
fn finish(mut daemon: Daemon) -> Result<Stopped> {
    daemon.wait_for_summary("no packet is held", |s| s.get("packets", "held") == 0)?;
    let stopped = daemon.stop()?;
    stopped.summary.in_balance()?;
    Ok(stopped)
}

/// Checks that every connection has its file, and nothing else has one.
fn complete(
    stopped: &Stopped,
    oracle: &Oracle,
    connections: &[Connection],
    name: fn(&Connection) -> String,
) -> Result<()> {
    oracle
        .judge(&stopped.captures, connections, name)
        .with_context(|| stopped.transcript.clone())?;
    for (line, key) in [("connections", "opened"), ("files", "published")] {
        let said = stopped.summary.get(line, key);
        ensure!(said == connections.len() as u64, "{:?}", stopped.summary);
    }
    Ok(())
}

/// Three daemons look at the same connections.
#[test]
fn ten_thousand_connections_of_two_milliseconds_give_ten_thousand_files() -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    // Not over TCP: those would be connections of the host too.
    let mut tcpinfo = StandIn::unix(&home.path().join("tcpevents.sock"));
    tcpinfo.listen()?;
    let tcpdump = Tcpdump::start(&lab.host, 0)?;
    let kernel = Daemon::start(&lab, &["--flow-source=kernel"])?;
    let socket = tcpinfo.flag();
    // Neither is told the prefix, nor looks for a connection that is open when it learns it.
    let launch = Launch::new(&lab).without_prefix();
    let start = |source| launch.start(&[source, &socket, "--existing=false"]);
    let hybrid = start("--flow-source=hybrid")?;
    let polled = start("--flow-source=tcpinfo")?;
    tcpinfo.wait_for_client(2)?;

    let poll = Poll::new(&tcpinfo);
    let (connections, announced) =
        poll.during(|poll| short_connections::run(&lab, CONNECTIONS, poll))?;
    tcpinfo.wait_until_sent()?;
    let [kernel, hybrid, polled] = [kernel, hybrid, polled].map(finish);
    let (kernel, hybrid, polled) = (kernel?, hybrid?, polled?);
    let oracle = tcpdump.stop()?;

    let mut lasted: Vec<_> = connections.iter().map(|of| of.lasted).collect();
    lasted.sort();
    let median = lasted[CONNECTIONS / 2];
    let files = polled.captures.published()?.len();
    println!(
        "{CONNECTIONS} connections of {median:?} (median): tcp-info's poll announced {announced}, \
         which alone gave {files} files"
    );
    assert_eq!(connections.len(), CONNECTIONS);
    assert!(median < Duration::from_millis(4), "{median:?} is not short");
    assert_eq!(files, announced);
    assert!(0 < files && files < CONNECTIONS);
    complete(&kernel, &oracle, &connections, kernel_uuid).context("kernel")?;
    complete(&hybrid, &oracle, &connections, uuid).context("hybrid")?;
    // Both told of those that the poll found; that made no second file.
    let repeated =
        hybrid.summary.get("events", "repeated") + hybrid.summary.get("events", "second_socket");
    assert_eq!(repeated, announced as u64, "{:?}", hybrid.summary);
    Ok(())
}
