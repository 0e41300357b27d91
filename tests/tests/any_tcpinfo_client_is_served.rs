//! Promise: `--eventsocket.listen` serves the kernel's flow events to every client of tcp-info's
//! protocol: first the connections that are open, then each event once. The daemon waits for no
//! client.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, Stopped, kernel_uuid};
use end_to_end::peers::event_client::{Event, EventClient, consistent, joins};
use end_to_end::peers::http;
use end_to_end::peers::launch::Launch;
use end_to_end::peers::refusal::{one_line, refused};
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::peers::tcpinfo::StandIn;
use end_to_end::traffic::{self, Connection, Conversation, Plan, burst, short_connections};
use end_to_end::verify::report::{ConnectionField, DiscardReason, EventField, FileField};
use end_to_end::world::netns::Lab;
use end_to_end::world::{ss, wait};
use tempfile::TempDir;

/// Short connections of the test that compares everything.
const SHORT: usize = 1000;
/// A client connects each time that about so many of them have been made.
const STEP: u32 = 200;
/// Connections with more events than a client may be behind, or its socket holds.
const MANY: usize = 18_000;
/// The number of clients that are served at once.
const CLIENTS: usize = 32;
/// The client has read half of all events within this time; tcp-info itself looks every 10 ms.
const PROMPT: Duration = Duration::from_millis(50);

fn listen(socket: &Path) -> String {
    format!("--eventsocket.listen={}", socket.display())
}

/// Opens connections of every kind, and exchanges some payload on each.
fn open(lab: &Lab, count: usize) -> Result<Vec<Conversation>> {
    let plans = Plan::mixed(count);
    let open = plans.iter().map(|plan| {
        let conversation = traffic::open(lab, plan, &())?;
        conversation.talk()?;
        Ok(conversation)
    });
    open.collect()
}

fn finish(open: Vec<Conversation>) -> Result<Vec<Connection>> {
    open.into_iter().map(|one| one.finish(&())).collect()
}

/// The Opens by UUID: the cookie, and both ends.
fn opens(events: &[Event]) -> BTreeMap<String, (u64, [SocketAddr; 2])> {
    let opens = events
        .iter()
        .filter_map(|it| Some((it.uuid.clone(), it.open?)));
    opens.collect()
}

/// Checks that the events are those of these connections, and that all are closed.
fn complete(events: &[Event], connections: &[Connection]) -> Result<()> {
    let open = consistent(events)?;
    ensure!(open.is_empty(), "not closed: {open:?}");
    let made = connections.iter();
    let made = made.map(|it| (kernel_uuid(it), (it.cookie, [it.host, it.peer])));
    let made: BTreeMap<_, _> = made.collect();
    let opened = opens(events);
    ensure!(opened == made, "Opens: {opened:?}\nmade: {made:?}");
    Ok(())
}

/// The time from when events happened to when they were read: the median, and the 99th percentile.
fn delays(events: &[Event]) -> Result<[Duration; 2]> {
    let mut delays: Vec<_> = events
        .iter()
        .map(|it| it.read.saturating_sub(it.at))
        .collect();
    delays.sort_unstable();
    let part = |hundredths: usize| delays.get(delays.len() * hundredths / 100);
    let both = part(50).zip(part(99)).context("no event")?;
    Ok([*both.0, *both.1])
}

/// The host's open connections, as the kernel lists them: what a client should read first.
fn open_now(lab: &Lab) -> Result<BTreeSet<(u64, [SocketAddr; 2])>> {
    let sockets = ss::established(&lab.host)?.into_iter();
    Ok(sockets.map(|(ends, cookie)| (cookie, ends)).collect())
}

/// Makes short connections, while a client connects from time to time; returns the clients, and the
/// connections.
fn connect_clients(lab: &Lab, socket: &Path) -> Result<(Vec<EventClient>, Vec<Connection>)> {
    let (mut clients, mut made) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        let traffic = scope.spawn(|| short_connections::run(lab, SHORT, &()));
        while !traffic.is_finished() {
            clients.push(EventClient::start(lab, socket)?);
            thread::sleep(short_connections::LASTS * STEP);
        }
        made = traffic.join().expect("connecting does not panic")?;
        anyhow::Ok(())
    })?;
    Ok((clients, made))
}

#[test]
fn each_client_reads_what_is_open_and_then_each_event_once() -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let socket = home.path().join("tcpevents.sock");
    let older = open(&lab, 6)?;
    let tcpdump = Tcpdump::start(&lab.host)?;
    let daemon = Daemon::start(&lab, &[&listen(&socket)])?;
    let file = fs::symlink_metadata(&socket)?;
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o7777, 0o660);
    let mut early = EventClient::start(&lab, &socket)?;
    // Another daemon is a client too, and learns every name here.
    let tcpinfo = StandIn::unix(&socket);
    let follow = ["--flow-source=tcpinfo", "--existing=false"];
    let follower = Daemon::follow(&lab, &tcpinfo, &follow)?;

    let lasting = open(&lab, 12)?;
    early.wait_for(18)?;
    let mut late = EventClient::start(&lab, &socket)?;
    let replayed = late.wait_for(18)?;
    let open = opens(&replayed).into_values().collect::<BTreeSet<_>>();
    assert_eq!(open, open_now(&lab)?);
    let (mut clients, mut connections) = connect_clients(&lab, &socket)?;
    clients.push(late);
    connections.extend(finish(lasting)?);
    connections.extend(finish(older)?);

    // The kernel reports no Close of the older ones: the daemon notices later that they are gone.
    early.wait_for(2 * connections.len())?;
    let stopped = compare(daemon, follower, tcpdump, &connections)?;
    assert_eq!(stopped.report.get(EventField::NotServed), 0);
    assert!(!socket.exists(), "it is removed");
    let early = early.finish()?;
    complete(&early, &connections)?;
    for client in clients {
        let events = client.finish()?;
        consistent(&events)?;
        let replayed = joins(&events, &early)?;
        let all = events.len();
        println!("a client read {all} events, the first {replayed} of open connections");
    }
    let short: Vec<_> = early[18..18 + 2 * SHORT].to_vec();
    let [median, most] = delays(&short)?;
    println!("half of all events are read within {median:?}, 99 of 100 within {most:?}");
    assert!(median < PROMPT);
    Ok(())
}

/// Checks that both daemons have the same files under the same names, with tcpdump's packets.
fn compare(
    mut daemon: Daemon,
    mut follower: Daemon,
    tcpdump: Tcpdump,
    connections: &[Connection],
) -> Result<Stopped> {
    for daemon in [&mut daemon, &mut follower] {
        daemon.wait_for_files(connections.len())?;
    }
    let followed = follower.stop()?;
    let stopped = daemon.stop()?;
    let oracle = tcpdump.stop()?;
    for stopped in [&followed, &stopped] {
        oracle
            .verify(&stopped.captures, connections, kernel_uuid)
            .with_context(|| stopped.transcript.clone())?;
    }
    Ok(stopped)
}

#[test]
fn a_client_that_does_not_read_is_dropped_and_harms_nobody() -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let socket = home.path().join("tcpevents.sock");
    let mut daemon = Daemon::start(&lab, &[&listen(&socket)])?;
    let mut reader = EventClient::start(&lab, &socket)?;
    let _idle = EventClient::idle(&lab, &socket)?;
    let connections = burst::run(&lab, MANY)?;
    reader.wait_for(2 * MANY)?;
    daemon.wait_for_log(1, "too far behind")?;
    let _idle = EventClient::idle(&lab, &socket)?;
    daemon.wait_until_quiet()?;
    let stopped = daemon.stop()?;
    complete(&reader.finish()?, &connections)?;
    let report = &stopped.report;
    assert_eq!(report.get(EventField::ClientsDropped), 1, "{report:?}");
    assert_eq!(report.get(EventField::NotServed), 0, "{report:?}");
    assert_eq!(report.get(ConnectionField::Opened), MANY as u64);
    assert_eq!(report.get(FileField::Published), MANY as u64);
    let mut discarded = report.line::<DiscardReason>().clone();
    discarded.retain(|reason, _| ![DiscardReason::NotIp, DiscardReason::NotTcp].contains(reason));
    assert!(discarded.is_empty(), "{report:?}");
    Ok(())
}

#[test]
fn more_clients_than_there_may_be_are_turned_away_at_once() -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let socket = home.path().join("tcpevents.sock");
    let daemon = Daemon::start(&lab, &[&listen(&socket)])?;
    let more = 8;
    let connect = |_| {
        let client = UnixStream::connect(&socket)?;
        client.set_read_timeout(Some(wait::LIMIT))?;
        Ok(client)
    };
    let clients: Vec<_> = (0..CLIENTS + more).map(connect).collect::<Result<_>>()?;
    // Those that are served get something to read.
    let conversation = traffic::open(&lab, &Plan::SHORT, &())?;
    let mut turned_away = Vec::new();
    for (number, mut client) in clients.iter().enumerate() {
        if client.read(&mut [0; 16])? == 0 {
            turned_away.push(number);
        }
    }
    assert_eq!(turned_away, Vec::from_iter(CLIENTS..CLIENTS + more));
    conversation.finish(&())?;
    let metrics = http::metrics(&lab.host, daemon.http()?)?;
    let served = metrics.get("packet_headers_event_clients")?;
    let dropped = metrics.get("packet_headers_event_clients_dropped_total")?;
    assert_eq!([served, dropped], [CLIENTS, more].map(|count| count as f64));
    let report = daemon.stop()?.report;
    assert_eq!(report.get(EventField::ClientsDropped), more as u64);
    Ok(())
}

/// Connects, and reads the first bytes; `None` if the daemon turns the client away.
fn served(socket: &Path) -> Result<Option<UnixStream>> {
    let mut client = UnixStream::connect(socket)?;
    client.set_read_timeout(Some(wait::LIMIT))?;
    let length = client.read(&mut [0; 16]);
    Ok(matches!(length, Ok(1..)).then_some(client))
}

#[test]
fn a_full_set_of_clients_that_never_read_does_not_lock_out_the_next() -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let socket = home.path().join("tcpevents.sock");
    let mut daemon = Daemon::start(&lab, &[&listen(&socket)])?;
    // It has something to read for everybody.
    let conversation = traffic::open(&lab, &Plan::SHORT, &())?;
    let mut reader = EventClient::start(&lab, &socket)?;
    reader.wait_for(1)?;
    let idle = (1..CLIENTS).map(|_| Ok(UnixStream::connect(&socket)?));
    let mut idle: Vec<_> = idle.collect::<Result<_>>()?;
    let next = wait::until("one more client is served", || served(&socket))?;
    // One of the idle had to leave, not the one that reads.
    daemon.wait_for_log(1, "it has read nothing for")?;
    let mut gone = 0;
    for client in &mut idle {
        client.set_nonblocking(true)?;
        // What was sent to it before can still be read.
        let mut read = Vec::new();
        gone += usize::from(client.read_to_end(&mut read).is_ok());
    }
    assert_eq!(gone, 1);
    conversation.finish(&())?;
    reader.wait_for(2)?;

    // A flood of clients that are turned away is one line each second.
    let lines = daemon.log_lines("refused");
    let began = Instant::now();
    let mut others = Vec::new();
    for _ in 0..FLOOD {
        others.push(UnixStream::connect(&socket)?);
        others.truncate(CLIENTS);
    }
    let dropped = "packet_headers_event_clients_dropped_total";
    wait::until("each is counted", || {
        let metrics = http::metrics(&lab.host, daemon.http()?)?;
        Ok((metrics.get(dropped)? >= (FLOOD / 2) as f64).then_some(()))
    })?;
    let lines = daemon.log_lines("refused") - lines;
    let seconds = began.elapsed().as_secs() as usize;
    ensure!(lines <= seconds + 2, "{lines} lines in {seconds} s");
    drop((idle, others, next));
    daemon.stop()?;
    Ok(())
}

/// Clients that connect one after another.
const FLOOD: usize = 5000;

#[test]
fn the_socket_of_another_is_not_replaced_and_that_of_a_dead_daemon_is() -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let launch = Launch::new(&lab).within(home.path());
    let refuse = |flags: &[&str], words: &[&str]| {
        let mut command = launch.command(&home.path().join("other"), flags)?;
        one_line(&refused(&lab, &mut command, 1)?, words)
    };
    let file = home.path().join("file");
    fs::write(&file, "precious")?;
    refuse(&[&listen(&file)], &["is not a socket", "file"])?;
    assert_eq!(fs::read_to_string(&file)?, "precious");
    let nowhere = home.path().join("no/tcpevents.sock");
    refuse(&[&listen(&nowhere)], &["directory must exist"])?;
    let socket = home.path().join("tcpevents.sock");
    let tcpinfo = StandIn::unix(&home.path().join("x"));
    // A command line that contradicts itself is a usage error.
    let follow = launch.clone().following(&tcpinfo);
    let flags = ["--flow-source=tcpinfo", &listen(&socket)];
    let command = &mut follow.command(&home.path().join("captures"), &flags)?;
    let refusal = refused(&lab, command, 2)?.join("\n");
    ensure!(refusal.contains("--eventsocket.listen serves"), "{refusal}");
    let live = UnixListener::bind(&socket)?;
    refuse(&[&listen(&socket)], &["another program serves"])?;
    drop(live);

    let first = launch.start(&[&listen(&socket)])?;
    refuse(&[&listen(&socket)], &["another program serves"])?;
    first.kill()?;
    assert!(socket.exists(), "a killed daemon leaves it");
    let second = launch.start(&[&listen(&socket)])?;
    EventClient::start(&lab, &socket)?;
    second.stop()?;
    assert!(!socket.exists());
    Ok(())
}
