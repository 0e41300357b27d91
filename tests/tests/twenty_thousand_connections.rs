//! Promise: memory and file descriptors stay within their limits, however many connections there
//! are.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, PREFIX};
use end_to_end::peers::launch::Launch;
use end_to_end::verify::pcap::Packet;
use end_to_end::verify::report::{ConnectionField, DiscardReason, FileField};
use end_to_end::world::netns::{self, Lab};
use end_to_end::world::process::{Process, Stream};
use end_to_end::world::{parallel, procfs, ss, wait};
use rustix::process::Signal;

/// Two processes at either end, as some machines give a process no more than 20,000 descriptors.
const PROCESSES: u16 = 2;
const EACH: usize = 10_000;
const ALL: usize = PROCESSES as usize * EACH;

/// The memory that the daemon may take, in bytes: its budget, and what does not grow with traffic.
const HEAP: u64 = 256_000_000;
/// There is a ring of --ring-size and one of a quarter of that.
const RINGS: u64 = (16 + 4) << 20;
/// Program, libraries and thread stacks; 12 MiB were measured.
const FIXED: u64 = 32 << 20;
/// The number of file descriptors that the daemon may have.
const FILES: usize = 256;

/// How long the connections may take to open, and their files to be published.
const ALL_WITHIN: Duration = Duration::from_secs(60);

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
        let listens = |line: &str| line == "listening";
        listener.wait_for_line((Stream::Out, 0), "it listens", listens)?;
        listeners.push(listener);
        let count = EACH.to_string();
        connectors.push(Process::start(
            &lab.peer,
            &mut hold(&["connect", &at, &count]),
        )?);
    }
    for connector in &mut connectors {
        let all = |line: &str| line.starts_with("holding");
        connector.wait_for_line_within(ALL_WITHIN, (Stream::Out, 0), "all are open", all)?;
    }
    Ok(Ends {
        listeners,
        connectors,
    })
}

/// The expected UUIDs, each with the addresses of its connection.
fn names(lab: &Lab) -> Result<BTreeMap<String, [SocketAddr; 2]>> {
    let sockets = ss::established(&lab.host)?.into_iter();
    let named = sockets.map(|(addresses, cookie)| (format!("{PREFIX}_{cookie:016X}"), addresses));
    Ok(named.collect())
}

/// Waits until all files are published, by the daemon's report, as the directory is large.
fn wait_until_published(daemon: &mut Daemon) -> Result<()> {
    let mut last = 0;
    let waited = wait::within(ALL_WITHIN, "all files are published", || {
        last = daemon.report()?.get(FileField::Published);
        Ok((last >= ALL as u64).then_some(()))
    });
    waited.with_context(|| format!("{last} of them are"))
}

/// Checks that a file has a connection from SYN to the last FIN.
fn check(packets: &[Packet], addresses: [SocketAddr; 2]) -> Result<()> {
    for packet in packets {
        let ends = [packet.from, packet.to];
        ensure!(
            ends.iter().all(|end| addresses.contains(end)),
            "of another connection: {packet}"
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
    let mut daemon = launch.start(&[&heap, long[0], long[1]])?;
    let begun = Instant::now();
    let mut ends = open(&lab)?;
    let opened = begun.elapsed();
    let names = names(&lab)?;
    assert_eq!(names.len(), ALL, "not all are open at once");
    daemon.wait_for_report("all are named", |s| {
        s.get(ConnectionField::Opened) == ALL as u64
    })?;
    let descriptors = procfs::open_files(daemon.id())?;
    for process in ends.connectors.iter_mut().chain(&mut ends.listeners) {
        process.signal(Signal::TERM)?;
        process.wait_within(ALL_WITHIN)?;
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
        stopped.report
    );
    assert!(descriptors <= FILES);
    assert!(peak <= HEAP + RINGS + FIXED, "{peak} bytes");
    let files = stopped.captures.published()?;
    ensure!(
        files.keys().eq(names.keys()),
        "{} files of other names",
        files.len()
    );
    let names: Vec<_> = names.into_iter().collect();
    parallel::map(&names, |(name, addresses)| {
        let packets = stopped.captures.read(&files[name])?;
        check(&packets, *addresses).with_context(|| name.clone())
    })?;
    for reason in [
        DiscardReason::AdmittedRingFull,
        DiscardReason::CandidateRingFull,
        DiscardReason::WriterBehind,
    ] {
        assert_eq!(stopped.report.get(reason), 0, "{reason:?}");
    }
    stopped.captures.no_partial_files()?;
    stopped.captures.no_payload()
}
