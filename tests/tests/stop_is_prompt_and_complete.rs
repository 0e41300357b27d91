//! Promise: told to stop, the daemon leaves within three seconds, with all that it captured in whole
//! files and nothing of its own in the kernel.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::peers::tcpinfo::{self, StandIn};
use end_to_end::peers::tools;
use end_to_end::traffic::bulk::Bulk;
use end_to_end::traffic::{self, Connection, Observer, Plan};
use end_to_end::verify::oracle::equal_until;
use end_to_end::world::kernel::{Inventory, qdiscs};
use end_to_end::world::netns::Lab;
use rustix::process::Signal;

/// Enough of each packet for tcpdump to have its headers.
const HEADERS: u32 = 256;
/// Bytes of a bulk transfer after which it is well under way.
const UNDER_WAY: u64 = 20 << 20;

/// Starts the daemon, which names connections by the sockets of this kernel.
fn kernel_source(lab: &Lab) -> Result<Daemon> {
    Daemon::start(lab, &["--flow-source", "kernel"])
}

/// Starts the daemon by `start`; also what it has put into the kernel.
fn take_stock(start: impl FnOnce() -> Result<Daemon>) -> Result<(Daemon, Inventory)> {
    let before = Inventory::take()?;
    let daemon = start()?;
    let ours = Inventory::take()?.since(&before);
    // Otherwise its absence later would say nothing.
    ensure!(
        ours.count("prog") >= 1 && ours.count("map") >= 2,
        "{ours:?}"
    );
    Ok((daemon, ours))
}

/// Stops the daemon during a bulk transfer and compares all that it leaves.
fn stop_during_bulk(
    lab: &Lab,
    start: impl FnOnce() -> Result<Daemon>,
    observer: &dyn Observer,
    uuid: fn(&Connection) -> String,
) -> Result<()> {
    let qdiscs_before = qdiscs(&lab.host)?;
    let tcpdump = Tcpdump::start(&lab.host, HEADERS)?;
    let (daemon, ours) = take_stock(start)?;
    let bulk = Bulk::start(lab, observer)?;
    let connections = bulk.connections().to_vec();
    bulk.wait_for(UNDER_WAY)?;
    daemon.captures().no_payload()?;

    let moment = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let stopped = daemon.stop()?;
    // Nobody but the daemon stopped.
    bulk.wait_for(1 << 20)?;
    bulk.stop()?;
    let oracle = tcpdump.stop()?;

    ours.wait_until_gone()?;
    assert_eq!(qdiscs(&lab.host)?, qdiscs_before);
    stopped.summary.in_balance()?;
    assert_eq!(stopped.summary.get("packets", "held"), 0);
    let files = stopped.captures.published()?;
    assert_eq!(files.len(), connections.len(), "{files:?}");
    for connection in &connections {
        let file = files.get(&uuid(connection));
        let file = file.with_context(|| format!("no file of {connection}"))?;
        let packets = stopped.captures.read(file)?;
        let theirs = oracle.connection(connection.host, connection.peer, 0)?;
        equal_until(&packets, theirs, u64::try_from(moment)?)
            .with_context(|| format!("{connection}\n{}", stopped.transcript))?;
        tools::tcpdump(file, packets.len())?;
    }
    stopped.captures.no_partial_files()?;
    stopped.captures.no_payload()
}

#[test]
fn during_a_bulk_transfer_every_file_is_complete_to_the_moment() -> Result<()> {
    let lab = Lab::new()?;
    stop_during_bulk(&lab, || kernel_source(&lab), &(), kernel_uuid)
}

#[test]
fn with_tcpinfo_it_is_as_complete() -> Result<()> {
    let lab = Lab::new()?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let start = || Daemon::follow(&lab, &tcpinfo, &[]);
    stop_during_bulk(&lab, start, &tcpinfo, tcpinfo::uuid)
}

#[test]
fn on_an_idle_interface_it_stops_as_promptly() -> Result<()> {
    let lab = Lab::new()?;
    let (daemon, ours) = take_stock(|| kernel_source(&lab))?;
    let stopped = daemon.stop()?;
    stopped.summary.in_balance()?;
    assert!(stopped.captures.published()?.is_empty());
    stopped.captures.no_partial_files()?;
    ours.wait_until_gone()
}

#[test]
fn sigint_is_as_good_as_sigterm() -> Result<()> {
    let lab = Lab::new()?;
    let (daemon, ours) = take_stock(|| kernel_source(&lab))?;
    let open = traffic::open(&lab, &Plan::SHORT, &())?;
    open.talk()?;
    let stopped = daemon.stop_by(Signal::INT)?;
    let connection = open.finish(&())?;
    let files = stopped.captures.published()?;
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        [&kernel_uuid(&connection)]
    );
    stopped.summary.in_balance()?;
    stopped.captures.no_partial_files()?;
    ours.wait_until_gone()
}

#[test]
fn a_second_signal_ends_it_at_once() -> Result<()> {
    let lab = Lab::new()?;
    let qdiscs_before = qdiscs(&lab.host)?;
    let (mut daemon, ours) = take_stock(|| kernel_source(&lab))?;
    let bulk = Bulk::start(&lab, &())?;
    bulk.wait_for(UNDER_WAY)?;
    for signal in [Signal::TERM, Signal::INT] {
        daemon.signal(signal)?;
    }
    daemon.wait(Duration::from_secs(1))?;
    bulk.stop()?;
    ours.wait_until_gone()?;
    assert_eq!(qdiscs(&lab.host)?, qdiscs_before);
    Ok(())
}
