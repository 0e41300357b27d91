//! Promise: a daemon that is told to stop ends within three seconds, with all that it captured in
//! whole files and nothing of its own in the kernel.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, kernel_uuid, now};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::peers::tcpinfo::{self, StandIn};
use end_to_end::peers::tools;
use end_to_end::traffic::bulk::Bulk;
use end_to_end::traffic::{self, Connection, Observer, Plan};
use end_to_end::verify::oracle::equal_until;
use end_to_end::verify::report::PacketField;
use end_to_end::world::kernel::{Inventory, qdiscs};
use end_to_end::world::netns::Lab;
use rustix::process::Signal;

/// Bytes of a bulk transfer after which it is well under way.
const UNDER_WAY: u64 = 20 << 20;

/// Starts the daemon; returns also what it has put into the kernel.
fn start(launch: &Launch<'_>) -> Result<(Daemon, Inventory)> {
    let before = Inventory::take()?;
    let daemon = launch.start(&[])?;
    let ours = Inventory::take()?.since(&before);
    // Otherwise its absence later would prove nothing.
    ensure!(
        ours.count("prog") >= 1 && ours.count("map") >= 2,
        "{ours:?}"
    );
    Ok((daemon, ours))
}

/// Stops the daemon during a bulk transfer, and checks everything that it leaves.
fn stop_during_bulk(
    lab: &Lab,
    launch: &Launch<'_>,
    observer: &dyn Observer,
    uuid: fn(&Connection) -> String,
) -> Result<()> {
    let qdiscs_before = qdiscs(&lab.host)?;
    let tcpdump = Tcpdump::start_for_headers(&lab.host)?;
    let (daemon, ours) = start(launch)?;
    let bulk = Bulk::start(lab, observer)?;
    let connections = bulk.connections().to_vec();
    bulk.wait_for(UNDER_WAY)?;
    daemon.captures().no_payload()?;

    let moment = now()?;
    let stopped = daemon.stop()?;
    // The transfer goes on without the daemon.
    bulk.wait_for(1 << 20)?;
    bulk.stop()?;
    let oracle = tcpdump.stop()?;

    ours.wait_until_gone()?;
    assert_eq!(qdiscs(&lab.host)?, qdiscs_before);
    assert_eq!(stopped.report.get(PacketField::Held), 0);
    let files = stopped.captures.published()?;
    assert_eq!(files.len(), connections.len(), "{files:?}");
    for connection in &connections {
        let file = files.get(&uuid(connection));
        let file = file.with_context(|| format!("no file of {connection}"))?;
        let packets = stopped.captures.read(file)?;
        equal_until(&packets, oracle.packets_of(connection)?, moment)
            .with_context(|| format!("{connection}\n{}", stopped.transcript))?;
        tools::tcpdump(file, packets.len())?;
    }
    stopped.captures.no_partial_files()?;
    stopped.captures.no_payload()
}

#[test]
fn during_a_bulk_transfer_every_file_is_complete_to_the_moment() -> Result<()> {
    let lab = Lab::new()?;
    stop_during_bulk(&lab, &Launch::new(&lab), &(), kernel_uuid)
}

#[test]
fn with_tcpinfo_it_is_as_complete() -> Result<()> {
    let lab = Lab::new()?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let launch = Launch::new(&lab).following(&tcpinfo).without_prefix();
    stop_during_bulk(&lab, &launch, &tcpinfo, tcpinfo::uuid)
}

#[test]
fn on_an_idle_interface_it_stops_as_promptly() -> Result<()> {
    let lab = Lab::new()?;
    let (daemon, ours) = start(&Launch::new(&lab))?;
    let stopped = daemon.stop()?;
    assert!(stopped.captures.published()?.is_empty());
    stopped.captures.no_partial_files()?;
    ours.wait_until_gone()
}

#[test]
fn sigint_is_as_good_as_sigterm() -> Result<()> {
    let lab = Lab::new()?;
    let (daemon, ours) = start(&Launch::new(&lab))?;
    let open = traffic::open(&lab, &Plan::SHORT, &())?;
    open.talk()?;
    let stopped = daemon.stop_by(Signal::INT)?;
    let connection = open.finish(&())?;
    let files = stopped.captures.published()?;
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        [&kernel_uuid(&connection)]
    );
    stopped.captures.no_partial_files()?;
    ours.wait_until_gone()
}

#[test]
fn a_second_signal_ends_it_at_once() -> Result<()> {
    let lab = Lab::new()?;
    let qdiscs_before = qdiscs(&lab.host)?;
    let (mut daemon, ours) = start(&Launch::new(&lab))?;
    let bulk = Bulk::start(&lab, &())?;
    bulk.wait_for(UNDER_WAY)?;
    for signal in [Signal::TERM, Signal::INT] {
        daemon.signal(signal)?;
    }
    daemon.wait_within(Duration::from_secs(1))?;
    bulk.stop()?;
    ours.wait_until_gone()?;
    assert_eq!(qdiscs(&lab.host)?, qdiscs_before);
    Ok(())
}
