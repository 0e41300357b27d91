//! A client of the event server that shares nothing with the daemon: a Python program, written from
//! the documented format.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::world::netns::Lab;
use crate::world::process::{Process, Stream};
use crate::world::{python, wait};

/// An event as a client reads it; times are since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The UUID of the connection.
    pub uuid: String,
    /// When it happened.
    pub at: Duration,
    /// When the client read it.
    pub read: Duration,
    /// The cookie, this host's end and the other end, of an Open; a Close has none of them.
    pub open: Option<(u64, [SocketAddr; 2])>,
}

impl Event {
    /// The UUID, and whether it is an Open.
    fn key(&self) -> (&str, bool) {
        (&self.uuid, self.open.is_some())
    }
}

/// A running client.
#[derive(Debug)]
pub struct EventClient {
    process: Process,
}

impl EventClient {
    /// Connects.
    ///
    /// # Errors
    /// It cannot.
    pub fn start(lab: &Lab, socket: &Path) -> Result<Self> {
        Self::spawn(lab, socket, &[])
    }

    /// Connects and never reads.
    ///
    /// # Errors
    /// It cannot.
    pub fn idle(lab: &Lab, socket: &Path) -> Result<Self> {
        Self::spawn(lab, socket, &["idle"])
    }

    fn spawn(lab: &Lab, socket: &Path, words: &[&str]) -> Result<Self> {
        let mut command = python::program("event_client.py")?;
        command.arg(socket).args(words);
        let mut process = Process::start(&lab.host, &mut command)?;
        let connected = |line: &str| line == "connected";
        process.wait_for_line((Stream::Out, 0), "it connects", connected)?;
        Ok(Self { process })
    }

    /// Waits until it has read so many events, and returns all that it has read.
    ///
    /// # Errors
    /// It has not, or it has read something else than events.
    pub fn wait_for(&mut self, count: usize) -> Result<Vec<Event>> {
        let mut read = 0;
        let waited = wait::until(format!("{count} events are read"), || {
            let ended = self.process.ended()?;
            read = self.process.lines(Stream::Out).len() - 1;
            ensure!(ended.is_none() || read >= count, "it ended");
            Ok((read >= count).then_some(()))
        });
        waited.with_context(|| format!("{read} are: {:?}", self.process.lines(Stream::Err)))?;
        self.events()
    }

    /// Waits for the end of the stream, and returns all that it has read.
    ///
    /// # Errors
    /// The stream does not end, or it has read something else than events.
    pub fn finish(mut self) -> Result<Vec<Event>> {
        let status = self.process.wait()?;
        let said = self.process.lines(Stream::Err);
        ensure!(status.success(), "{status}: {said:?}");
        self.events()
    }

    fn events(&self) -> Result<Vec<Event>> {
        let lines = self.process.lines(Stream::Out);
        let events = lines.iter().skip(1).filter(|line| *line != "end");
        events
            .map(|line| parse(line).with_context(|| line.clone()))
            .collect()
    }
}

fn parse(line: &str) -> Result<Event> {
    let words: Vec<_> = line.split(' ').collect();
    let (uuid, at, read, open) = match words[..] {
        ["close", uuid, at, read] => (uuid, at, read, None),
        [
            "open",
            uuid,
            at,
            read,
            cookie,
            host,
            host_port,
            peer,
            peer_port,
        ] => {
            let end = |address: &str, port: &str| -> Result<SocketAddr> {
                Ok(SocketAddr::new(address.parse()?, port.parse()?))
            };
            let ends = [end(host, host_port)?, end(peer, peer_port)?];
            (uuid, at, read, Some((cookie.parse()?, ends)))
        }
        _ => anyhow::bail!("not an event"),
    };
    Ok(Event {
        uuid: uuid.to_owned(),
        at: Duration::from_nanos(at.parse()?),
        read: Duration::from_nanos(read.parse()?),
        open,
    })
}

/// Checks that each connection has one Open, and behind it at most one Close; returns the
/// connections that are open at the end.
///
/// # Errors
/// An event that is there twice, or in the wrong order.
pub fn consistent(events: &[Event]) -> Result<BTreeSet<String>> {
    let mut state = BTreeMap::new();
    for event in events {
        let before = state.insert(event.uuid.clone(), event.open.is_some());
        let expected = event.open.is_none().then_some(true);
        ensure!(before == expected, "{event:?} after {before:?}");
    }
    state.retain(|_, open| *open);
    Ok(state.into_keys().collect())
}

/// Checks that there is a moment such that `late`, which connected while `early` was reading, first
/// read what was open at that moment, and then the same events as `early`; returns how many were
/// open.
///
/// # Errors
/// There is no such moment.
pub fn joins(late: &[Event], early: &[Event]) -> Result<usize> {
    let mut open: BTreeSet<_> = BTreeSet::new();
    for at in 0..=early.len() {
        let (replay, events) = late.split_at(open.len().min(late.len()));
        let same = || {
            events
                .iter()
                .map(Event::key)
                .eq(early[at..].iter().map(Event::key))
        };
        if events.len() == early.len() - at
            && same()
            && replay
                .iter()
                .map(|it| it.uuid.as_str())
                .collect::<BTreeSet<_>>()
                == open
        {
            return Ok(replay.len());
        }
        if let Some(event) = early.get(at) {
            match event.open {
                Some(_) => open.insert(&event.uuid),
                None => open.remove(event.uuid.as_str()),
            };
        }
    }
    anyhow::bail!("{} events are not the end of {}", late.len(), early.len())
}
