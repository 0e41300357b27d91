//! The list against real sockets.

use std::fs;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use messages::endpoint;
use packet_headers_common::Endpoint;
use rustix::fs::fstat;
use rustix::net::sockopt::socket_cookie;
use rustix::process::getuid;

use super::*;
use crate::clock;
use crate::kernel::Cgroup2;

/// A connection inside this process.
struct Connection {
    listener: TcpListener,
    client: TcpStream,
    server: TcpStream,
}

impl Connection {
    /// Connects to `address` where a listener is at `bind`.
    fn new(bind: &str, address: &str) -> Self {
        let listener = TcpListener::bind((bind, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect((address, port)).unwrap();
        let server = listener.accept().unwrap().0;
        Self {
            listener,
            client,
            server,
        }
    }
}

fn cookie_of(socket: impl AsFd) -> u64 {
    socket_cookie(socket).unwrap()
}

fn end(address: SocketAddr) -> Endpoint {
    endpoint(address.ip(), address.port())
}

/// The ID of this process's cgroup, in which its sockets are made.
fn own_cgroup() -> u64 {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap();
    let mut lines = text.lines();
    let path = lines.find_map(|line| line.strip_prefix("0::/")).unwrap();
    let directory = Cgroup2::find().unwrap().path().join(path);
    fs::metadata(directory).unwrap().ino()
}

/// What the list must say of a socket.
fn expected(socket: &TcpStream) -> ExistingSocket {
    ExistingSocket {
        cookie: cookie_of(socket),
        local: end(socket.local_addr().unwrap()),
        remote: end(socket.peer_addr().unwrap()),
        inode: fstat(socket).unwrap().st_ino.try_into().unwrap(),
        uid: getuid().as_raw(),
        cgroup: Some(own_cgroup()),
    }
}

fn is_listed(socket: &ExistingSocket) -> bool {
    connected().unwrap().contains(socket)
}

/// Waits until the kernel has done something.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "never seen: {what}");
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn both_ends_of_a_connection_are_listed_and_its_listener_is_not() {
    for (bind, address) in [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("::", "127.0.0.1"),
    ] {
        let connection = Connection::new(bind, address);
        let listed = connected().unwrap();
        for socket in [&connection.client, &connection.server] {
            let socket = expected(socket);
            assert!(listed.contains(&socket), "{address} to {bind}: {socket:?}");
        }
        let listener = cookie_of(&connection.listener);
        assert!(listed.iter().all(|socket| socket.cookie != listener));
    }
}

#[test]
fn an_ipv4_client_of_an_ipv6_listener_is_plain_ipv4() {
    let Connection { client, server, .. } = Connection::new("::", "127.0.0.1");
    let loopback = |port| Endpoint::v4([127, 0, 0, 1], port);
    let listed = connected().unwrap();
    let accepted = listed.iter().find(|it| it.cookie == cookie_of(&server));
    let accepted = accepted.unwrap();
    assert_eq!(accepted.local, loopback(client.peer_addr().unwrap().port()));
    assert_eq!(
        accepted.remote,
        loopback(client.local_addr().unwrap().port())
    );
}

#[test]
fn a_connection_is_listed_until_both_sides_are_closed() {
    let Connection { client, server, .. } = Connection::new("127.0.0.1", "127.0.0.1");
    let ends = [expected(&client), expected(&server)];
    client.shutdown(Shutdown::Write).unwrap();
    // FIN_WAIT2 and CLOSE_WAIT.
    let server_knows = || matches!(server.peek(&mut [0]), Ok(0));
    until("the client's FIN", server_knows);
    assert!(ends.iter().all(is_listed));
    server.shutdown(Shutdown::Write).unwrap();
    // TIME_WAIT and CLOSED.
    until("the end", || !ends.iter().any(is_listed));
}

#[test]
fn cookies_are_those_that_ss_shows() {
    let Connection { client, server, .. } = Connection::new("127.0.0.1", "127.0.0.1");
    for socket in [&client, &server] {
        // Others may have the same port to somewhere else.
        let port = socket.local_addr().unwrap().port();
        let other = socket.peer_addr().unwrap().port();
        let mut ss = Command::new("ss");
        ss.args(["-tneH", "state", "connected"]);
        ss.args(["sport", "=", &format!(":{port}")]);
        ss.args(["dport", "=", &format!(":{other}")]);
        let output = ss.output().expect("ss, of iproute2, is needed here");
        let text = String::from_utf8(output.stdout).unwrap();
        let mut shown: Vec<_> = text
            .split_whitespace()
            .filter_map(|word| word.strip_prefix("sk:"))
            .map(|hex| u64::from_str_radix(hex, 16).unwrap())
            .collect();
        shown.sort_unstable();
        let listed = connected().unwrap();
        let listed: Vec<_> = listed
            .iter()
            .filter(|socket| (socket.local.port(), socket.remote.port()) == (port, other))
            .map(|socket| socket.cookie)
            .collect();
        assert_eq!(listed, shown, "{text}");
        assert!(shown.contains(&cookie_of(socket)), "{text}");
    }
}

#[test]
fn a_list_of_several_parts_is_whole() {
    // Some 270 sockets fit into one part of 32 KiB.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections: Vec<_> = (0..300)
        .map(|_| {
            let client = TcpStream::connect(address).unwrap();
            (client, listener.accept().unwrap().0)
        })
        .collect();
    let listed = connected().unwrap();
    for (client, server) in &connections {
        assert!(listed.contains(&expected(client)));
        assert!(listed.contains(&expected(server)));
    }
    let cookies = || listed.iter().map(|socket| socket.cookie);
    assert!(cookies().is_sorted_by(|one, next| one < next));
}

#[test]
fn an_open_has_the_name_of_its_socket_and_the_time_of_the_list() {
    let prefix = UuidPrefix::new("host_1").unwrap();
    let clock = clock::sample();
    let (local, remote) = (Endpoint::v4([10, 0, 0, 1], 443), Endpoint::v6([1, 2], 5));
    let sockets = [1, u64::MAX].map(|cookie| ExistingSocket {
        cookie,
        local,
        remote,
        inode: 0,
        uid: 0,
        cgroup: None,
    });
    let before = clock::now();
    let events: Vec<_> = opens(sockets, &prefix, &clock, |_| None).collect();
    let at = events[0].at();
    assert!(before <= at && at <= clock::now());
    let expected = sockets.map(|socket| {
        FlowEvent::Open(Open {
            at,
            opened: clock.wall(at),
            uuid: prefix.uuid(socket.cookie),
            local,
            remote,
            role: None,
            cookie: socket.cookie,
            owner: None,
        })
    });
    assert_eq!(events, expected);
}

#[test]
fn who_listens_is_listed_by_itself() {
    let connection = Connection::new("127.0.0.1", "127.0.0.1");
    let port = connection.listener.local_addr().unwrap().port();
    let listed = listening().unwrap();
    let at_port: Vec<_> = listed
        .iter()
        .filter(|socket| socket.local.port() == port)
        .collect();
    let inode = fstat(&connection.listener).unwrap().st_ino;
    let found: Vec<_> = at_port
        .iter()
        .map(|socket| u64::from(socket.inode))
        .collect();
    assert_eq!(found, [inode]);
    assert_eq!(at_port[0].cgroup, Some(own_cgroup()));
}
