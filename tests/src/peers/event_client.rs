//! A client of the event server that shares nothing with the daemon: Python, from the documented
//! format alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::peers::scapy::python;
use crate::world::netns::Lab;
use crate::world::process::{Process, Stream};
use crate::world::wait;

/// The program.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/event_client.py");
/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(20);

/// An event as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The name of the connection.
    pub uuid: String,
    /// When it happened, in nanoseconds since 1970.
    pub at: u64,
    /// When it was read.
    pub read: u64,
    /// Cookie, this host's end and the other one of an Open; a Close has none.
    pub open: Option<(u64, [SocketAddr; 2])>,
}

impl Told {
    /// The name, and whether it is an Open.
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
        let mut command = Command::new(python()?);
        command.arg(PROGRAM).arg(socket).args(words);
        let mut process = Process::start(&lab.host, &mut command)?;
        let connected = |line: &str| line == "connected";
        process.wait_for_line((Stream::Out, 0), "it connects", LIMIT, connected)?;
        Ok(Self { process })
    }

    /// Waits until it has read so many events.
    ///
    /// # Errors
    /// It has not, or something that was no event.
    pub fn wait_for(&mut self, count: usize) -> Result<Vec<Told>> {
        let mut read = 0;
        let waited = wait::until(format!("{count} events are read"), LIMIT, || {
            let ended = self.process.ended()?;
            read = self.process.lines(Stream::Out).len() - 1;
            ensure!(ended.is_none() || read >= count, "it ended");
            Ok((read >= count).then_some(()))
        });
        waited.with_context(|| format!("{read} are: {:?}", self.process.lines(Stream::Err)))?;
        self.told()
    }

    /// What it has read up to the end of the stream, which must be near.
    ///
    /// # Errors
    /// The stream does not end, or had something that was no event.
    pub fn finish(mut self) -> Result<Vec<Told>> {
        let status = self.process.wait(LIMIT)?;
        let said = self.process.lines(Stream::Err);
        ensure!(status.success(), "{status}: {said:?}");
        self.told()
    }

    fn told(&self) -> Result<Vec<Told>> {
        let lines = self.process.lines(Stream::Out);
        let events = lines.iter().skip(1).filter(|line| *line != "end");
        events
            .map(|line| parse(line).with_context(|| line.clone()))
            .collect()
    }
}

fn parse(line: &str) -> Result<Told> {
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
        _ => anyhow::bail!("no event"),
    };
    Ok(Told {
        uuid: uuid.to_owned(),
        at: at.parse()?,
        read: read.parse()?,
        open,
    })
}

/// Checks that each connection has one Open, and one Close at most, after it; those that are open at
/// the end.
///
/// # Errors
/// What is twice, or in the wrong order.
pub fn consistent(told: &[Told]) -> Result<BTreeSet<String>> {
    let mut state = BTreeMap::new();
    for event in told {
        let before = state.insert(event.uuid.clone(), event.open.is_some());
        let expected = event.open.is_none().then_some(true);
        ensure!(before == expected, "{event:?} after {before:?}");
    }
    state.retain(|_, open| *open);
    Ok(state.into_keys().collect())
}

/// Checks that `late`, who connected while `early` was reading, read what was open at some moment and
/// from there on what `early` read; how many were open at that moment.
///
/// # Errors
/// There is no such moment.
pub fn joins(late: &[Told], early: &[Told]) -> Result<usize> {
    let mut open: BTreeSet<_> = BTreeSet::new();
    for at in 0..=early.len() {
        let (replay, events) = late.split_at(open.len().min(late.len()));
        let same = || {
            events
                .iter()
                .map(Told::key)
                .eq(early[at..].iter().map(Told::key))
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
    anyhow::bail!("{} events are no end of {}", late.len(), early.len())
}
