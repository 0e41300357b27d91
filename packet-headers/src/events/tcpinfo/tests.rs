//! The client against real sockets.

mod log;

use std::path::Path;
use std::sync::LazyLock;

use packet_headers_common::{Endpoint, FlowHash};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::task::JoinHandle;

use self::log::{LOGS_STAY_ON, Log};
use super::*;
use crate::clock;
use crate::events::queues;
use model::{FlowEvent, WallNanos};

/// How long a test waits for what it was promised.
const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `seen` gives something.
async fn until<T>(what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = seen() {
            return value;
        }
        assert!(Instant::now() < end, "never seen: {what}");
        sleep(Duration::from_millis(1)).await;
    }
}

/// Waits for a future that must not take for ever.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = timeout(DEADLINE, future).await;
    outcome.unwrap_or_else(|_late| panic!("never done: {what}"))
}

/// The client under test, and the shard it delivers to.
struct Client {
    task: JoinHandle<()>,
    shard: Receiver<FlowEvent>,
    counters: Arc<Counters>,
}

impl Client {
    fn start(socket: EventSocket) -> Self {
        Self::teaching(socket, LearnedPrefix::unknown())
    }

    fn teaching(socket: EventSocket, prefix: LearnedPrefix) -> Self {
        Self::filtering(socket, prefix, watch::channel(Filters::default()).1)
    }

    fn filtering(
        socket: EventSocket,
        prefix: LearnedPrefix,
        filters: watch::Receiver<Filters>,
    ) -> Self {
        LazyLock::force(&LOGS_STAY_ON);
        let (sink, mut shards) = queues(1, FlowHash::seeded(7));
        let counters = Arc::new(Counters::default());
        let known = Known {
            prefix,
            filters,
            catch_up: None,
        };
        Self {
            task: tokio::spawn(follow(socket, sink, Arc::clone(&counters), known)),
            shard: shards.remove(0),
            counters,
        }
    }

    /// The name in the next event.
    async fn heard(&mut self) -> String {
        self.event().await.uuid().to_string()
    }

    async fn event(&mut self) -> FlowEvent {
        until("an event", || match self.shard.try_recv() {
            Ok(event) => Some(event),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => panic!("the client has ended"),
        })
        .await
    }

    fn count(&self, issue: EventIssue) -> u64 {
        self.counters.events.get(issue)
    }

    async fn counted(&self, issue: EventIssue, n: u64) {
        let what = format!("{} = {n}", issue.name());
        until(&what, || (self.count(issue) == n).then_some(())).await;
    }
}

fn unix(path: &Path) -> EventSocket {
    path.to_str().unwrap().parse().unwrap()
}

fn open_line(uuid: &str) -> String {
    format!(
        r#"{{"Event":0,"Timestamp":"2026-11-23T06:31:50.5Z","UUID":"{uuid}","ID":{{"SPort":1,"DPort":2,"SrcIP":"10.0.0.2","DstIP":"2001:db8::1","Interface":0,"Cookie":-5}}}}"#
    )
}

fn close_line(uuid: &str) -> String {
    format!(
        r#"{{"Event":1,"Timestamp":"2026-11-23T01:31:55.628390818-05:00","UUID":"{uuid}","ID":null}}"#
    )
}

/// Takes the client's connection.
async fn accept(listener: &UnixListener) -> UnixStream {
    soon("a connection", listener.accept()).await.unwrap().0
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), text: &str) {
    soon("a write", stream.write_all(text.as_bytes()))
        .await
        .unwrap();
}

/// How warnings begin that are about the connection to tcp-info. A busy host may cause others.
const WARNING: &str = " WARN packet_headers::events::tcpinfo: ";

#[tokio::test]
async fn a_socket_that_is_missing_is_said_once_and_connected_when_it_appears() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.sock");
    let (log, _guard) = Log::start();
    let mut client = Client::start(unix(&path));
    let tried = || (log.lines("still no tcp-info") >= 2).then_some(());
    until("two more attempts", tried).await;
    assert_eq!(log.lines(WARNING), 1);
    assert_eq!(log.lines("--uuid-prefix-file"), 1);
    assert_eq!(log.lines("no tcp-info at /"), 1 + log.lines("still no"));

    let listener = UnixListener::bind(&path).unwrap();
    let mut server = accept(&listener).await;
    write(&mut server, &(open_line("first") + "\n")).await;
    assert_eq!(client.heard().await, "first");
    assert_eq!(log.lines("connected to tcp-info"), 1);
    assert_eq!(log.lines(WARNING), 1);
    assert_eq!(client.count(EventIssue::Reconnects), 0);
}

#[tokio::test]
async fn a_restarted_server_is_connected_again_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.sock");
    let (log, _guard) = Log::start();
    let mut listener = UnixListener::bind(&path).unwrap();
    let mut client = Client::start(unix(&path));
    for round in 0..3 {
        let mut server = accept(&listener).await;
        write(&mut server, &(open_line("flow") + "\n")).await;
        assert_eq!(client.heard().await, "flow");
        assert_eq!(client.count(EventIssue::Reconnects), round);
        // The server is killed in the middle of a line, and leaves its socket behind.
        write(&mut server, r#"{"Event":0,"Ti"#).await;
        drop(listener);
        drop(server);
        client.counted(EventIssue::BadJson, round + 1).await;
        std::fs::remove_file(&path).unwrap();
        listener = UnixListener::bind(&path).unwrap();
    }
    let mut server = accept(&listener).await;
    write(&mut server, &(close_line("flow") + "\n")).await;
    assert_eq!(client.heard().await, "flow");
    assert_eq!(client.count(EventIssue::Reconnects), 3);
    // Not one for each, if it happens within a second.
    let (lost, connected) = (
        log.lines("lost tcp-info"),
        log.lines("connected to tcp-info"),
    );
    assert!((1..=3).contains(&lost), "{lost}");
    assert!((1..=4).contains(&connected), "{connected}");
    assert_eq!(log.lines(WARNING), lost);
}

#[tokio::test]
async fn an_endless_line_and_broken_lines_do_not_end_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let mut client = Client::start(unix(&path));
    let mut server = accept(&listener).await;
    write(&mut server, &"x".repeat(1024 * 1024)).await;
    client.counted(EventIssue::TooLong, 1).await;
    write(&mut server, "\n").await;
    for line in [
        open_line("first").as_str(),
        "broken",
        "",
        r#"{"Event":9}"#,
        &open_line("../first"),
        &open_line("second"),
        &open_line("no-id").replace("ID\":{", "Id\":{"),
        &open_line("address").replace("10.0.0.2", "10.0.0"),
        &open_line("time").replace("T06", "T66"),
        &close_line("third"),
    ] {
        write(&mut server, &format!("{line}\n")).await;
    }
    for uuid in ["first", "second", "third"] {
        assert_eq!(client.heard().await, uuid);
    }
    let refused: Vec<_> = client.counters.events.nonzero().collect();
    let expected = [
        ("too_long", 1),
        ("bad_json", 1),
        ("unknown_event", 1),
        ("nil_id", 1),
        ("bad_address", 1),
        ("bad_uuid", 1),
        ("bad_timestamp", 1),
    ];
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn events_over_tcp_carry_both_clocks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let before = clock::now();
    let clock = clock::sample();
    let mut client = Client::start(EventSocket::Tcp(address));
    let accepted = soon("a connection", listener.accept()).await;
    let mut server = accepted.unwrap().0;

    let past = clock.wall(before).0 - 30_000_000;
    let stamp = |nanos: u64| jiff::Timestamp::from_nanosecond(nanos.into()).unwrap();
    let line =
        |nanos| open_line("flow").replace("2026-11-23T06:31:50.5Z", &stamp(nanos).to_string());
    let future = past + 3_600_000_000_000;
    let text = format!("{}\n{}\n{}\n", line(past), line(future), close_line("flow"));
    write(&mut server, &text).await;

    let FlowEvent::Open(open) = client.event().await else {
        panic!("not an Open");
    };
    assert_eq!(open.opened, WallNanos(past));
    // Two samples of the clocks' distance may differ by what reading them takes.
    let distance = open.at.0.abs_diff(before.0 - 30_000_000);
    assert!(distance < 20_000_000, "{distance} ns");
    assert_eq!(open.local, Endpoint::v4([10, 0, 0, 2], 1));
    assert_eq!(open.remote, Endpoint::v6([0x2001_0db8_0000_0000, 1], 2));
    assert_eq!(open.role, None);
    assert_eq!(open.cookie, (-5i64).cast_unsigned());

    let FlowEvent::Open(open) = client.event().await else {
        panic!("not an Open");
    };
    assert_eq!(open.opened, WallNanos(future));
    assert!(before <= open.at && open.at <= clock::now());

    let FlowEvent::Close(close) = client.event().await else {
        panic!("not a Close");
    };
    assert!(before <= close.at && close.at <= clock::now());
    assert_eq!(close.key, None);
}

#[tokio::test]
async fn names_teach_the_prefix_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (log, _guard) = Log::start();
    let prefix = LearnedPrefix::unknown();
    let mut client = Client::teaching(unix(&path), prefix.clone());
    let mut server = accept(&listener).await;
    let cookie = (-5i64).cast_unsigned();
    let name = |begin: &str| format!("{begin}_{cookie:016X}");
    let mut hear = async |line: String, uuid: &str| {
        write(&mut server, &(line + "\n")).await;
        assert_eq!(client.heard().await, uuid);
        prefix.get().map(ToString::to_string)
    };

    // The cookie is absent, odd, or not the name's.
    let line = open_line(&name("none")).replace(r#","Cookie":-5"#, "");
    assert_eq!(hear(line, &name("none")).await, None);
    let line = open_line(&name("odd")).replace("-5", "true");
    assert_eq!(hear(line, &name("odd")).await, None);
    let line = open_line(&name("other")).replace("-5", "5");
    assert_eq!(hear(line, &name("other")).await, None);
    assert_eq!(log.lines("no prefix can be learned"), 1);

    let first = Some("first".to_owned());
    assert_eq!(hear(open_line(&name("first")), &name("first")).await, first);
    assert_eq!(hear(open_line(&name("first")), &name("first")).await, first);
    assert_eq!(log.lines("UUIDs begin with first"), 1);
    assert_eq!(log.lines("the kernel's events call it"), 0);
    for _ in 0..2 {
        let line = open_line(&name("second"));
        assert_eq!(hear(line, &name("second")).await, first);
    }
    assert_eq!(log.lines("the kernel's events call it"), 1);
    assert_eq!(client.counters.events.nonzero().count(), 0);
}

#[tokio::test]
async fn a_last_line_without_lf_counts_when_it_is_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = Client::start(EventSocket::Tcp(address));
    let accepted = soon("a connection", listener.accept()).await;
    let mut server = accepted.unwrap().0;
    write(&mut server, &open_line("last")).await;
    drop(server);
    assert_eq!(client.heard().await, "last");
    assert_eq!(client.count(EventIssue::BadJson), 0);
}

#[tokio::test]
async fn it_ends_when_the_shards_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let Client { task, shard, .. } = Client::start(unix(&path));
    let mut server = accept(&listener).await;
    drop(shard);
    write(&mut server, &(open_line("late") + "\n")).await;
    soon("the end", task).await.unwrap();
}

#[tokio::test]
async fn what_the_filters_leave_out_is_not_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let port = |port| Filters {
        ports: vec![port],
        ..Filters::default()
    };
    // Those of the lines have the ports 1 and 2.
    let (change, filters) = watch::channel(port(3));
    let mut client = Client::filtering(unix(&path), LearnedPrefix::unknown(), filters);
    let mut server = accept(&listener).await;
    write(
        &mut server,
        &(open_line("left-out")
            + "
"),
    )
    .await;
    client.counted(EventIssue::Refused, 1).await;
    change.send_replace(port(2));
    write(
        &mut server,
        &(open_line("wanted")
            + "
"),
    )
    .await;
    assert_eq!(client.heard().await, "wanted");
    assert_eq!(client.count(EventIssue::Refused), 1);
}
