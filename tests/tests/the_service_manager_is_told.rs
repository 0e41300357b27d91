//! Promise: a service manager that asks (sd_notify) is told when capture begins and ends, what the daemon
//! does, and that its threads turn, for as long as they do; also from within the sandbox.

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::launch::Launch;
use end_to_end::traffic::{self, Plan};
use end_to_end::world::netns::Lab;
use end_to_end::world::stopped_thread::StoppedThread;
use end_to_end::world::wait;
use tempfile::TempDir;

/// A service manager's watchdog, in microseconds.
const WATCHDOG: &str = "WATCHDOG_USEC=30000000";

/// A service manager's end.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn new(socket: UnixDatagram) -> Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            heard: Vec::new(),
        })
    }

    /// Waits until a message is accepted that came after the first `from`; returns it.
    fn hear(&mut self, what: &str, from: usize, accept: impl Fn(&str) -> bool) -> Result<String> {
        let heard = wait::until(what, || {
            let mut message = [0; 4096];
            match self.socket.recv(&mut message) {
                Ok(length) => {
                    let text = message.get(..length).unwrap_or_default();
                    self.heard.push(String::from_utf8_lossy(text).into_owned());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            let found = self.heard.iter().skip(from).find(|message| accept(message));
            Ok(found.cloned())
        });
        heard.with_context(|| format!("{:#?}", self.heard))
    }
}

/// Whether a message has a line.
fn says(message: &str, line: &str) -> bool {
    message.lines().any(|own| own == line)
}

/// Captures a connection under a manager that is reached by this name, and checks what it is told.
fn told(lab: &Lab, socket: UnixDatagram, name: &str) -> Result<()> {
    let mut manager = Manager::new(socket)?;
    let notify = format!("NOTIFY_SOCKET={name}");
    let wrapper = ["env", &notify, WATCHDOG];
    let daemon = Launch::new(lab).by(&wrapper).start(&[])?;
    manager.hear("it captures", 0, |message| says(message, "READY=1"))?;
    ensure!(manager.heard.len() == 1, "first: {:?}", manager.heard);
    traffic::run(lab, &[Plan::SHORT], &())?;
    // From within the sandbox, and again.
    for _ in 0..2 {
        let from = manager.heard.len();
        manager.hear("it is well", from, |message| {
            says(message, "WATCHDOG=1")
                && message.contains("STATUS=capturing: 1 connections so far, ")
        })?;
    }
    daemon.stop()?;
    manager.hear("it ends", 0, |message| says(message, "STOPPING=1"))?;
    Ok(())
}

#[test]
fn that_it_captures_what_it_does_and_that_it_ends() -> Result<()> {
    let (lab, home) = (Lab::beside_others()?, TempDir::new()?);
    let path = home.path().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    told(&lab, socket, &path.to_string_lossy())
}

#[test]
fn by_an_abstract_name_too() -> Result<()> {
    let lab = Lab::beside_others()?;
    // Such names belong to a network namespace.
    let address = SocketAddr::from_abstract_name(b"packet-headers-test")?;
    let socket = lab.host.run(|| Ok(UnixDatagram::bind_addr(&address)?))?;
    told(&lab, socket, "@packet-headers-test")
}

#[test]
fn a_thread_that_does_not_turn_is_named_and_the_watchdog_is_not_fed() -> Result<()> {
    let (lab, home) = (Lab::beside_others()?, TempDir::new()?);
    let path = home.path().join("notify");
    let mut manager = Manager::new(UnixDatagram::bind(&path)?)?;
    let notify = format!("NOTIFY_SOCKET={}", path.display());
    let wrapper = ["env", &notify, WATCHDOG];
    let daemon = Launch::new(&lab).by(&wrapper).start(&[])?;
    let stopped = StoppedThread::stop(daemon.id(), "shard-0")?;
    let stuck = |message: &str| message.contains("STATUS=thread shard-0 has not turned for ");
    let message = manager.hear("the thread is named", 0, stuck)?;
    ensure!(!says(&message, "WATCHDOG=1"), "{message}");
    drop(stopped);
    let from = manager.heard.len();
    manager.hear("it is well again", from, |message| {
        says(message, "WATCHDOG=1")
    })?;
    daemon.stop()?;
    Ok(())
}

#[test]
fn who_asks_for_a_watchdog_that_is_too_short_is_told() -> Result<()> {
    let (lab, home) = (Lab::beside_others()?, TempDir::new()?);
    let path = home.path().join("notify");
    let _manager = UnixDatagram::bind(&path)?;
    let notify = format!("NOTIFY_SOCKET={}", path.display());
    let short = format!("WATCHDOG_USEC={}", Duration::from_secs(2).as_micros());
    let wrapper = ["env", &notify, &short];
    let mut daemon = Launch::new(&lab).by(&wrapper).start(&[])?;
    daemon.wait_for_log(1, "set WatchdogSec to 10s or more")?;
    daemon.stop()?;
    Ok(())
}
