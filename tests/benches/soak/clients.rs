//! Clients of the daemon that come and go: of HTTP, and of its event server. Some never read.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::Scope;
use std::time::{Duration, Instant};

use anyhow::Result;
use end_to_end::peers::http;

use crate::stage::Stage;

/// The time between two turns.
const PERIOD: Duration = Duration::from_millis(100);

/// How many clients of each kind there are at most.
const MOST: usize = 8;

/// How long a client stays, in milliseconds.
const STAY: std::ops::Range<u64> = 500..20_000;

/// Of so many turns, one brings a client of each kind.
const COMES: u32 = 10;

/// What is asked for, in turn.
const PATHS: [&str; 3] = ["/healthz", "/readyz", "/flows?limit=10"];

/// Starts all of them, until the gate ends it.
pub(crate) fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    stage: &'scope Stage,
    (http, events): (SocketAddr, &'scope Path),
) {
    scope.spawn(move || ask(stage, http));
    scope.spawn(move || {
        if let Err(error) = come_and_go(stage, http, events) {
            eprintln!("the clients ended: {error:#}");
        }
    });
}

/// Asks the daemon for something each second.
fn ask(stage: &Stage, at: SocketAddr) {
    for path in PATHS.iter().cycle() {
        if !stage.gate.pass_after(Duration::from_secs(1)) {
            return;
        }
        match http::get(&stage.lab.host, at, path) {
            Ok(_) => stage.tally.answers.add(1),
            Err(error) => {
                eprintln!("{path}: {error:#}");
                stage.tally.unanswered.add(1);
            }
        }
    }
}

/// A client that is connected until its time is over.
struct Client<S> {
    socket: S,
    until: Instant,
    reads: bool,
}

fn come_and_go(stage: &Stage, http: SocketAddr, events: &Path) -> Result<()> {
    let mut random = stage.random(8);
    stage.lab.host.run(|| {
        let mut idle: Vec<Client<TcpStream>> = Vec::new();
        let mut listening: Vec<Client<UnixStream>> = Vec::new();
        while stage.gate.pass_after(PERIOD) {
            let until = Instant::now() + Duration::from_millis(random.u64(STAY));
            if idle.len() < MOST && random.u32(0..COMES) == 0 {
                idle.push(stall(http, until, random.bool())?);
                stage.tally.idle_http.add(1);
            }
            if listening.len() < MOST && random.u32(0..COMES) == 0 {
                listening.extend(listen(stage, events, until, random.bool()));
            }
            for client in listening.iter_mut().filter(|client| client.reads) {
                stage.tally.event_lines.add(read(&mut client.socket));
            }
            let now = Instant::now();
            idle.retain(|client| client.until > now);
            listening.retain(|client| client.until > now);
        }
        Ok(())
    })
}

/// An HTTP client that connects, perhaps begins a request, and then does nothing.
fn stall(at: SocketAddr, until: Instant, begins: bool) -> Result<Client<TcpStream>> {
    let mut socket = TcpStream::connect(at)?;
    if begins {
        socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: ")?;
    }
    Ok(Client {
        socket,
        until,
        reads: false,
    })
}

fn listen(stage: &Stage, at: &Path, until: Instant, reads: bool) -> Option<Client<UnixStream>> {
    let connect = || {
        let socket = UnixStream::connect(at)?;
        socket.set_nonblocking(true)?;
        std::io::Result::Ok(socket)
    };
    let Ok(socket) = connect() else {
        stage.tally.refused_clients.add(1);
        return None;
    };
    let tally = if reads {
        &stage.tally.event_clients
    } else {
        &stage.tally.idle_event_clients
    };
    tally.add(1);
    Some(Client {
        socket,
        until,
        reads,
    })
}

/// Reads what is there; how many lines that was.
fn read(socket: &mut UnixStream) -> u64 {
    let (mut lines, mut buffer) = (0, vec![0; 64 << 10]);
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return lines,
            Ok(count) => {
                let read = buffer.iter().take(count);
                lines += read.filter(|&&byte| byte == b'\n').count() as u64;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return lines,
            Err(_) => return lines,
        }
    }
}
