//! Promise: a daemon that is told to stop ends within three seconds, with all that it captured in
//! whole files and nothing of its own in the kernel.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, kernel_uuid, now};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::peers::tcpinfo::{self, StandIn};
use end_to_end::peers::terminal::Terminal;
use end_to_end::peers::tools;
use end_to_end::traffic::bulk::Bulk;
use end_to_end::traffic::{self, Connection, Observer, Plan, storm};
use end_to_end::verify::captures::{Captures, files_below};
use end_to_end::verify::oracle::equal_until;
use end_to_end::verify::report::{ConnectionField, DiscardReason, FileField, PacketField};
use end_to_end::world::kernel::{Inventory, qdiscs};
use end_to_end::world::metronome::Stalls;
use end_to_end::world::mount::SmallDisk;
use end_to_end::world::netns::{self, Lab, Namespace, WAN};
use end_to_end::world::wait;
use rustix::process::Signal;
use tempfile::TempDir;

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
    let stopped = daemon.stop_promptly(Signal::TERM)?;
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
    let stopped = daemon.stop_promptly(Signal::TERM)?;
    assert!(stopped.captures.published()?.is_empty());
    stopped.captures.no_partial_files()?;
    ours.wait_until_gone()
}

#[test]
fn each_signal_that_means_stop_is_as_good_as_sigterm() -> Result<()> {
    let lab = Lab::new()?;
    for signal in [Signal::INT, Signal::HUP, Signal::XCPU, Signal::POWER] {
        let (daemon, ours) = start(&Launch::new(&lab))?;
        let open = traffic::open(&lab, &Plan::SHORT, &())?;
        open.talk()?;
        let stopped = daemon.stop_promptly(signal)?;
        let connection = open.finish(&())?;
        let files = stopped.captures.published()?;
        assert_eq!(
            files.keys().collect::<Vec<_>>(),
            [&kernel_uuid(&connection)]
        );
        stopped.captures.no_partial_files()?;
        ours.wait_until_gone()?;
    }
    Ok(())
}

#[test]
fn signals_that_mean_nothing_cost_no_packet() -> Result<()> {
    let lab = Lab::new()?;
    let tcpdump = Tcpdump::start(&lab.host)?;
    let mut daemon = Daemon::start(&lab, &[])?;
    let open = traffic::open(&lab, &Plan::SHORT, &())?;
    open.talk()?;
    let named = [
        Signal::USR2,
        Signal::ALARM,
        Signal::PIPE,
        Signal::VTALARM,
        Signal::PROF,
        Signal::IO,
        Signal::STKFLT,
        Signal::XFSZ,
        Signal::WINCH,
        Signal::URG,
        Signal::CHILD,
        Signal::CONT,
    ];
    let mut numbers: Vec<_> = named.map(Signal::as_raw).into();
    numbers.extend(REAL_TIME);
    for number in numbers {
        send(&daemon, number)?;
    }
    // Answered after all of them have been.
    daemon.report()?;
    let connection = open.finish(&())?;
    daemon.wait_for_files(1)?;
    let stopped = daemon.stop()?;
    let oracle = tcpdump.stop()?;
    oracle.verify(&stopped.captures, &[connection], kernel_uuid)
}

/// The real-time signals that programs may use, whatever their C library keeps for itself.
const REAL_TIME: std::ops::RangeInclusive<i32> = 35..=64;

/// Sends a signal by its number.
fn send(daemon: &Daemon, number: i32) -> Result<()> {
    let mut kill = Command::new("kill");
    kill.args([format!("-{number}"), daemon.id().to_string()]);
    ensure!(kill.status()?.success(), "signal {number}");
    Ok(())
}

/// A daemon in a terminal, with its data directory below `home`; started by `wrapper`, if it is not
/// empty.
fn in_terminal(lab: &Lab, home: &TempDir, wrapper: &[&str]) -> Result<(Terminal, Captures)> {
    let captures = Captures::new(home.path().join("captures"));
    let launch = Launch::new(lab).on(&[]).within(home.path()).by(wrapper);
    let command = launch.command(captures.root(), &["--captureduration=1h"])?;
    let mut terminal = Terminal::start(&lab.host, &command)?;
    terminal.wait_for(&["capturing"])?;
    Ok((terminal, captures))
}

/// Checks that a connection has its file, with all of its packets.
fn is_whole(captures: &Captures, connection: &Connection, tcpdump: Tcpdump) -> Result<()> {
    captures.no_partial_files()?;
    tcpdump
        .stop()?
        .verify(captures, std::slice::from_ref(connection), kernel_uuid)
}

#[test]
fn a_closed_terminal_loses_nothing() -> Result<()> {
    let (lab, home) = (Lab::new()?, TempDir::new()?);
    let tcpdump = Tcpdump::start(&lab.host)?;
    let (mut terminal, captures) = in_terminal(&lab, &home, &[])?;
    let open = traffic::open(&lab, &Plan::SHORT, &())?;
    open.talk()?;
    let moment = now()?;
    // The shell and sudo pass SIGHUP on, beside the kernel; none of them is in a hurry.
    terminal.signal(Signal::HUP)?;
    terminal.close()?;
    // It may have ended already.
    let _gone = terminal.signal(Signal::HUP);
    let status = terminal.wait()?;
    ensure!(status.code() == Some(0), "{status}: {}", terminal.text());
    let connection = open.finish(&())?;
    captures.no_partial_files()?;
    let packets = captures.packets_of(&kernel_uuid(&connection))?;
    let oracle = tcpdump.stop()?;
    equal_until(&packets, oracle.packets_of(&connection)?, moment)
}

#[test]
fn with_nohup_it_goes_on_without_its_terminal() -> Result<()> {
    let (lab, home) = (Lab::new()?, TempDir::new()?);
    let tcpdump = Tcpdump::start(&lab.host)?;
    let ignoring = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"];
    let (mut terminal, captures) = in_terminal(&lab, &home, &ignoring)?;
    let open = traffic::open(&lab, &Plan::SHORT, &())?;
    open.talk()?;
    terminal.close()?;
    // All of this is printed or logged, in vain.
    for _ in 0..3 {
        terminal.signal(Signal::USR1)?;
    }
    let other = Namespace::add("other")?;
    netns::join((&lab.host, "late0"), (&other, WAN), 1)?;
    drop(other);
    let connection = open.finish(&())?;
    wait::until("the file is published", || {
        Ok((captures.published()?.len() == 1).then_some(()))
    })?;
    terminal.signal(Signal::TERM)?;
    let status = terminal.wait()?;
    ensure!(status.code() == Some(0), "{status}");
    is_whole(&captures, &connection, tcpdump)
}

#[test]
fn a_terminal_that_is_held_stops_no_capture() -> Result<()> {
    let (lab, home) = (Lab::new()?, TempDir::new()?);
    let tcpdump = Tcpdump::start(&lab.host)?;
    let (mut terminal, captures) = in_terminal(&lab, &home, &[])?;
    terminal.press(CTRL_S)?;
    terminal.signal(Signal::USR1)?;
    let other = Namespace::add("other")?;
    netns::join((&lab.host, "late0"), (&other, WAN), 1)?;
    drop(other);
    let connections = traffic::run(&lab, &[Plan::SHORT], &())?;
    wait::until("the file is published", || {
        Ok((captures.published()?.len() == 1).then_some(()))
    })?;
    // It ends while it is held, too.
    terminal.signal(Signal::TERM)?;
    terminal.wait()?;
    is_whole(&captures, &connections[0], tcpdump)
}

/// The key that holds a terminal's output.
const CTRL_S: &str = "\x13";

/// How long the kernel may take to end a process that is busy, and to free its maps.
const AT_ONCE: Duration = Duration::from_secs(3);

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
    daemon.wait_within(AT_ONCE)?;
    bulk.stop()?;
    ours.wait_until_gone()?;
    assert_eq!(qdiscs(&lab.host)?, qdiscs_before);
    Ok(())
}

/// How many connections have ended, and wait to be written, when the daemon is told to stop; and how long it
/// may take then, beside what the machine withholds from everybody. What the disk has not taken is discarded.
const WAITING: u64 = 100_000;
const WITH_SO_MANY: Duration = Duration::from_secs(10);

#[test]
fn a_hundred_thousand_connections_that_wait_delay_it_a_little_and_are_all_accounted_for()
-> Result<()> {
    let lab = Lab::new()?;
    let disk = SmallDisk::mount(1024)?;
    let launch = Launch::new(&lab).within(disk.path());
    let mut daemon = launch.start(&[
        "--linger=1h",
        "--captureduration=1h",
        "--spill-interval=1h",
        "--min-free=0",
    ])?;
    let took = storm::run(&lab, WAITING)?;
    println!("{WAITING} connections in {took:?}");
    let closed = daemon.wait_for_report("all of them have ended", |report| {
        report.get(ConnectionField::Closed) >= WAITING
    })?;
    assert_eq!(closed.get(FileField::Published), 0, "{closed:?}");
    // The load goes on.
    let bulk = Bulk::start(&lab, &())?;
    bulk.wait_for(UNDER_WAY)?;
    let begun = Instant::now();
    let (stopped, stalls) = Stalls::during(disk.path(), || daemon.stop_by(Signal::TERM))?;
    let (took, withheld) = (begun.elapsed(), stalls.all());
    println!("stopped in {took:?}, of which {withheld:?} were withheld");
    assert!(took <= WITH_SO_MANY + withheld, "{took:?}");
    bulk.stop()?;
    let report = &stopped.report;
    println!("{report:?}");
    let [published, failed] =
        [FileField::Published, FileField::Failed].map(|field| report.get(field));
    assert_eq!(
        published + failed + report.get(ConnectionField::Empty),
        report.get(ConnectionField::Opened),
        "{report:?}"
    );
    assert_eq!(
        files_below(stopped.captures.root())?.len() as u64,
        published
    );
    ensure!(published > WAITING / 100, "{report:?}");
    // Whether that was fast enough is up to the disk.
    let behind = report.get(DiscardReason::WriterBehind);
    assert_eq!(behind > 0, failed > 0, "{report:?}");
    Ok(())
}
