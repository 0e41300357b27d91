//! Promise: every connection has its file, however short it is: with the kernel as the flow source,
//! and with hybrid, where tcp-info gives the names and the kernel misses nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, Stopped, kernel_uuid};
use end_to_end::peers::poll::Poll;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::peers::tcpinfo::{StandIn, uuid};
use end_to_end::traffic::{Connection, short_connections};
use end_to_end::verify::oracle::Oracle;
use end_to_end::verify::report::{ConnectionField, EventField, FileField};
use end_to_end::world::netns::Lab;
use end_to_end::world::parallel;
use tempfile::TempDir;

const CONNECTIONS: usize = 10_000;

/// Gives a connection its UUID.
type Naming = fn(&Connection) -> String;

/// Waits until a daemon holds no packet, and stops it.
fn finish(mut daemon: Daemon) -> Result<Stopped> {
    daemon.wait_until_quiet()?;
    let stopped = daemon.stop()?;
    Ok(stopped)
}

/// Checks that every connection has its file, and that there are no other files.
fn complete(
    stopped: &Stopped,
    oracle: &Oracle,
    connections: &[Connection],
    name: Naming,
) -> Result<()> {
    oracle
        .verify(&stopped.captures, connections, name)
        .with_context(|| stopped.transcript.clone())?;
    let (report, count) = (&stopped.report, connections.len() as u64);
    ensure!(report.get(ConnectionField::Opened) == count, "{report:?}");
    ensure!(report.get(FileField::Published) == count, "{report:?}");
    Ok(())
}

/// Three daemons capture the same connections.
#[test]
fn ten_thousand_connections_of_two_milliseconds_give_ten_thousand_files() -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    // A TCP socket would add connections of the host.
    let mut tcpinfo = StandIn::unix(&home.path().join("tcpevents.sock"));
    tcpinfo.listen()?;
    let tcpdump = Tcpdump::start(&lab.host)?;
    let kernel = Daemon::start(&lab, &[])?;
    // These two learn the prefix, and do not look for connections that are open when they have
    // learned it.
    let start = |flags: &[&str]| {
        let flags = [&["--existing=false"], flags].concat();
        Daemon::follow(&lab, &tcpinfo, &flags)
    };
    let hybrid = start(&["--flow-source=hybrid"])?;
    let polled = start(&["--flow-source=tcpinfo", "--uuidwaitduration=1s"])?;
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
    // A busy machine is slow, but not all the time.
    let (short, median) = (lasted[CONNECTIONS / 10], lasted[CONNECTIONS / 2]);
    // What came more than a second after the Close, on such a machine, has a second file, `<UUID>.1`.
    let files = polled.captures.published()?.into_keys();
    let named: BTreeSet<_> = files
        .map(|name| name.split('.').next().map(str::to_owned))
        .collect();
    let files = named.len();
    println!(
        "{CONNECTIONS} connections of {median:?} (median): tcp-info's poll found {announced}, and \
         alone gave {files} files"
    );
    assert_eq!(connections.len(), CONNECTIONS);
    assert!(short < Duration::from_millis(4), "{short:?} is not short");
    assert_eq!(files, announced);
    assert!(0 < files && files < CONNECTIONS);
    let all: [(_, _, Naming); 2] = [("kernel", &kernel, kernel_uuid), ("hybrid", &hybrid, uuid)];
    parallel::map(&all, |(source, stopped, name)| {
        complete(stopped, &oracle, &connections, *name).context(*source)
    })?;
    // Both sources reported those that the poll found; that made no second file.
    let repeated =
        hybrid.report.get(EventField::Repeated) + hybrid.report.get(EventField::SecondSocket);
    assert_eq!(repeated, announced as u64, "{:?}", hybrid.report);
    Ok(())
}
