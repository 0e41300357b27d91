//! Promise: a SYN flood costs the host a bounded amount of memory, and costs real connections no
//! packets except, at worst, those of the handshake.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, Stopped, kernel_uuid};
use end_to_end::peers::tcpdump::{TCP, Tcpdump};
use end_to_end::traffic::flood::{Flood, PORT};
use end_to_end::traffic::{self, Connection, Plan, Side};
use end_to_end::verify::oracle::{Oracle, equal_but};
use end_to_end::verify::pcap::Packet;
use end_to_end::verify::report::{DiscardReason, PacketField};
use end_to_end::world::netns::{Lab, WAN};
use end_to_end::world::{bpf, procfs};

/// How long the flood lasts: more than twice as long as a packet waits for a name. And how many real
/// connections are made in that time.
const LASTS: Duration = Duration::from_secs(12);
const CONNECTIONS: usize = 100;

/// The memory that the daemon may take, in bytes: its budget, and what does not grow with traffic.
const HEAP: u64 = 64 << 20;
/// There is a ring of --ring-size and one of a quarter of that.
const RINGS: u64 = (16 + 4) << 20;
/// The kernel's table of flows, all of which is in our memory as soon as it is mapped.
const TABLE: u64 = 4 << 20;
/// Program, libraries and thread stacks; 12 MiB were measured.
const FIXED: u64 = 32 << 20;

/// Makes the connections at even intervals while the flood goes on, and looks in between which the kernel
/// programs know.
fn connect_during(flood: &Flood, lab: &Lab, daemon: &Daemon) -> Result<Vec<Connection>> {
    let plans = Plan::mixed(CONNECTIONS);
    let incoming = plans.iter().map(|plan| Plan {
        opener: Side::Peer,
        long: false,
        ..*plan
    });
    let mut connections = Vec::new();
    let mut most = 0;
    for (at, plan) in incoming.enumerate() {
        let turn = LASTS.mul_f64(at as f64 / CONNECTIONS as f64);
        thread::sleep(turn.saturating_sub(flood.lasted()));
        let open = traffic::open(lab, &plan, &())?;
        if at.is_multiple_of(20) {
            let known = bpf::known_connections(daemon.id())?;
            ensure!(known >= 1, "an open connection is not known");
            // One that just moves from the map to the table is counted twice.
            ensure!(known <= connections.len() + 2, "{known} are known");
            most = most.max(known);
        }
        connections.push(open.finish(&())?);
    }
    println!("up to {most} connections were known");
    thread::sleep(LASTS.saturating_sub(flood.lasted()));
    Ok(connections)
}

/// Whether a packet passes before the connection is ESTABLISHED at its accepting end: SYN, SYN/ACK,
/// and the ACK that follows the SYN with sequence number `first`.
fn is_of_the_handshake(packet: &Packet, of: &Connection, first: u32) -> bool {
    let is_bare = packet.wire_len as usize == packet.header_len && !packet.ends;
    let ends_it = packet.from == of.peer && packet.sequence == first.wrapping_add(1);
    packet.synchronizes || (is_bare && ends_it)
}

/// Checks each connection's file; returns how many packets are missing.
fn compare(stopped: &Stopped, oracle: &Oracle, connections: &[Connection]) -> Result<u64> {
    let mut files = stopped.captures.published()?;
    let mut missing = 0;
    for connection in connections {
        let file = files.remove(&kernel_uuid(connection));
        let file = file.with_context(|| format!("no file of {connection}"))?;
        let ours = stopped.captures.read(&file)?;
        let theirs = oracle.packets_of(connection)?;
        let syn = theirs.iter().find(|packet| packet.opens);
        let first = syn.context("tcpdump has the SYN")?.sequence;
        let may_miss = |packet: &Packet| is_of_the_handshake(packet, connection, first);
        let count = equal_but(&ours, theirs, may_miss).with_context(|| connection.to_string())?;
        missing += count as u64;
    }
    ensure!(files.is_empty(), "files of no connection: {files:?}");
    Ok(missing)
}

#[test]
fn every_connection_has_its_file_and_memory_stays_bounded() -> Result<()> {
    let lab = Lab::new()?;
    let filter = format!("{TCP} and not port {PORT}");
    let tcpdump = Tcpdump::start_on((&lab.host, WAN), &filter)?;
    let mut daemon = Daemon::start(&lab, &["--maxheap=64MiB"])?;
    let idle = procfs::peak_memory(daemon.id())?;

    let flood = Flood::start(&lab)?;
    let connections = connect_during(&flood, &lab, &daemon)?;
    let (sent, lasted) = flood.stop()?;
    daemon.wait_until_quiet()?;
    let peak = procfs::peak_memory(daemon.id())?;
    let stopped = daemon.stop()?;
    let oracle = tcpdump.stop()?;

    let report = &stopped.report;
    let seen = report.get(PacketField::Seen);
    println!(
        "{sent} SYNs in {lasted:?}, {:.0} per second; {seen} packets seen: {:?}",
        sent as f64 / lasted.as_secs_f64(),
        report.line::<DiscardReason>()
    );
    println!(
        "memory: {} KiB idle, {} KiB at most",
        idle >> 10,
        peak >> 10
    );
    assert_eq!(connections.len(), CONNECTIONS);
    assert!(seen >= sent, "{seen} of {sent} SYNs were seen: {report:?}");
    assert!(peak <= HEAP + RINGS + TABLE + FIXED, "{peak} bytes");
    assert!(idle <= RINGS + TABLE + FIXED, "{idle} bytes idle");

    let missing = compare(&stopped, &oracle, &connections).context(stopped.transcript.clone())?;
    let overflow =
        report.get(DiscardReason::CandidateRingFull) + report.get(DiscardReason::CandidateMemory);
    println!("{missing} handshake packets are missing; {overflow} candidates overflowed");
    assert!(missing <= overflow);
    assert_eq!(report.get(DiscardReason::AdmittedRingFull), 0, "{report:?}");
    stopped.captures.no_partial_files()
}
