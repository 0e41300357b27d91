//! Promise: connections that the operator does not want are left out, in the kernel.

use anyhow::{Result, ensure};
use end_to_end::capture::Capture;
use end_to_end::peers::daemon::Stopped;
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpinfo::{StandIn, uuid};
use end_to_end::traffic::of_each_kind::{Filterable, make};
use end_to_end::traffic::{self, Connection, Plan};
use end_to_end::verify::report::{ConnectionField, DiscardReason, EventField};
use end_to_end::world::netns::Lab;
use tempfile::TempDir;

/// Runs the daemon with filters, and checks that the files are those of the connections that
/// `wanted` accepts; returns how many packets tcpdump has of the others.
fn choose(filters: &[&str], wanted: impl Fn(&Filterable) -> bool) -> Result<(Stopped, u64)> {
    let lab = Lab::beside_others()?;
    let flags = [&["--uuidwaitduration=1s"], filters].concat();
    let mut others = Vec::new();
    let captured = Capture::new(&lab).run(&flags, |_| {
        let (ours, left_out): (Vec<_>, Vec<_>) = make(&lab)?.into_iter().partition(wanted);
        others = left_out;
        Ok(ours.into_iter().map(|one| one.connection).collect())
    })?;
    let (ours, stopped) = (captured.connections, captured.stopped);
    assert!(!ours.is_empty() && !others.is_empty());
    let opened = stopped.report.get(ConnectionField::Opened);
    assert_eq!(opened, ours.len() as u64);
    let others = others.iter().map(|one| &one.connection);
    Ok((stopped, captured.oracle.count(others)?))
}

/// Ports and addresses are in every packet, from the first on.
fn choose_in_the_kernel(filters: &[&str], wanted: impl Fn(&Filterable) -> bool) -> Result<()> {
    let (stopped, packets) = choose(filters, wanted)?;
    let filtered = stopped.report.get(DiscardReason::Filtered);
    assert_eq!(filtered, packets, "{:?}", stopped.report);
    Ok(())
}

/// Who began a connection is known once it is established: its handshake reaches user space, the
/// rest does not.
fn choose_by_direction(filters: &[&str], wanted: impl Fn(&Filterable) -> bool) -> Result<()> {
    let (stopped, packets) = choose(filters, wanted)?;
    let discarded = |reason: DiscardReason| stopped.report.get(reason);
    let ignored = discarded(DiscardReason::Ignored);
    assert!(ignored > 0, "{:?}", stopped.report);
    let received = discarded(DiscardReason::Unnamed) + discarded(DiscardReason::UnwantedDirection);
    assert_eq!(ignored + received, packets, "{:?}", stopped.report);
    assert!(ignored > received, "{:?}", stopped.report);
    Ok(())
}

#[test]
fn incoming_ones_only() -> Result<()> {
    choose_by_direction(&["--direction=incoming"], |one| one.incoming)
}

#[test]
fn outgoing_ones_only() -> Result<()> {
    choose_by_direction(&["--direction=outgoing"], |one| !one.incoming)
}

#[test]
fn those_with_a_port_only() -> Result<()> {
    choose_in_the_kernel(&["--port=5001", "--port=5003"], |one| one.port == 5001)
}

#[test]
fn those_without_a_port_only() -> Result<()> {
    choose_in_the_kernel(&["--exclude-port=5001"], |one| one.port != 5001)
}

#[test]
fn those_of_networks_only() -> Result<()> {
    let nets = [
        "--net=10.98.0.2/32",
        "--net=192.0.2.0/24",
        "--net=2001:db8::/32",
    ];
    choose_in_the_kernel(&nets, Filterable::is_v4)
}

#[test]
fn those_of_no_excluded_network_only() -> Result<()> {
    choose_in_the_kernel(&["--exclude-net=10.0.0.0/8"], |one| !one.is_v4())?;
    choose_in_the_kernel(&["--exclude-net=fd00:98::/64"], Filterable::is_v4)
}

#[test]
fn filters_add_up() -> Result<()> {
    let filters = [
        "--net=fd00::/8",
        "--port=5001",
        "--port=5002",
        "--exclude-port=5002",
    ];
    choose_in_the_kernel(&filters, |one| !one.is_v4() && one.port == 5001)
}

/// tcp-info knows no filters.
#[test]
fn tcpinfo_tells_of_all_and_those_that_are_wanted_are_captured() -> Result<()> {
    let (lab, home) = (Lab::new()?, TempDir::new()?);
    let mut tcpinfo = StandIn::unix(&home.path().join("tcpevents.sock"));
    tcpinfo.listen()?;
    let launch = Launch::new(&lab).following(&tcpinfo).without_prefix();
    let capture = Capture::new(&lab).by(launch).named(uuid);
    let is_v4 = |one: &Connection| one.host.is_ipv4();
    let mut left_out = 0;
    let captured = capture.run(&["--net=10.0.0.0/8"], |daemon| {
        tcpinfo.wait_for_client(1)?;
        let all = traffic::run(&lab, &Plan::mixed(10), &tcpinfo)?;
        let (ours, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_v4);
        left_out = others.len() as u64;
        daemon.wait_for_report("all are told of", |report| {
            report.get(EventField::Refused) == left_out
        })?;
        Ok(ours)
    })?;
    ensure!(left_out > 0 && !captured.connections.is_empty());
    Ok(())
}
