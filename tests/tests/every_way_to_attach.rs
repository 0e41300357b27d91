//! Promise: the files are the same however the programs are attached: by TCX links, by TC filters,
//! or by a packet socket, which needs no privilege but to read packets.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::capture::Capture;
use end_to_end::peers::daemon::{Daemon, Stopped, executable};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::refusal::{one_line, refused};
use end_to_end::peers::tcpdump::{TCP, Tcpdump};
use end_to_end::peers::tcpinfo::{self, StandIn};
use end_to_end::traffic::pair::Pair;
use end_to_end::traffic::{self, Observer, Plan};
use end_to_end::verify::report::{DiscardReason, PacketField};
use end_to_end::world::bpf;
use end_to_end::world::kernel::{Inventory, qdiscs};
use end_to_end::world::netns::{self, Lab, Namespace, WAN};
use tempfile::TempDir;

/// Captures fifty connections of every kind, and verifies their files.
fn capture_and_compare(
    capture: &Capture<'_>,
    lab: &Lab,
    flags: &[&str],
    observer: &dyn Observer,
) -> Result<Stopped> {
    let before = Inventory::take()?;
    let mut ours = None;
    let captured = capture.run(flags, |daemon| {
        let inventory = Inventory::take()?.since(&before);
        if flags.contains(&"--attach=raw") {
            bpf::has_none(daemon.id())?;
        } else {
            ensure!(inventory.count("prog") >= 1, "{inventory:?}");
        }
        ours = Some(inventory);
        let connections = traffic::run(lab, &Plan::mixed(50), observer)?;
        daemon.wait_for_files(connections.len())?;
        daemon.wait_until_quiet()?;
        nothing_else_is_seen(lab, daemon)?;
        Ok(connections)
    })?;
    ours.context("the traffic ran")?.wait_until_gone()?;
    Ok(captured.stopped)
}

/// Checks that packets of an interface that was not asked for are not even counted.
fn nothing_else_is_seen(lab: &Lab, daemon: &mut Daemon) -> Result<()> {
    let third = Namespace::add("third")?;
    netns::join((&lab.host, "lan0"), (&third, WAN), 1)?;
    let tcpdump = Tcpdump::start_on((&lab.host, "lan0"), TCP)?;
    let [address, _] = netns::first(1);
    let pair = Pair::open((&lab.host, (address, 0).into()), &third)?;
    let connection = pair.accepted()?;
    pair.finish()?;
    let oracle = tcpdump.stop()?;
    let passed = oracle.packets_of(&connection)?;
    let report = daemon.report()?;
    let written = report.get(PacketField::Written);
    let seen = report.get(PacketField::Seen);
    // Packets of wan0 that are not TCP: neighbour discovery.
    let other = report.get(DiscardReason::NotIp) + report.get(DiscardReason::NotTcp);
    ensure!(
        seen <= written + other,
        "{} passed lan0: {report:?}",
        passed.len()
    );
    Ok(())
}

fn by(attach: &str) -> Result<Stopped> {
    let lab = Lab::new()?;
    let flags = ["--attach", attach];
    let stopped = capture_and_compare(&Capture::new(&lab), &lab, &flags, &())?;
    let left = qdiscs(&lab.host)?;
    ensure!(!left.contains("bpf"), "{left}");
    Ok(stopped)
}

#[test]
fn by_tcx_links() -> Result<()> {
    let stopped = by("tcx")?;
    ensure!(stopped.transcript.contains("TCX links"));
    Ok(())
}

#[test]
fn by_filters_of_the_clsact_qdisc() -> Result<()> {
    let stopped = by("netlink")?;
    ensure!(stopped.transcript.contains("TC filters"));
    Ok(())
}

#[test]
fn by_a_packet_socket() -> Result<()> {
    let stopped = by("socket")?;
    ensure!(stopped.transcript.contains("a packet socket"));
    Ok(())
}

/// Nothing of it is in the kernel but sockets: no program and no map.
#[test]
fn by_rings_of_packet_sockets_without_ebpf() -> Result<()> {
    let lab = Lab::new()?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let launch = Launch::new(&lab).following(&tcpinfo).without_prefix();
    let capture = Capture::new(&lab).by(launch).named(tcpinfo::uuid);
    let stopped = capture_and_compare(&capture, &lab, &["--attach=raw"], &tcpinfo)?;
    ensure!(stopped.transcript.contains("without eBPF"));
    Ok(())
}

#[test]
fn filters_that_a_killed_daemon_left_are_replaced() -> Result<()> {
    let lab = Lab::new()?;
    let flags = ["--attach=netlink"];
    let killed = Daemon::start(&lab, &flags)?;
    killed.kill()?;
    let left = qdiscs(&lab.host)?;
    ensure!(left.contains("ph_eth_ingress"), "{left}");
    let stopped = capture_and_compare(&Capture::new(&lab), &lab, &flags, &())?;
    ensure!(stopped.transcript.contains("of an earlier run"));
    let left = qdiscs(&lab.host)?;
    ensure!(!left.contains("bpf"), "{left}");
    Ok(())
}

/// Puts another kind of filter where ours would be at [`WAN`].
fn occupy(lab: &Lab) -> Result<()> {
    let tc = |line: &str| lab.host.tc(&line.split(' ').collect::<Vec<_>>());
    tc(&format!("qdisc add dev {WAN} clsact"))?;
    let matches_all = "protocol all u32 match u32 0 0";
    tc(&format!(
        "filter add dev {WAN} ingress prio 1 {matches_all}"
    ))?;
    Ok(())
}

#[test]
fn where_another_owns_the_hook_the_error_says_what_can_be_done() -> Result<()> {
    let lab = Lab::new()?;
    occupy(&lab)?;
    let before = qdiscs(&lab.host)?;
    let home = TempDir::new()?;
    let mut command = Command::new(executable()?);
    command.args(["--attach", "netlink", "--interface", WAN]);
    command.arg("--datadir").arg(home.path().join("captures"));
    let lines = refused(&lab, &mut command, 1)?;
    one_line(&lines, &[WAN, "--attach socket"])?;
    assert_eq!(qdiscs(&lab.host)?, before);
    capture_and_compare(&Capture::new(&lab), &lab, &["--attach=socket"], &())?;
    assert_eq!(qdiscs(&lab.host)?, before);
    Ok(())
}

/// With tcp-info as the flow source no program watches sockets, which would take the same privilege
/// as TC.
#[test]
fn without_the_privilege_for_tc_it_chooses_the_packet_socket() -> Result<()> {
    let lab = Lab::new()?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let without = "--bounding-set=-net_admin,-sys_admin";
    let wrapper = ["setpriv", without, "--inh-caps=-net_admin,-sys_admin", "--"];
    let launch = Launch::new(&lab).following(&tcpinfo).by(&wrapper);
    let capture = Capture::new(&lab).by(launch).named(tcpinfo::uuid);
    let stopped = capture_and_compare(&capture, &lab, &[], &tcpinfo)?;
    ensure!(stopped.transcript.contains("a packet socket"));
    Ok(())
}
