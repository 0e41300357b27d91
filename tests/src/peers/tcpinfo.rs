//! A stand-in for tcp-info's event socket: its documented lines, and its failures.

use std::collections::VecDeque;
use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::traffic::{Connection, Observer};
use crate::world::netns::Namespace;
use crate::world::wait;

/// The delay of each line: tcp-info polls every 10 ms.
const DELAY: Duration = Duration::from_millis(30);
/// The time between two looks for clients and lines.
const PERIOD: Duration = Duration::from_millis(1);

/// The UUID that the stand-in gives a connection: in tcp-info's form, with another prefix than the
/// daemon's own.
#[must_use]
pub fn uuid(connection: &Connection) -> String {
    format!("vm_1795414125_unsafe_{:016X}", connection.cookie)
}

/// Where the stand-in listens.
#[derive(Debug, Clone)]
enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// What the server's thread shares with the test.
#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<VecDeque<(Instant, Vec<u8>)>>,
    accepted: AtomicUsize,
    stop: AtomicBool,
}

/// A tcp-info that announces what a test tells it.
#[derive(Debug)]
pub struct StandIn {
    address: Address,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
}

impl StandIn {
    /// A stand-in for a unix socket at `path`; it does not listen yet.
    #[must_use]
    pub fn unix(path: &Path) -> Self {
        Self::new(Address::Unix(path.to_owned()))
    }

    /// A stand-in for a TCP port on the loopback address of `namespace`; it listens.
    ///
    /// # Errors
    /// It cannot listen.
    pub fn tcp(namespace: &Namespace) -> Result<Self> {
        let local = (IpAddr::from(Ipv4Addr::LOCALHOST), 0);
        let listener = namespace.run(|| Ok(TcpListener::bind(local)?))?;
        let mut stand_in = Self::new(Address::Tcp(listener.local_addr()?));
        listener.set_nonblocking(true)?;
        stand_in.serve(move || listener.accept().map(|(client, _)| client));
        Ok(stand_in)
    }

    fn new(address: Address) -> Self {
        Self {
            address,
            shared: Arc::default(),
            server: None,
        }
    }

    /// The daemon's flag that makes it follow this tcp-info.
    #[must_use]
    pub fn flag(&self) -> String {
        match &self.address {
            Address::Unix(path) => format!("--tcpinfo.eventsocket={}", path.display()),
            Address::Tcp(at) => format!("--tcpinfo.eventsocket=tcp://{at}"),
        }
    }

    /// Listens at the unix socket's path.
    ///
    /// # Errors
    /// It cannot listen, or has no unix socket.
    pub fn listen(&mut self) -> Result<()> {
        let Address::Unix(path) = &self.address else {
            anyhow::bail!("a TCP stand-in listens already");
        };
        let listener = UnixListener::bind(path).with_context(|| format!("binding {path:?}"))?;
        listener.set_nonblocking(true)?;
        self.serve(move || listener.accept().map(|(client, _)| client));
        Ok(())
    }

    /// Goes away like a tcp-info that ends: every client loses its connection.
    ///
    /// # Errors
    /// The socket's file cannot be removed.
    pub fn close(&mut self) -> Result<()> {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            server.join().expect("the server does not panic");
        }
        self.shared.stop.store(false, Ordering::Relaxed);
        if let Address::Unix(path) = &self.address {
            fs::remove_file(path).with_context(|| format!("removing {path:?}"))?;
        }
        Ok(())
    }

    /// How many times a client has connected.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Waits until a client has connected for the `count`th time.
    ///
    /// # Errors
    /// It has not.
    pub fn wait_for_client(&self, count: usize) -> Result<()> {
        wait::until(format!("client {count} connects"), || {
            Ok((self.accepted() >= count).then_some(()))
        })
    }

    /// Sends a line to every client that is connected when its turn comes, after the lines before
    /// it.
    pub fn send(&self, line: impl Into<Vec<u8>>) {
        self.queue(line.into());
    }

    /// Sends an Open.
    pub fn send_open(&self, uuid: &str, id: &Value) {
        let now = Timestamp::now().to_string();
        let open = json!({"Event": 0, "Timestamp": now, "UUID": uuid, "ID": id});
        self.send(open.to_string());
    }

    /// Waits until every line has been sent.
    ///
    /// # Errors
    /// They have not, because a client does not read.
    pub fn wait_until_sent(&self) -> Result<()> {
        wait::until("the stand-in's lines are sent", || {
            Ok(self.lines().is_empty().then_some(()))
        })
    }

    fn queue(&self, mut line: Vec<u8>) {
        line.push(b'\n');
        self.lines().push_back((Instant::now() + DELAY, line));
    }

    fn lines(&self) -> MutexGuard<'_, VecDeque<(Instant, Vec<u8>)>> {
        let lines = &self.shared.lines;
        lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve<C: Write>(&mut self, accept: impl Fn() -> std::io::Result<C> + Send + 'static) {
        let shared = Arc::clone(&self.shared);
        self.server = Some(thread::spawn(move || shared.serve(accept)));
    }
}

impl Shared {
    fn serve<C: Write>(&self, accept: impl Fn() -> std::io::Result<C>) {
        let mut clients: Vec<C> = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            match accept() {
                Ok(client) => {
                    clients.push(client);
                    self.accepted.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PERIOD),
                Err(error) => panic!("the stand-in's socket: {error}"),
            }
            for line in self.due() {
                // Forget clients that are gone.
                clients.retain_mut(|client| client.write_all(&line).is_ok());
            }
        }
    }

    /// Takes the lines whose time has come.
    fn due(&self) -> Vec<Vec<u8>> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let count = lines.partition_point(|(due, _)| *due <= now);
        lines.drain(..count).map(|(_, line)| line).collect()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Observer for StandIn {
    fn opened(&self, connection: &Connection) {
        let (host, peer) = (connection.host, connection.peer);
        self.send_open(
            &uuid(connection),
            &json!({
                "SPort": host.port(),
                "DPort": peer.port(),
                "SrcIP": host.ip(),
                "DstIP": peer.ip(),
                "Interface": 0,
                // tcp-info writes the kernel's unsigned number as a signed one.
                "Cookie": connection.cookie.cast_signed(),
            }),
        );
    }

    fn closed(&self, connection: &Connection) {
        // tcp-info writes the time of a Close in local time.
        let local = Timestamp::now().to_string().replace('Z', "+00:00");
        let close =
            json!({"Event": 1, "Timestamp": local, "UUID": uuid(connection), "ID": Value::Null});
        self.send(close.to_string());
    }
}
