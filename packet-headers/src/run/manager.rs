//! Tells the service manager how the daemon is, as sd_notify(3) describes: that it captures, what it
//! does, and that its threads turn.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use crate::heartbeat::{Heartbeats, WaitsFor, pulse};
use crate::stats::Counters;

/// The shortest period of a watchdog that is fed in time: at each pulse, with some to spare.
const SHORTEST: Duration = Duration::from_secs(10);

/// Who started the daemon and wants to be told, if anybody does.
#[derive(Debug)]
pub(super) struct Manager {
    /// Connected already: who listens need not be in reach from the sandbox.
    socket: Option<UnixDatagram>,
    /// Whether the manager restarts a daemon from which it hears nothing.
    watches: bool,
    /// When it was last told how the daemon is.
    told: Option<Instant>,
}

impl Manager {
    /// Finds whom to tell. To be called before the sandbox is entered.
    pub(super) fn find() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let socket = socket.and_then(|name| {
            let connected = connect(&name);
            let why = |error: &io::Error| {
                let name = name.display();
                tracing::warn!(
                    "cannot tell the service manager at {name} (NOTIFY_SOCKET) that capture begins: \
                     {error}"
                );
            };
            connected.inspect_err(why).ok()
        });
        let own =
            env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        let period = env::var("WATCHDOG_USEC")
            .ok()
            .filter(|_| own && socket.is_some());
        let period = period.and_then(|period| Some(Duration::from_micros(period.parse().ok()?)));
        if let Some(period) = period.filter(|period| *period < SHORTEST) {
            tracing::warn!(
                "the service manager's watchdog ({period:?}) is too short for a daemon that sleeps: \
                 set WatchdogSec to {SHORTEST:?} or more"
            );
        }
        Self {
            socket,
            watches: period.is_some(),
            told: None,
        }
    }

    /// Says that capture has begun.
    pub(super) fn ready(&self) {
        self.tell("READY=1");
    }

    /// Says that it ends.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=writing what is in memory");
    }

    /// Says how the daemon is, at most once in a pulse; and feeds the watchdog, unless only a restart
    /// can help.
    pub(super) fn report(&mut self, counters: &Counters, heartbeats: &Heartbeats) {
        let now = Instant::now();
        let is_due = |told: Instant| now - told >= pulse::PERIOD / 2;
        if self.socket.is_none() || !self.told.is_none_or(is_due) {
            return;
        }
        self.told = Some(now);
        let stuck = heartbeats
            .stuck()
            .find(|turn| turn.waits_for == WaitsFor::Work);
        self.tell(&match stuck {
            Some(turn) => {
                let seconds = turn.ago.as_secs();
                format!("STATUS=thread {} has not turned for {seconds} s", turn.name)
            }
            None => {
                let fed = if self.watches { "WATCHDOG=1\n" } else { "" };
                format!("{fed}STATUS={}", status(counters))
            }
        });
    }

    /// Sends a message. A manager that does not read is not waited for.
    fn tell(&self, message: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(message.as_bytes())
        {
            tracing::debug!("telling the service manager: {error}");
        }
    }
}

fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(name)?,
    }
    Ok(socket)
}

/// What the daemon does, in a line for `systemctl status`.
fn status(counters: &Counters) -> String {
    format!(
        "capturing: {} connections so far, {} files, {} packets lost",
        counters.opened.get(),
        counters.published.get(),
        counters.lost()
    )
}
