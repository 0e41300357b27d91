//! Promise: `--eventsocket.listen` serves the kernel's flow events to every client of tcp-info's socket:
//! what is open when it connects, and then each event once. Nobody waits for a client.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::peers::event_client::{EventClient, Told, consistent, joins};
use end_to_end::peers::http::{self, Metrics};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::refusal::{one_line, refused};
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::traffic::burst;
use end_to_end::traffic::short_connections;
use end_to_end::traffic::{self, Connection, Conversation, Plan};
use end_to_end::world::netns::Lab;
use end_to_end::world::ss;
use tempfile::TempDir;

const KERNEL: &str = "--flow-source=kernel";
/// Short connections of the test that compares everything.
const SHORT: usize = 1000;
/// As many of them are made between one late client and the next.
const STEP: usize = 200;
/// Connections that make more events than a client may be behind, and than its socket holds.
const MANY: usize = 18_000;
/// Clients that are served at once.
const CLIENTS: usize = 32;
/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(20);
/// Within this time half of all events are with the client: tcp-info itself looks every 10 ms.
const PROMPT: Duration = Duration::from_millis(50);

fn listen(socket: &Path) -> String {
    format!("--eventsocket.listen={}", socket.display())
}

/// Opens a connection of every kind, and lets each say something.
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

/// The Opens by name: cookie, and both ends.
fn opens(told: &[Told]) -> BTreeMap<String, (u64, [SocketAddr; 2])> {
    let opens = told
        .iter()
        .filter_map(|it| Some((it.uuid.clone(), it.open?)));
    opens.collect()
}

/// Checks that what was told are these connections, and that all are closed.
fn complete(told: &[Told], connections: &[Connection]) -> Result<()> {
    let open = consistent(told)?;
    ensure!(open.is_empty(), "not closed: {open:?}");
    let made = connections.iter();
    let made = made.map(|it| (kernel_uuid(it), (it.cookie, [it.host, it.peer])));
    let made: BTreeMap<_, _> = made.collect();
    ensure!(
        opens(told) == made,
        "told: {:?}\nmade: {made:?}",
        opens(told)
    );
    Ok(())
}

/// How long after they happened events were read: the median, and the 99th percentile.
fn delays(told: &[Told]) -> Result<[Duration; 2]> {
    let mut delays: Vec<_> = told
        .iter()
        .map(|it| it.read.saturating_sub(it.at))
        .collect();
    delays.sort_unstable();
    let part = |hundredths: usize| delays.get(delays.len() * hundredths / 100);
    let both = part(50).zip(part(99)).context("no event")?;
    Ok([*both.0, *both.1].map(Duration::from_nanos))
}

/// What the kernel says of the host's open connections, as a replay should have them.
fn open_now(lab: &Lab) -> Result<BTreeSet<(u64, [SocketAddr; 2])>> {
    let sockets = ss::established(&lab.host)?.into_iter();
    Ok(sockets.map(|(ends, cookie)| (cookie, ends)).collect())
}

/// One client is there from the start, and one more after each so many connections: while they come
/// and go.
fn connect_clients(lab: &Lab, socket: &Path) -> Result<(Vec<EventClient>, Vec<Connection>)> {
    let (mut clients, mut made) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        let traffic = scope.spawn(|| short_connections::run(lab, SHORT, &()));
        while !traffic.is_finished() {
            clients.push(EventClient::start(lab, socket)?);
            std::thread::sleep(Duration::from_millis(2 * STEP as u64));
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
    let tcpdump = Tcpdump::start(&lab.host, 0)?;
    let daemon = Daemon::start(&lab, &[KERNEL, &listen(&socket)])?;
    let file = fs::symlink_metadata(&socket)?;
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o7777, 0o660);
    let mut early = EventClient::start(&lab, &socket)?;
    // Our own client is another one: it learns all names here.
    let follower = format!("--tcpinfo.eventsocket={}", socket.display());
    let follow = ["--flow-source=tcpinfo", "--existing=false", &follower];
    let follower = Launch::new(&lab).without_prefix().start(&follow)?;

    let lasting = open(&lab, 12)?;
    early.wait_for(18)?;
    let mut late = EventClient::start(&lab, &socket)?;
    let replay = late.wait_for(18)?;
    let open = opens(&replay).into_values().collect::<BTreeSet<_>>();
    assert_eq!(open, open_now(&lab)?);
    let (mut clients, mut connections) = connect_clients(&lab, &socket)?;
    clients.push(late);
    connections.extend(finish(lasting)?);
    connections.extend(finish(older)?);

    // Those that are older have no Close of the kernel: they are missed a little later.
    early.wait_for(2 * connections.len())?;
    let stopped = compare(daemon, follower, tcpdump, &connections)?;
    assert_eq!(stopped.summary.get("events", "not_served"), 0);
    assert!(!socket.exists(), "it is removed");
    let early = early.finish()?;
    complete(&early, &connections)?;
    for client in clients {
        let told = client.finish()?;
        consistent(&told)?;
        let replayed = joins(&told, &early)?;
        println!("one read {} events, {replayed} of them as open", told.len());
    }
    let short: Vec<_> = early[18..18 + 2 * SHORT].to_vec();
    let [median, most] = delays(&short)?;
    println!("events are read after {median:?}, 99 of 100 within {most:?}");
    assert!(median < PROMPT);
    Ok(())
}

/// Checks that both daemons have the same files under the same names, those of tcpdump's packets.
fn compare(
    mut daemon: Daemon,
    mut follower: Daemon,
    tcpdump: Tcpdump,
    connections: &[Connection],
) -> Result<end_to_end::peers::daemon::Stopped> {
    for daemon in [&mut daemon, &mut follower] {
        daemon.wait_for_files(connections.len())?;
    }
    let followed = follower.stop()?;
    let stopped = daemon.stop()?;
    let oracle = tcpdump.stop()?;
    for stopped in [&followed, &stopped] {
        oracle
            .judge(&stopped.captures, connections, kernel_uuid)
            .with_context(|| stopped.transcript.clone())?;
        stopped.summary.in_balance()?;
    }
    Ok(stopped)
}

#[test]
fn a_client_that_does_not_read_is_dropped_and_harms_nobody() -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let socket = home.path().join("tcpevents.sock");
    let mut daemon = Daemon::start(&lab, &[KERNEL, &listen(&socket)])?;
    let mut reader = EventClient::start(&lab, &socket)?;
    let _idle = EventClient::idle(&lab, &socket)?;
    let connections = burst::run(&lab, MANY)?;
    reader.wait_for(2 * MANY)?;
    daemon.wait_for_log(1, "too far behind")?;
    let _idle = EventClient::idle(&lab, &socket)?;
    daemon.wait_for_summary("no packet is held", |s| s.get("packets", "held") == 0)?;
    let stopped = daemon.stop()?;
    complete(&reader.finish()?, &connections)?;
    let summary = &stopped.summary;
    summary.in_balance()?;
    assert_eq!(summary.get("events", "clients_dropped"), 1, "{summary:?}");
    assert_eq!(summary.get("events", "not_served"), 0, "{summary:?}");
    assert_eq!(summary.get("connections", "opened"), MANY as u64);
    assert_eq!(summary.get("files", "published"), MANY as u64);
    let mut discarded = summary.line("discarded");
    discarded.retain(|reason, _| !["not_ip", "not_tcp"].contains(&reason.as_str()));
    assert!(discarded.is_empty(), "{summary:?}");
    Ok(())
}

#[test]
fn more_clients_than_there_may_be_are_turned_away_at_once() -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let socket = home.path().join("tcpevents.sock");
    let daemon = Daemon::start(&lab, &[KERNEL, &listen(&socket)])?;
    let more = 8;
    let connect = |_| {
        let client = UnixStream::connect(&socket)?;
        client.set_read_timeout(Some(LIMIT))?;
        Ok(client)
    };
    let clients: Vec<_> = (0..CLIENTS + more).map(connect).collect::<Result<_>>()?;
    // Something to read for those that are served.
    let conversation = traffic::open(&lab, &Plan::SHORT, &())?;
    let mut turned_away = Vec::new();
    for (number, mut client) in clients.iter().enumerate() {
        if client.read(&mut [0; 16])? == 0 {
            turned_away.push(number);
        }
    }
    assert_eq!(turned_away, Vec::from_iter(CLIENTS..CLIENTS + more));
    conversation.finish(&())?;
    let metrics = Metrics::parse(&http::get(&lab.host, daemon.http()?, "/metrics")?.good()?)?;
    let served = metrics.get("packet_headers_event_clients")?;
    let dropped = metrics.get("packet_headers_event_clients_dropped_total")?;
    assert_eq!([served, dropped], [CLIENTS, more].map(|count| count as f64));
    let summary = daemon.stop()?.summary;
    assert_eq!(summary.get("events", "clients_dropped"), more as u64);
    summary.in_balance()
}

#[test]
fn the_place_of_another_is_not_taken_and_that_of_a_dead_one_is() -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let launch = Launch::new(&lab).within(home.path());
    let refuse = |arguments: &[&str], words: &[&str]| {
        let mut command = launch.command(&home.path().join("other"), arguments)?;
        one_line(&refused(&lab, &mut command, 1)?, words)
    };
    let file = home.path().join("file");
    fs::write(&file, "precious")?;
    refuse(&[KERNEL, &listen(&file)], &["is no socket", "file"])?;
    assert_eq!(fs::read_to_string(&file)?, "precious");
    let nowhere = home.path().join("no/tcpevents.sock");
    refuse(&[KERNEL, &listen(&nowhere)], &["directory must exist"])?;
    let socket = home.path().join("tcpevents.sock");
    let tcpinfo = format!("--tcpinfo.eventsocket={}", home.path().join("x").display());
    // The command line contradicts itself: that is said with the usage.
    let none = [&tcpinfo, "--flow-source=tcpinfo", &listen(&socket)];
    let command = &mut launch.command(&home.path().join("captures"), &none)?;
    let said = refused(&lab, command, 2)?.join("\n");
    ensure!(said.contains("--eventsocket.listen serves"), "{said}");
    let live = UnixListener::bind(&socket)?;
    refuse(&[KERNEL, &listen(&socket)], &["another program serves"])?;
    drop(live);

    let first = launch.start(&[KERNEL, &listen(&socket)])?;
    refuse(&[KERNEL, &listen(&socket)], &["another program serves"])?;
    first.kill()?;
    assert!(socket.exists(), "a killed daemon leaves it");
    let second = launch.start(&[KERNEL, &listen(&socket)])?;
    EventClient::start(&lab, &socket)?;
    second.stop()?.summary.in_balance()?;
    assert!(!socket.exists());
    Ok(())
}
