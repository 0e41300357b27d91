//! Promise: filters, durations and keep rules change while the daemon captures, for connections that begin or end
//! afterwards. What is captured goes on, each file is whole, and a change is in force as a whole or not at all.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use end_to_end::capture;
use end_to_end::peers::configuration::{Configuration, STAYS};
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::peers::tcpinfo::{StandIn, uuid};
use end_to_end::traffic::datagrams::Socket;
use end_to_end::traffic::of_each_kind::{Filterable, PORTS, make};
use end_to_end::traffic::pair::Pair;
use end_to_end::traffic::{self, Connection, Plan};
use end_to_end::verify::oracle;
use end_to_end::verify::report::{ConnectionField, DiscardReason, FileField, PacketField};
use end_to_end::world::netns::{self, Lab};
use end_to_end::world::wait;
use rustix::process::Signal;
use tempfile::TempDir;

/// Files are finished soon, so that the tests are.
const SOON: [&str; 2] = ["--linger=100ms", "--spill-interval=100ms"];

/// An open connection that the host accepts at this port.
fn open(lab: &Lab, port: u16) -> Result<(Pair, Connection)> {
    let [address, _] = netns::first(0);
    let pair = Pair::open((&lab.host, SocketAddr::new(address, port)), &lab.peer)?;
    pair.talk()?;
    let connection = pair.accepted()?;
    Ok((pair, connection))
}

#[test]
fn connections_before_across_and_after_a_change_have_the_files_that_are_promised() -> Result<()> {
    let (lab, home) = (Lab::new()?, TempDir::new()?);
    let file = Configuration::new(home.path(), "port = [5001]\n")?;
    let tcpdump = Tcpdump::start(&lab.host)?;
    let mut daemon = file.start_in(&lab, &SOON)?;
    let mut wanted = Vec::new();
    for port in PORTS {
        let (pair, connection) = open(&lab, port)?;
        pair.finish()?;
        wanted.extend((port == 5001).then_some(connection));
    }
    let across = [open(&lab, 5001)?, open(&lab, 5002)?];

    file.reload(&mut daemon, "port = [5002]\n")?;
    for port in PORTS {
        let (pair, connection) = open(&lab, port)?;
        pair.finish()?;
        wanted.extend((port == 5002).then_some(connection));
    }
    // The one that was captured still is. The other one began when nobody wanted it.
    let [(captured, connection), (left_out, _)] = across;
    for pair in [captured, left_out] {
        pair.talk()?;
        pair.finish()?;
    }
    wanted.push(connection);
    let (stopped, _) = capture::conclude(daemon, tcpdump, &wanted, kernel_uuid)?;
    ensure!(stopped.report.get(DiscardReason::Filtered) > 0);
    Ok(())
}

/// Which of the connections a configuration wants.
type Wants = fn(&Filterable) -> bool;

#[test]
fn every_filter_can_be_replaced_by_every_other() -> Result<()> {
    let (lab, home) = (Lab::new()?, TempDir::new()?);
    let configurations: [(&str, Wants); 9] = [
        ("", |_| true),
        ("port = [5001, 80]", |one| one.port == 5001),
        ("net = ['10.0.0.0/8', '192.0.2.0/24']", Filterable::is_v4),
        ("exclude-port = [5001]", |one| one.port == 5002),
        ("direction = 'incoming'", |one| one.incoming),
        // The longest network is in neither list, but within one.
        (
            "net = ['10.98.0.0/24', '::/0']\nexclude-net = ['10.0.0.0/8']",
            |one| !one.is_v4(),
        ),
        ("direction = 'outgoing'\nport = [5002]", |one| {
            !one.incoming && one.port == 5002
        }),
        ("exclude-net = ['fd00::/8']\nexclude-port = [5002]", |one| {
            one.is_v4() && one.port == 5001
        }),
        ("direction = 'all'", |_| true),
    ];
    let file = Configuration::new(home.path(), "port = [1]\n")?;
    let tcpdump = Tcpdump::start(&lab.host)?;
    let mut daemon = file.start_in(&lab, &SOON)?;
    let mut wanted = Vec::new();
    for (text, wants) in configurations {
        file.reload(&mut daemon, text)?;
        let made = make(&lab)?.into_iter().filter(wants);
        wanted.extend(made.map(|one| one.connection));
    }
    ensure!(daemon.log_lines("restart the daemon") == 0);
    capture::conclude(daemon, tcpdump, &wanted, kernel_uuid)?;
    Ok(())
}

#[test]
fn a_file_that_is_wrong_or_refused_changes_nothing() -> Result<()> {
    let (lab, home) = (Lab::new()?, TempDir::new()?);
    let file = Configuration::new(home.path(), "port = [5001]\n")?;
    let tcpdump = Tcpdump::start(&lab.host)?;
    let mut daemon = file.start_in(&lab, &SOON)?;
    let nets: Vec<_> = (0..4097)
        .map(|net| format!("'10.{}.{}.0/24'", net / 256, net % 256))
        .collect();
    let mut wanted = Vec::new();
    for (number, (wrong, said)) in [
        ("port = [5002]\nprot = 1\n".to_owned(), "no flag 'prot'"),
        (
            "port = [5002]\nnet = ['10.0.0.0/33']\n".to_owned(),
            "0 to 32",
        ),
        (
            "port = [5002]\nuuidwaitduration = '2h'\n".to_owned(),
            "must not exceed --captureduration",
        ),
        (
            format!(
                "port = [5002]\nmax-files = 1\nnet = [{}]\n",
                nets.join(", ")
            ),
            "too many networks: --net and --exclude-net accept 4096 each, not 4097",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        file.replace(&wrong)?;
        daemon.signal(Signal::HUP)?;
        daemon.wait_for_log(number + 1, STAYS)?;
        daemon.wait_for_log(1, said)?;
        for port in PORTS {
            let (pair, connection) = open(&lab, port)?;
            pair.finish()?;
            wanted.extend((port == 5001).then_some(connection));
        }
    }
    let (stopped, _) = capture::conclude(daemon, tcpdump, &wanted, kernel_uuid)?;
    assert_eq!(stopped.report.get(FileField::Expired), 0);
    Ok(())
}

#[test]
fn a_connection_is_captured_for_as_long_as_was_said_when_it_began() -> Result<()> {
    let (lab, home) = (Lab::new()?, TempDir::new()?);
    let rest = "flowtimeout = '1h'\nuuidwaitduration = '500ms'\n";
    let lasting = |duration: &str| format!("captureduration = '{duration}'\n{rest}");
    let file = Configuration::new(home.path(), &lasting("1h"))?;
    let tcpdump = Tcpdump::start(&lab.host)?;
    let mut daemon = file.start_in(&lab, &SOON)?;
    let (before, connection) = open(&lab, 5001)?;
    let mut whole = vec![connection];
    file.reload(&mut daemon, &lasting("1s"))?;
    let (short, cut) = open(&lab, 5002)?;
    file.reload(&mut daemon, &lasting("1h"))?;
    let (after, connection) = open(&lab, 5003)?;
    whole.push(connection);

    daemon.wait_for_files(1)?;
    for pair in [short, before, after] {
        pair.talk()?;
        pair.finish()?;
    }
    daemon.wait_for_files(3)?;
    daemon.wait_until_quiet()?;
    let (stopped, oracle) = (daemon.stop()?, tcpdump.stop()?);
    for connection in &whole {
        let ours = stopped.captures.packets_of(&kernel_uuid(connection))?;
        oracle::equal(&ours, oracle.packets_of(connection)?)
            .with_context(|| stopped.transcript.clone())?;
    }
    let (ours, theirs) = (
        stopped.captures.packets_of(&kernel_uuid(&cut))?,
        oracle.packets_of(&cut)?,
    );
    oracle::equal(&ours, theirs.get(..ours.len()).context("more packets")?)?;
    let late = (theirs.len() - ours.len()) as u64;
    ensure!(late > 0, "all of {cut} was captured");
    let discarded = stopped.report.get(DiscardReason::AfterCaptureDuration);
    assert_eq!(discarded, late, "{:?}", stopped.report);
    Ok(())
}

#[test]
fn rules_for_what_is_kept_hold_for_connections_that_end() -> Result<()> {
    let (lab, home) = (Lab::new()?, TempDir::new()?);
    let rules = |text: &str| format!("rows = 'jsonl'\nrows-interval = '1h'\n{text}\n");
    let file = Configuration::new(home.path(), &rules("keep = ['server_port=5001']"))?;
    let mut daemon = file.start_in(&lab, &SOON)?;
    let mut wanted = Vec::new();
    let (across, connection) = open(&lab, 5002)?;
    wanted.push(connection);
    let mut ended = 0;
    for (text, kept) in [
        ("keep = ['server_port=5001']", [true, false]),
        (
            "keep = ['server_port=5002', 'server_port=7']",
            [false, true],
        ),
        ("", [true, true]),
        ("sample = 1000000000", [false, false]),
        ("keep = ['server_port=5002']", [false, true]),
    ] {
        file.reload(&mut daemon, &rules(text))?;
        for (port, is_kept) in PORTS.into_iter().zip(kept) {
            let (pair, connection) = open(&lab, port)?;
            pair.finish()?;
            wanted.extend(is_kept.then_some(connection));
        }
        ended += PORTS.len();
        wait_for_ends(&mut daemon, ended)?;
    }
    across.finish()?;
    wait_for_ends(&mut daemon, ended + 1)?;
    ensure!(daemon.log_lines("restart the daemon") == 0);
    let stopped = daemon.stop()?;
    let files = stopped.captures.published()?;
    let mut wanted: Vec<_> = wanted.iter().map(kernel_uuid).collect();
    wanted.sort();
    ensure!(files.keys().eq(&wanted), "{files:?} are not {wanted:?}");
    Ok(())
}

#[test]
fn rules_for_what_is_kept_hold_for_udp_flows_that_end() -> Result<()> {
    let (lab, home) = (Lab::new()?, TempDir::new()?);
    let fixed =
        "rows = 'jsonl'\nrows-interval = '1h'\nprotocols = ['tcp', 'udp']\nudptimeout = '1s'";
    let rules = |text: &str| format!("{fixed}\n{text}\n");
    let none = "keep = ['server_port=1']";
    let file = Configuration::new(home.path(), &rules(none))?;
    let mut daemon = file.start_in(&lab, &SOON)?;
    for (ended, text) in [(1, none), (2, "")] {
        file.reload(&mut daemon, &rules(text))?;
        let client = Socket::bind((&lab.host, netns::first(0)[0]), 0)?;
        client.ask(&Socket::bind((&lab.peer, netns::second(0)[0]), 0)?)?;
        wait_for_ends(&mut daemon, ended)?;
    }
    let files = daemon.stop()?.captures.of_udp()?;
    ensure!(files.len() == 1, "{files:?}");
    Ok(())
}

/// Waits until so many connections have ended, and been kept or not.
fn wait_for_ends(daemon: &mut Daemon, connections: usize) -> Result<()> {
    daemon.wait_for_report("all files are finished", |report| {
        let done = report.get(FileField::Published) + report.get(FileField::NotKept);
        done == connections as u64
    })?;
    Ok(())
}

#[test]
fn whose_connections_are_captured_changes_for_those_that_end() -> Result<()> {
    let (lab, home) = (Lab::new()?, TempDir::new()?);
    // All are root's.
    let [nobodys, ours] = ["uid = [4242]\n", "uid = [0]\n"];
    let file = Configuration::new(home.path(), nobodys)?;
    let tcpdump = Tcpdump::start(&lab.host)?;
    let mut daemon = file.start_in(&lab, &SOON)?;
    let across = open(&lab, 5001)?;
    open(&lab, 5002)?.0.finish()?;
    let left_out = daemon.wait_for_report("it is left out", |report| {
        report.get(DiscardReason::OtherOwner) > 0
    })?;
    file.reload(&mut daemon, ours)?;
    let also_across = open(&lab, 5003)?;
    let wanted = [across.1];
    across.0.finish()?;
    daemon.wait_for_files(1)?;
    file.reload(&mut daemon, nobodys)?;
    also_across.0.finish()?;
    let before = left_out.get(DiscardReason::OtherOwner);
    daemon.wait_for_report("it is left out as well", |report| {
        report.get(DiscardReason::OtherOwner) > before
    })?;
    capture::conclude(daemon, tcpdump, &wanted, kernel_uuid)?;
    Ok(())
}

#[test]
fn what_tcpinfo_tells_of_is_chosen_by_the_filters_of_then() -> Result<()> {
    let (lab, home) = (Lab::new()?, TempDir::new()?);
    let file = Configuration::new(home.path(), "net = ['10.0.0.0/8']\n")?;
    let mut tcpinfo = StandIn::unix(&home.path().join("tcpevents.sock"));
    tcpinfo.listen()?;
    let tcpdump = Tcpdump::start(&lab.host)?;
    let launch = Launch::new(&lab).following(&tcpinfo).without_prefix();
    let mut daemon = file.start(launch, &[])?;
    tcpinfo.wait_for_client(1)?;
    let mut wanted = traffic::run(&lab, &Plan::mixed(10), &tcpinfo)?;
    wanted.retain(|one| one.host.is_ipv4());
    daemon.wait_for_files(wanted.len())?;
    file.reload(&mut daemon, "exclude-net = ['10.0.0.0/8']\n")?;
    let later = traffic::run(&lab, &Plan::mixed(10), &tcpinfo)?;
    wanted.extend(later.into_iter().filter(|one| one.host.is_ipv6()));
    capture::conclude(daemon, tcpdump, &wanted, uuid)?;
    Ok(())
}

/// How often the configuration is changed in a storm.
const CHANGES: usize = 100;

/// The ports that are always wanted, never, and now and then.
const ALWAYS: u16 = 5001;
const NEVER: u16 = 5002;
const SOMETIMES: u16 = 5003;

/// What is in force in a storm. No configuration wants [`NEVER`], but a mixture of two would.
const IN_A_STORM: [&str; 3] = [
    "port = [5001, 5003]\nexclude-net = ['192.0.2.0/24']\n",
    "port = [5001, 5002]\nexclude-port = [5002]\n",
    "exclude-port = [5002]\nnet = ['10.98.0.0/16']\nexclude-net = ['10.99.0.0/16']\n",
];

/// Makes connections of all three ports until it is told to stop; counts them meanwhile.
fn keep_connecting(
    lab: &Lab,
    stop: &AtomicBool,
    made: &AtomicUsize,
) -> Result<Vec<Vec<Connection>>> {
    let mut connections = vec![Vec::new(); 3];
    while !stop.load(Ordering::Relaxed) {
        for (of_port, port) in connections.iter_mut().zip([ALWAYS, NEVER, SOMETIMES]) {
            let (pair, connection) = open(lab, port)?;
            pair.finish()?;
            of_port.push(connection);
            made.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(connections)
}

/// Changes the configuration again and again, which now and then is wrong.
fn storm(file: &Configuration, daemon: &mut Daemon, made: &AtomicUsize) -> Result<()> {
    for change in 0..CHANGES {
        let text = match change % 10 {
            9 => "prot = 1\n",
            _ => IN_A_STORM[change % IN_A_STORM.len()],
        };
        file.replace(text)?;
        daemon.signal(Signal::HUP)?;
        let before = made.load(Ordering::Relaxed);
        wait::until("a connection meanwhile", || {
            Ok((made.load(Ordering::Relaxed) > before).then_some(()))
        })?;
    }
    file.reload(daemon, IN_A_STORM[1])
}

#[test]
fn a_hundred_changes_while_connections_come_and_go_cut_none() -> Result<()> {
    let (lab, home) = (Lab::new()?, TempDir::new()?);
    let file = Configuration::new(home.path(), IN_A_STORM[0])?;
    let tcpdump = Tcpdump::start(&lab.host)?;
    let mut daemon = file.start_in(&lab, &SOON)?;
    let (across, connection) = open(&lab, SOMETIMES)?;
    let (stop, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (changed, connections) = thread::scope(|scope| {
        let connecting = scope.spawn(|| keep_connecting(&lab, &stop, &made));
        let changed = storm(&file, &mut daemon, &made);
        stop.store(true, Ordering::Relaxed);
        (changed, connecting.join().expect("it does not panic"))
    });
    changed?;
    let connections = connections?;
    let [always, never, sometimes] = &connections[..] else {
        anyhow::bail!("three lists");
    };
    across.finish()?;
    daemon.wait_for_report("all that were opened have a file", |report| {
        report.get(PacketField::Held) == 0
            && report.get(FileField::Published) == report.get(ConnectionField::Opened)
    })?;

    // Whole or not at all; those of the last configuration, or that nobody ever wanted, not at all.
    let files = daemon.captures().published()?;
    let mut wanted = always.clone();
    wanted.push(connection);
    let has_file = |one: &&Connection| files.contains_key(&kernel_uuid(one));
    wanted.extend(sometimes.iter().filter(has_file).cloned());
    println!(
        "{} always, {} never, {} of {} sometimes",
        always.len(),
        never.len(),
        wanted.len() - always.len() - 1,
        sometimes.len()
    );
    ensure!(wanted.len() > always.len() + 1 && wanted.len() < always.len() + 1 + sometimes.len());
    capture::conclude(daemon, tcpdump, &wanted, kernel_uuid)?;
    Ok(())
}
