//! Promise: with the kernel as the flow source, every connection of the host has its file, which
//! has the headers that tcpdump saw and nothing else, and every packet is accounted for.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::capture::Capture;
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::peers::launch::Launch;
use end_to_end::traffic::{self, Connection, Conversation, Plan};
use end_to_end::verify::report::{ConnectionField, DiscardReason, FileField, PacketField, Report};
use end_to_end::world::netns::{self, Lab, Namespace, WAN};

/// Captures connections, whose sockets report that they are closed, and verifies their files.
fn capture_and_compare(
    lab: &Lab,
    traffic: impl FnOnce() -> Result<Vec<Connection>>,
) -> Result<Vec<Connection>> {
    let (connections, report) = capture(lab, |_| traffic())?;
    let closed = report.get(ConnectionField::Closed);
    ensure!(closed == connections.len() as u64, "{report:?}");
    Ok(connections)
}

/// Captures connections, and verifies their files and the daemon's counts.
fn capture(
    lab: &Lab,
    traffic: impl FnOnce(&mut Daemon) -> Result<Vec<Connection>>,
) -> Result<(Vec<Connection>, Report)> {
    let captured = Capture::new(lab).run(&[], traffic)?;
    let (connections, stopped) = (captured.connections, captured.stopped);
    let (report, count) = (&stopped.report, connections.len() as u64);
    ensure!(report.get(PacketField::Held) == 0, "{report:?}");
    ensure!(report.get(ConnectionField::Opened) == count, "{report:?}");
    ensure!(report.get(FileField::Published) == count, "{report:?}");
    ensure!(report.get(FileField::Failed) == 0, "{report:?}");
    ensure!(report.get(DiscardReason::Unnamed) == 0, "{report:?}");
    let files = stopped.captures.published()?;
    let mut written = 0;
    for file in files.values() {
        written += stopped.captures.read(file)?.len() as u64;
    }
    ensure!(
        report.get(PacketField::Written) == written,
        "{written} packets are in the files: {report:?}"
    );
    Ok((connections, stopped.report))
}

#[test]
fn fifty_connections_of_every_kind_give_fifty_files() -> Result<()> {
    let lab = Lab::beside_others()?;
    let plans = Plan::mixed(50);
    let connections = capture_and_compare(&lab, || traffic::run(&lab, &plans, &()))?;
    assert_eq!(connections.len(), 50);
    let cookies: BTreeSet<_> = connections.iter().map(|c| c.cookie).collect();
    assert_eq!(cookies.len(), 50);
    let long = connections
        .iter()
        .filter(|c| c.lasted >= Duration::from_millis(240));
    assert!(long.count() >= 10, "the long ones are not long");
    Ok(())
}

#[test]
fn two_hundred_connections_of_two_milliseconds_give_two_hundred_files() -> Result<()> {
    let lab = Lab::new()?;
    let plans = [Plan::SHORT; 200];
    let mut connections = capture_and_compare(&lab, || traffic::run(&lab, &plans, &()))?;
    assert_eq!(connections.len(), 200);
    connections.sort_by_key(|connection| connection.lasted);
    // A busy machine is slow, but not all the time.
    let short = connections[20].lasted;
    assert!(short < Duration::from_millis(8), "{short:?} is not short");
    Ok(())
}

#[test]
fn a_new_syn_on_an_old_four_tuple_is_a_new_file() -> Result<()> {
    let lab = Lab::beside_others()?;
    let connections = capture_and_compare(&lab, || traffic::reopen(&lab, 3))?;
    let tuples: BTreeSet<_> = connections.iter().map(|c| (c.host, c.peer)).collect();
    assert_eq!(tuples.len(), 1, "the port was not used again");
    Ok(())
}

/// Nor have the peer's sockets, which are on this machine too, as every other test shows.
#[test]
fn connections_that_only_pass_through_the_host_have_no_file() -> Result<()> {
    let lab = Lab::beside_others()?;
    let third = Namespace::add("third")?;
    netns::join((&lab.host, "lan0"), (&third, WAN), 1)?;
    lab.host.sysctl("ipv4/ip_forward", "1")?;
    let [host_in_lan, _] = netns::first(1);
    let [host_in_wan, _] = netns::first(0);
    let [address, _] = netns::second(1);
    let to_lan = [
        "route",
        "add",
        "10.98.1.0/24",
        "via",
        &host_in_wan.to_string(),
    ];
    let to_wan = [
        "route",
        "add",
        "10.98.0.0/24",
        "via",
        &host_in_lan.to_string(),
    ];
    lab.peer.ip(&to_lan)?;
    third.ip(&to_wan)?;

    let mut daemon = Daemon::start(&lab, &["--uuidwaitduration=1s"])?;
    for _ in 0..5 {
        traffic::between((&third, address), &lab.peer)?;
    }
    let own = traffic::run(&lab, &[Plan::SHORT; 3], &())?;
    daemon.wait_for_files(own.len())?;
    let report = daemon.wait_until_quiet()?;
    assert_eq!(report.get(ConnectionField::Opened), 3, "{report:?}");
    // A SYN, SYN/ACK and ACK, two pieces of payload, and at least a FIN in each direction.
    let unnamed = report.get(DiscardReason::Unnamed);
    assert!(unnamed >= 5 * 7, "{report:?}");
    let stopped = daemon.stop()?;
    let files: Vec<_> = stopped.captures.published()?.into_keys().collect();
    let mut expected: Vec<_> = own.iter().map(kernel_uuid).collect();
    expected.sort();
    assert_eq!(files, expected);
    Ok(())
}

#[test]
fn with_nothing_but_a_data_directory_the_interfaces_and_the_prefix_are_found() -> Result<()> {
    let lab = Lab::beside_others()?;
    let third = Namespace::add("third")?;
    netns::join((&lab.host, "lan0"), (&third, WAN), 1)?;
    let [address, _] = netns::first(1);
    let mut daemon = Launch::bare(&lab).start(&[])?;
    traffic::between((&lab.host, address), &third)?;
    let wan = traffic::run(&lab, &[Plan::SHORT; 1], &())?;
    daemon.wait_for_files(2)?;
    let stopped = daemon.stop()?;
    let files = stopped.captures.published()?;
    assert_eq!(files.len(), 2, "{files:?}");

    // `<hostname>_<boot time>_unsafe_<cookie>`, where /proc may round the boot time.
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname")?;
    let stat = fs::read_to_string("/proc/stat")?;
    let booted = stat.lines().find_map(|line| line.strip_prefix("btime "));
    let booted: u64 = booted.context("no btime in /proc/stat")?.trim().parse()?;
    let names: BTreeSet<String> = (booted - 1..=booted + 1)
        .map(|at| format!("{}_{at}_unsafe_{:016X}", hostname.trim(), wan[0].cookie))
        .collect();
    let found: Vec<_> = files.keys().filter(|name| names.contains(*name)).collect();
    assert_eq!(found.len(), 1, "{files:?}, {names:?}");
    Ok(())
}

#[test]
fn a_connection_older_than_the_daemon_has_its_file_from_then_on() -> Result<()> {
    let lab = Lab::beside_others()?;
    let older = [Plan::mixed(4)[0], Plan::mixed(4)[1]]
        .map(|plan| traffic::open(&lab, &plan, &()))
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    for conversation in &older {
        conversation.talk()?;
    }
    capture(&lab, |daemon| {
        // It lists the existing sockets after it has printed that it captures.
        daemon.wait_for_report("both are known", |r| r.get(ConnectionField::Opened) == 2)?;
        let finish = |conversation: Conversation| conversation.finish(&());
        older.into_iter().map(finish).collect()
    })?;
    Ok(())
}
