//! Promise: on every kernel from 5.10 on connections have their files, captured by the best method
//! that the kernel has; the daemon names what the kernel lacks, and does without it.

mod devices;
mod netem;
mod running;
mod udp;

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::capture::Capture;
use end_to_end::peers::daemon::{Daemon, Stopped, executable, kernel_uuid};
use end_to_end::peers::refusal::{one_line, refused};
use end_to_end::traffic::pair::Pair;
use end_to_end::traffic::{self, Plan, Side};
use end_to_end::verify::totals::in_file;
use end_to_end::world::command::output_of;
use end_to_end::world::kernel::qdiscs;
use end_to_end::world::netns::{Lab, WAN, first};
use tempfile::TempDir;

use running::Feature;

/// The number of connections, which combine all kinds.
const CONNECTIONS: usize = 24;

/// As many as take segments again that were read, on every processor at once.
const MANY: usize = 10 * CONNECTIONS;

/// The state of a socket whose other end has closed first, before it is closed.
const LAST_ACK: u64 = 9;

/// Captures connections of every kind with these flags, and verifies their files. The daemon must
/// name those features that it needs and this kernel lacks.
fn capture(test: &str, lab: &Lab, flags: &[&str], needs: &[Feature]) -> Result<Stopped> {
    capture_many(CONNECTIONS, (test, lab), flags, needs)
}

/// As [`capture`], so many connections.
fn capture_many(
    count: usize,
    (test, lab): (&str, &Lab),
    flags: &[&str],
    needs: &[Feature],
) -> Result<Stopped> {
    let mut plans = Plan::mixed(count);
    if !Feature::NETNS_COOKIE.is_here()? {
        // The daemon sees both ends then, and the accepting one names the file.
        plans.retain(|plan| plan.opener == Side::Peer);
    }
    let captured = Capture::new(lab).run(flags, |_| traffic::run(lab, &plans, &()))?;
    let stopped = captured.stopped;
    for feature in needs {
        feature.is_named_where_it_lacks(&stopped.transcript)?;
    }
    running::note(test, &stopped.transcript)?;
    Ok(stopped)
}

#[test]
fn the_best_method_is_found() -> Result<()> {
    let lab = Lab::new()?;
    let needs = [Feature::NETNS_COOKIE];
    let stopped = capture("the best method", &lab, &[], &needs)?;
    let best = if Feature::TCX.is_here()? {
        "packets=\"TCX links"
    } else {
        "packets=\"TC filters"
    };
    ensure!(stopped.transcript.contains(best), "{}", stopped.transcript);
    ensure!(!qdiscs(&lab.host)?.contains("bpf"));
    Ok(())
}

/// Segments are written again as soon as they have been read, by processors that write at the same time; each
/// record must be whole, and in its place, in whatever order processors store and load.
#[test]
fn what_processors_write_at_once_is_read_whole() -> Result<()> {
    let lab = Lab::new()?;
    let flags = ["--shards=2", "--ring-size=1MiB"];
    let stopped = capture_many(MANY, ("many at once", &lab), &flags, &[])?;
    stopped.captures.no_payload()
}

#[test]
fn connections_have_owners() -> Result<()> {
    let lab = Lab::new()?;
    let mut daemon = Daemon::start(&lab, &["--format=pcapng"])?;
    for ip in first(0) {
        Pair::open((&lab.host, SocketAddr::new(ip, 0)), &lab.peer)?.finish()?;
    }
    daemon.wait_for_files(2)?;
    let stopped = daemon.stop()?;
    let mut flows = Command::new(executable()?);
    flows.args(["flows", "--format=jsonl"]);
    flows.arg(stopped.captures.root());
    let (out, _) = output_of(&mut flows, "packet-headers")?;
    let rows: Vec<serde_json::Value> = out
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    ensure!(rows.len() >= 2, "{out}");
    for row in rows {
        let owner = ["pid", "uid", "cgroup"].map(|name| &row[format!("owner_{name}")]);
        // Both ends are this process.
        ensure!(owner[0] == std::process::id(), "{row}");
        ensure!(owner[1] == 0 && owner[2] == "/", "{row}");
    }
    Ok(())
}

#[test]
fn a_file_ends_with_what_the_kernel_knew() -> Result<()> {
    let lab = Lab::new()?;
    let mut daemon = Daemon::start(&lab, &["--format=pcapng"])?;
    let mut connections = Vec::new();
    for ip in first(0) {
        let pair = Pair::open((&lab.host, SocketAddr::new(ip, 0)), &lab.peer)?;
        connections.push(pair.accepted()?);
        pair.finish()?;
    }
    daemon.wait_for_files(connections.len())?;
    let stopped = daemon.stop()?;
    let files = stopped.captures.published()?;
    for connection in &connections {
        let totals = in_file(&files[&kernel_uuid(connection)])?;
        let totals = totals.with_context(|| format!("no totals of {connection}"))?;
        // With a FIN.
        let bytes = Pair::TALK as u64 + 1;
        ensure!(totals["bytes_acked"] == bytes, "{totals:?}");
        ensure!(totals["bytes_received"] == bytes, "{totals:?}");
        ensure!((1..10_000_000).contains(&totals["srtt_us"]), "{totals:?}");
        ensure!(totals["min_rtt_us"] <= totals["srtt_us"], "{totals:?}");
        ensure!(totals["segs_out"] > totals["data_segs_out"], "{totals:?}");
        ensure!(totals["segs_in"] > totals["data_segs_in"], "{totals:?}");
        ensure!(
            totals["unacked_bytes"] == 0 && totals["lost"] == 0,
            "{totals:?}"
        );
        ensure!(totals["state"] == LAST_ACK, "{totals:?}");
    }
    Ok(())
}

#[test]
fn filters_of_the_clsact_qdisc_capture() -> Result<()> {
    let lab = Lab::new()?;
    let stopped = capture("--attach netlink", &lab, &["--attach=netlink"], &[])?;
    ensure!(stopped.transcript.contains("packets=\"TC filters"));
    ensure!(!qdiscs(&lab.host)?.contains("bpf"));
    Ok(())
}

#[test]
fn a_packet_socket_captures() -> Result<()> {
    let lab = Lab::new()?;
    let stopped = capture("--attach socket", &lab, &["--attach=socket"], &[])?;
    ensure!(stopped.transcript.contains("packets=\"a packet socket"));
    Ok(())
}

#[test]
fn tcx_links_capture_or_the_error_says_which_kernel_has_them() -> Result<()> {
    let lab = Lab::new()?;
    if Feature::TCX.is_here()? {
        let stopped = capture("--attach tcx", &lab, &["--attach=tcx"], &[])?;
        ensure!(stopped.transcript.contains("packets=\"TCX links"));
        return Ok(());
    }
    let home = TempDir::new()?;
    let mut command = Command::new(executable()?);
    command.args(["--attach", "tcx", "--interface", WAN]);
    command.arg("--datadir").arg(home.path().join("captures"));
    let lines = refused(&lab, &mut command, 1)?;
    one_line(&lines, &["Linux 6.6", "--attach netlink"])?;
    running::note("--attach tcx", &lines.join("\n"))
}

/// Every feature of the programs, and so the most that a verifier has to check.
const EVERYTHING: [&str; 6] = [
    "--timestamp=hardware",
    "--decapsulate=true",
    "--exclude-port=1",
    "--net=10.98.0.0/16",
    "--net=fd00::/16",
    "--exclude-net=192.0.2.0/24",
];

#[test]
fn every_feature_at_once_captures() -> Result<()> {
    let lab = Lab::new()?;
    let flags = [&["--attach=netlink"], EVERYTHING.as_slice()].concat();
    let needs = [Feature::HARDWARE_TIMESTAMPS];
    capture("every feature", &lab, &flags, &needs).map(drop)
}

#[test]
fn a_packet_socket_captures_with_every_feature_or_names_the_hosts_limit() -> Result<()> {
    const TEST: &str = "every feature, --attach socket";
    let lab = Lab::new()?;
    let flags = [&["--attach=socket"], EVERYTHING.as_slice()].concat();
    let captured = capture(TEST, &lab, &flags, &[Feature::HARDWARE_TIMESTAMPS]);
    let refusal = match captured {
        Err(refusal) if !running::has_room_for_large_filters()? => format!("{refusal:#}"),
        captured => return captured.map(drop),
    };
    let errors: Vec<_> = refusal
        .lines()
        .filter(|it| it.contains("ERROR"))
        .map(str::to_owned)
        .collect();
    one_line(&errors, &["net.core.optmem_max"])?;
    running::note(TEST, &errors.join("\n"))
}

/// A classic BPF program that passes every packet (-1: `TC_ACT_UNSPEC`).
const PASSES: &str = "1,6 0 0 4294967295";

#[test]
fn filters_that_a_killed_daemon_left_are_replaced_and_a_foreign_one_stays() -> Result<()> {
    let lab = Lab::new()?;
    lab.host.tc(&["qdisc", "add", "dev", WAN, "clsact"])?;
    let add = ["filter", "add", "dev", WAN, "ingress", "prio", "7"];
    let passes = ["bpf", "da", "bytecode", PASSES];
    lab.host.tc(&[&add[..], &passes].concat())?;
    let before = qdiscs(&lab.host)?;
    ensure!(before.contains("pref 7 bpf"), "{before}");

    let flags = ["--attach=netlink"];
    Daemon::start(&lab, &flags)?.kill()?;
    one_of_ours_in_each_direction(&qdiscs(&lab.host)?)?;
    let mut again = Daemon::start(&lab, &flags)?;
    one_of_ours_in_each_direction(&qdiscs(&lab.host)?)?;
    again.wait_for_log(1, "of an earlier run")?;
    again.stop()?;
    assert_eq!(qdiscs(&lab.host)?, before);
    Ok(())
}

fn one_of_ours_in_each_direction(qdiscs: &str) -> Result<()> {
    for name in ["ph_eth_ingress", "ph_eth_egress"] {
        let count = qdiscs.lines().filter(|line| line.contains(name)).count();
        ensure!(count == 1, "{count} times {name}: {qdiscs}");
    }
    Ok(())
}
