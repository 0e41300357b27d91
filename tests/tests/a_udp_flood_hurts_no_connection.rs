//! Promise: a flood of datagrams from random addresses and ports costs connections nothing. Every connection has all of its
//! packets, every datagram is accounted for, and what UDP takes of memory and files is bounded.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, Stopped, kernel_uuid};
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::traffic::flood::Flood;
use end_to_end::traffic::{self, Connection, Plan};
use end_to_end::verify::oracle::{self, Oracle};
use end_to_end::verify::report::{DiscardReason, FileField, PacketField, Report};
use end_to_end::world::netns::Lab;
use end_to_end::world::{procfs, wait};
use rustix::process::Signal;

/// How long the flood lasts, and how many connections are made in that time.
const LASTS: Duration = Duration::from_secs(3);
const CONNECTIONS: usize = 40;

/// The most files of UDP flows: a quarter of `--max-files`.
const FILES: usize = 500;

/// The memory that the daemon may take, in bytes: its budget, of which a part is for UDP…
const HEAP: u64 = 64 << 20;
/// …rings of --ring-size and of a quarter of that, for connections and for UDP flows…
const RINGS: u64 = (2 * (16 + 4)) << 20;
/// …the kernel's tables of flows, and what does not grow with traffic.
const FIXED: u64 = (4 + 32) << 20;

const FLAGS: [&str; 5] = [
    "--protocols=tcp,udp",
    "--udptimeout=1s",
    "--maxheap=64MiB",
    "--udp-maxflows=2000",
    "--max-files=2000",
];

/// Makes connections at even intervals while the flood goes on.
fn connect_during(flood: &Flood, lab: &Lab) -> Result<Vec<Connection>> {
    let mut connections = Vec::new();
    for (at, plan) in Plan::mixed(CONNECTIONS).into_iter().enumerate() {
        let turn = LASTS.mul_f64(at as f64 / CONNECTIONS as f64);
        thread::sleep(turn.saturating_sub(flood.lasted()));
        connections.push(traffic::open(lab, &plan, &())?.finish(&())?);
    }
    thread::sleep(LASTS.saturating_sub(flood.lasted()));
    Ok(connections)
}

/// Checks that each connection's file has what tcpdump saw, and that other files are of UDP flows; how many packets
/// connections had.
fn compare(stopped: &Stopped, oracle: &Oracle, connections: &[Connection]) -> Result<u64> {
    let mut files = stopped.captures.published()?;
    files.retain(|name, _| !name.contains("_udp_"));
    for connection in connections {
        let file = files.remove(&kernel_uuid(connection));
        let file = file.with_context(|| format!("no file of {connection}"))?;
        let ours = stopped.captures.read(&file)?;
        oracle::equal(&ours, oracle.packets_of(connection)?)
            .with_context(|| connection.to_string())?;
    }
    ensure!(files.is_empty(), "files of no connection: {files:?}");
    oracle.count(connections)
}

/// How many datagrams a report accounts for, where connections had so many packets.
fn datagrams(report: &Report, of_connections: u64) -> u64 {
    let discarded = [
        DiscardReason::UdpRingFull,
        DiscardReason::TooManyFlows,
        DiscardReason::NoRoom,
        DiscardReason::WriterBehind,
    ];
    let discarded: u64 = discarded.iter().map(|reason| report.get(*reason)).sum();
    report.get(PacketField::Written) - of_connections + discarded
}

#[test]
fn every_connection_is_whole_and_every_datagram_accounted_for() -> Result<()> {
    let lab = Lab::new()?;
    let tcpdump = Tcpdump::start(&lab.host)?;
    let mut daemon = Daemon::start(&lab, &FLAGS)?;

    let flood = Flood::of_datagrams(&lab)?;
    let connections = connect_during(&flood, &lab)?;
    let (sent, lasted) = flood.stop()?;
    daemon.wait_until_quiet()?;
    let peak = procfs::peak_memory(daemon.id())?;
    let stopped = daemon.stop()?;
    let oracle = tcpdump.stop()?;

    let report = &stopped.report;
    println!(
        "{sent} datagrams, {:.0} per second: {:?}; {:?}; {} KiB of memory at most",
        sent as f64 / lasted.as_secs_f64(),
        report.line::<DiscardReason>(),
        report.line::<FileField>(),
        peak >> 10
    );
    ensure!(sent > 50_000, "only {sent} datagrams");
    let of_connections =
        compare(&stopped, &oracle, &connections).with_context(|| stopped.transcript.clone())?;
    let accounted = datagrams(report, of_connections);
    ensure!(accounted == sent, "{accounted} of {sent}: {report:?}");
    for reason in [
        DiscardReason::AdmittedRingFull,
        DiscardReason::CandidateRingFull,
        DiscardReason::CandidateMemory,
        DiscardReason::Unnamed,
    ] {
        ensure!(report.get(reason) == 0, "{report:?}");
    }
    let files = stopped.captures.of_udp()?.len();
    ensure!(
        files <= FILES && files > FILES / 2,
        "{files} files of UDP flows"
    );
    ensure!(peak <= HEAP + RINGS + FIXED, "{peak} bytes");
    stopped.captures.no_partial_files()?;
    stopped.captures.no_payload()
}

/// The daemon reads no ring meanwhile: that of UDP flows is full, and that of connections is not.
#[test]
fn a_full_ring_of_udp_flows_is_no_ring_of_connections() -> Result<()> {
    const MANY: u64 = 20_000;
    let lab = Lab::new()?;
    let tcpdump = Tcpdump::start(&lab.host)?;
    let mut daemon = Daemon::start(&lab, &[&FLAGS[..], &["--ring-size=256KiB"]].concat())?;
    daemon.signal(Signal::STOP)?;
    let flood = Flood::of_datagrams(&lab)?;
    let plans = [Plan::SHORT; 10];
    let before = traffic::run(&lab, &plans, &())?;
    wait::until("a flood", || Ok((flood.sent() > MANY).then_some(())))?;
    let after = traffic::run(&lab, &plans, &())?;
    let (sent, _) = flood.stop()?;
    daemon.signal(Signal::CONT)?;
    daemon.wait_until_quiet()?;
    let stopped = daemon.stop()?;
    let report = &stopped.report;
    let connections = [before, after].concat();
    let of_connections = compare(&stopped, &tcpdump.stop()?, &connections)
        .with_context(|| stopped.transcript.clone())?;
    let full = report.get(DiscardReason::UdpRingFull);
    ensure!(full > MANY / 2, "{full} of {sent}: {report:?}");
    let accounted = datagrams(report, of_connections);
    ensure!(accounted == sent, "{accounted} of {sent}: {report:?}");
    stopped.captures.no_payload()
}
