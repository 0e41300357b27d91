//! Promise: neither memory nor file descriptors grow with connections beyond what they were given.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, PREFIX};
use end_to_end::peers::launch::Launch;
use end_to_end::verify::pcap::Packet;
use end_to_end::world::netns::{self, Lab};
use end_to_end::world::process::{Process, Stream};
use end_to_end::world::procfs;
use end_to_end::world::ss;
use end_to_end::world::wait;
use rustix::process::Signal;

/// Two processes at either end, each below 20,000 descriptors, which is all that some machines give.
const PROCESSES: u16 = 2;
const EACH: usize = 10_000;
const ALL: usize = PROCESSES as usize * EACH;

/// What the daemon may take, in bytes: its budget, and what does not grow with traffic.
const HEAP: u64 = 256_000_000;
/// A ring's pages are mapped twice, so that no record is cut in two: --ring-size and a quarter of it.
const RINGS: u64 = (2 * (16 + 4)) << 20;
/// Program, libraries and thread stacks; 12 MiB were measured.
const FIXED: u64 = 32 << 20;
/// File descriptors that the daemon may have.
const FILES: usize = 256;

/// How long 20,000 connections may take to open, or their files to be published.
const LIMIT: Duration = Duration::from_secs(60);

/// Both ends of the connections.
struct Ends {
    listeners: Vec<Process>,
    connectors: Vec<Process>,
}

fn hold(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hold"));
    command.args(arguments);
    command
}

/// Opens all connections from the peer to the host.
fn open(lab: &Lab) -> Result<Ends> {
    let [host, _] = netns::first(0);
    let (mut listeners, mut connectors) = (Vec::new(), Vec::new());
    for number in 0..PROCESSES {
        let at = SocketAddr::new(host, 5001 + number).to_string();
        let mut listener = Process::start(&lab.host, &mut hold(&["listen", &at]))?;
        listener.wait_for_line((Stream::Out, 0), "it listens", LIMIT, |line| {
            line == "listening"
        })?;
        listeners.push(listener);
        let count = EACH.to_string();
        connectors.push(Process::start(
            &lab.peer,
            &mut hold(&["connect", &at, &count]),
        )?);
    }
    for connector in &mut connectors {
        connector.wait_for_line((Stream::Out, 0), "all are open", LIMIT, |line| {
            line.starts_with("holding")
        })?;
    }
    Ok(Ends {
        listeners,
        connectors,
    })
}

/// The expected file names, and the addresses of the connection of each.
fn names(lab: &Lab) -> Result<BTreeMap<String, [SocketAddr; 2]>> {
    let sockets = ss::established(&lab.host)?.into_iter();
    let named = sockets.map(|(addresses, cookie)| (format!("{PREFIX}_{cookie:016X}"), addresses));
    Ok(named.collect())
}

/// Waits until so many files are published, by the daemon's word: the directory is large.
fn wait_until_published(daemon: &mut Daemon) -> Result<()> {
    let mut last = 0;
    let waited = wait::until("all files are published", LIMIT, || {
        last = daemon.summary()?.get("files", "published");
        Ok((last >= ALL as u64).then_some(()))
    });
    waited.with_context(|| format!("{last} are"))
}

/// Checks that a file has a connection from SYN to the last FIN.
fn check(packets: &[Packet], addresses: [SocketAddr; 2]) -> Result<()> {
    for packet in packets {
        let ends = [packet.from, packet.to];
        ensure!(
            ends.iter().all(|end| addresses.contains(end)),
            "another's: {packet}"
        );
    }
    for from in addresses {
        let of = || packets.iter().filter(|packet| packet.from == from);
        ensure!(of().any(|packet| packet.synchronizes), "no SYN of {from}");
        ensure!(of().any(|packet| packet.ends), "no FIN of {from}");
    }
    let data = packets
        .iter()
        .filter(|packet| packet.wire_len as usize > packet.header_len);
    ensure!(data.count() == 1, "not one piece of payload");
    Ok(())
}

#[test]
fn at_once_they_give_as_many_files_within_the_bounds() -> Result<()> {
    let lab = Lab::new()?;
    let files = format!("--nofile={FILES}:{FILES}");
    let prlimit = ["prlimit", files.as_str(), "--"];
    let launch = Launch::new(&lab).by(&prlimit);
    let long = ["--captureduration=300s", "--flowtimeout=300s"];
    let heap = format!("--maxheap={HEAP}B");
    let mut daemon = launch.start(&["--flow-source=kernel", &heap, long[0], long[1]])?;
    let begun = Instant::now();
    let mut ends = open(&lab)?;
    let opened = begun.elapsed();
    let names = names(&lab)?;
    assert_eq!(names.len(), ALL, "so many are open at once");
    daemon.wait_for_summary("all are named", |s| {
        s.get("connections", "opened") == ALL as u64
    })?;
    let descriptors = procfs::open_files(daemon.id())?;
    for process in ends.connectors.iter_mut().chain(&mut ends.listeners) {
        process.signal(Signal::TERM)?;
        process.wait(LIMIT)?;
    }
    let begun = Instant::now();
    wait_until_published(&mut daemon)?;
    let published = begun.elapsed();
    let peak = procfs::peak_memory(daemon.id())?;
    let stopped = daemon.stop()?;
    println!(
        "{ALL} connections, opened in {opened:?}, published in {published:?} after their end; \
         {} KiB at most, {descriptors} descriptors: {:?}",
        peak >> 10,
        stopped.summary
    );
    assert!(descriptors <= FILES);
    assert!(peak <= HEAP + RINGS + FIXED, "{peak} bytes");
    let files = stopped.captures.published()?;
    ensure!(
        files.keys().eq(names.keys()),
        "{} files of other names",
        files.len()
    );
    for (name, addresses) in names {
        let packets = stopped.captures.read(&files[&name])?;
        check(&packets, addresses).with_context(|| name)?;
    }
    stopped.summary.in_balance()?;
    for reason in ["admitted_ring_full", "candidate_ring_full", "writer_behind"] {
        assert_eq!(stopped.summary.get("discarded", reason), 0, "{reason}");
    }
    stopped.captures.no_partial_files()?;
    stopped.captures.no_payload()
}
