//! Promise: however the programs get to packets, files are the same: a TCX link, a TC filter, and a
//! packet socket, which needs no more than to read packets.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, Stopped, executable, kernel_uuid};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::refusal::{one_line, refused};
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::peers::tcpinfo::{self, StandIn};
use end_to_end::traffic::pair::Pair;
use end_to_end::traffic::{self, Connection, Observer, Plan};
use end_to_end::world::kernel::{Inventory, qdiscs};
use end_to_end::world::netns::{self, Lab, Namespace, WAN};
use end_to_end::world::process::output_of;
use rustix::process::Signal;
use tempfile::TempDir;

/// Fifty connections of every kind beside tcpdump, by a daemon that `start` starts.
fn capture_and_compare(
    lab: &Lab,
    start: impl FnOnce() -> Result<Daemon>,
    observer: &dyn Observer,
    uuid: fn(&Connection) -> String,
) -> Result<Stopped> {
    let before = Inventory::take()?;
    let tcpdump = Tcpdump::start(&lab.host, 0)?;
    let mut daemon = start()?;
    let ours = Inventory::take()?.since(&before);
    ensure!(ours.count("prog") >= 1, "{ours:?}");
    let connections = traffic::run(lab, &Plan::mixed(50), observer)?;
    daemon.wait_for_files(connections.len())?;
    daemon.wait_for_summary("no packet is held", |s| s.get("packets", "held") == 0)?;
    nothing_else_is_seen(lab, &mut daemon)?;
    let stopped = daemon.stop()?;
    let oracle = tcpdump.stop()?;
    oracle
        .judge(&stopped.captures, &connections, uuid)
        .with_context(|| stopped.transcript.clone())?;
    stopped.summary.in_balance()?;
    ours.wait_until_gone()?;
    Ok(stopped)
}

/// Packets of an interface that was not asked for are not even counted.
fn nothing_else_is_seen(lab: &Lab, daemon: &mut Daemon) -> Result<()> {
    let third = Namespace::add("third")?;
    netns::join((&lab.host, "lan0"), (&third, WAN), 1)?;
    let tcpdump = Tcpdump::start_on((&lab.host, "lan0"), 0, "tcp")?;
    let [address, _] = netns::first(1);
    let pair = Pair::open((&lab.host, (address, 0).into()), &third)?;
    let connection = pair.accepted()?;
    pair.finish()?;
    let oracle = tcpdump.stop()?;
    let passed = oracle.connection(connection.host, connection.peer, 0)?;
    let summary = daemon.summary()?;
    let written = summary.get("packets", "written");
    let seen = summary.get("packets", "seen");
    // What of wan0 is no TCP: neighbours that look for each other.
    let other: u64 = ["not_ip", "not_tcp"]
        .map(|why| summary.get("discarded", why))
        .iter()
        .sum();
    ensure!(
        seen <= written + other,
        "{} passed lan0: {summary:?}",
        passed.len()
    );
    Ok(())
}

fn by(attach: &str) -> Result<Stopped> {
    let lab = Lab::new()?;
    let flags = ["--flow-source=kernel", "--attach", attach];
    let start = || Daemon::start(&lab, &flags);
    let stopped = capture_and_compare(&lab, start, &(), kernel_uuid)?;
    let left = qdiscs(&lab.host)?;
    ensure!(!left.contains("bpf"), "{left}");
    Ok(stopped)
}

#[test]
fn by_tcx_links() -> Result<()> {
    let stopped = by("tcx")?;
    ensure!(stopped.transcript.contains("by TCX links"));
    Ok(())
}

#[test]
fn by_filters_of_the_clsact_qdisc() -> Result<()> {
    let stopped = by("netlink")?;
    ensure!(stopped.transcript.contains("by TC filters"));
    Ok(())
}

#[test]
fn by_a_packet_socket() -> Result<()> {
    let stopped = by("socket")?;
    ensure!(stopped.transcript.contains("by a packet socket"));
    Ok(())
}

#[test]
fn filters_that_a_killed_daemon_left_are_replaced() -> Result<()> {
    let lab = Lab::new()?;
    let flags = ["--flow-source=kernel", "--attach=netlink"];
    let mut killed = Daemon::start(&lab, &flags)?;
    killed.signal(Signal::KILL)?;
    killed.wait(Duration::from_secs(5))?;
    let left = qdiscs(&lab.host)?;
    ensure!(left.contains("ph_eth_ingress"), "{left}");
    let start = || Daemon::start(&lab, &flags);
    let stopped = capture_and_compare(&lab, start, &(), kernel_uuid)?;
    ensure!(stopped.transcript.contains("of an earlier run"));
    let left = qdiscs(&lab.host)?;
    ensure!(!left.contains("bpf"), "{left}");
    Ok(())
}

/// Gives the place of our filter at [`WAN`] to another kind of filter.
fn occupy(lab: &Lab) -> Result<()> {
    let tc = |line: &str| {
        let mut command = Command::new("tc");
        command.args(["-n", lab.host.name()]).args(line.split(' '));
        output_of(&mut command, "iproute2").map(drop)
    };
    tc(&format!("qdisc add dev {WAN} clsact"))?;
    let matches_all = "protocol all u32 match u32 0 0";
    tc(&format!(
        "filter add dev {WAN} ingress prio 1 {matches_all}"
    ))
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
    let flags = ["--flow-source=kernel", "--attach=socket"];
    let start = || Daemon::start(&lab, &flags);
    capture_and_compare(&lab, start, &(), kernel_uuid)?;
    assert_eq!(qdiscs(&lab.host)?, before);
    Ok(())
}

/// With tcp-info's names no program watches sockets, which would need the same privilege as TC.
#[test]
fn without_the_privilege_for_tc_it_takes_the_packet_socket_by_itself() -> Result<()> {
    let lab = Lab::new()?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let without = "--bounding-set=-net_admin,-sys_admin";
    let wrapper = ["setpriv", without, "--inh-caps=-net_admin,-sys_admin", "--"];
    let flag = tcpinfo.flag();
    let start = || Launch::new(&lab).by(&wrapper).start(&[flag.as_str()]);
    let stopped = capture_and_compare(&lab, start, &tcpinfo, tcpinfo::uuid)?;
    ensure!(stopped.transcript.contains("by a packet socket"));
    Ok(())
}
