//! The connections whose files are checked: each is whole, or something that the daemon has counted
//! explains what is missing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::tcpinfo;
use end_to_end::traffic::Connection;
use end_to_end::verify::pcap::{self, Packet};
use end_to_end::world::wait;
use jiff::Timestamp;
use serde::Serialize;

use crate::gate::Gate;

/// The time between two looks for files.
const PERIOD: Duration = Duration::from_millis(250);

/// How long after its close a connection may have no file, or one that lacks something: longer than
/// the daemon keeps a closed connection open, and than the disk is ever full.
const PATIENCE: Duration = Duration::from_secs(30);

/// The losses are read this often, so that one may be known this much later.
const LOSSES_LATE: Duration = Duration::from_secs(3);

/// How many explanations are kept.
const KEPT: usize = 50;

/// A connection that has begun, and whose file will be checked.
#[derive(Debug)]
pub(crate) struct Entry {
    /// What the daemon had counted as lost before.
    losses: u64,
    day: String,
}

/// A connection that has ended, and whose file is to be checked.
#[derive(Debug)]
struct Closed {
    entry: Entry,
    connection: Connection,
    /// How many bytes each end has sent.
    bytes: u64,
    at: Instant,
}

/// What became of the connections whose files were checked.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Outcomes {
    /// They have their file, with all that they sent.
    pub(crate) whole: u64,
    /// They have not, while the daemon counted losses.
    pub(crate) explained: u64,
    /// They have not, and nothing explains it.
    pub(crate) unexplained: u64,
    /// What was found of some of those that are not whole.
    pub(crate) found: Vec<String>,
}

/// Chooses connections, and checks their files.
#[derive(Debug)]
pub(crate) struct Ledger {
    every: u64,
    begun: AtomicU64,
    losses: AtomicU64,
    closed: Mutex<Vec<Closed>>,
    outcomes: Mutex<Outcomes>,
}

impl Ledger {
    /// Of so many connections, one is checked.
    pub(crate) fn new(every: u64) -> Self {
        Self {
            every: every.max(1),
            begun: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            closed: Mutex::default(),
            outcomes: Mutex::default(),
        }
    }

    /// A connection is about to begin; an entry, if its file is to be checked.
    pub(crate) fn entry(&self) -> Option<Entry> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        number.is_multiple_of(self.every).then(|| Entry {
            losses: self.losses.load(Ordering::Relaxed),
            day: today(),
        })
    }

    /// A connection has ended, in which each end has sent so many bytes.
    pub(crate) fn close(&self, entry: Entry, connection: Connection, bytes: u64) {
        let at = Instant::now();
        lock(&self.closed).push(Closed {
            entry,
            connection,
            bytes,
            at,
        });
    }

    /// The daemon has counted so many losses by now.
    pub(crate) fn note_losses(&self, losses: u64) {
        self.losses.store(losses, Ordering::Relaxed);
    }

    /// Checks files below `data` as they appear, until the gate ends it.
    pub(crate) fn check(&self, data: &Path, gate: &Gate) {
        while !gate.is_over() {
            let due = std::mem::take(&mut *lock(&self.closed));
            let waiting: Vec<_> = due
                .into_iter()
                .filter_map(|one| self.judge(data, one))
                .collect();
            lock(&self.closed).extend(waiting);
            thread::sleep(PERIOD);
        }
    }

    /// Waits until every file is checked.
    pub(crate) fn wait(&self) -> Result<()> {
        wait::within(PATIENCE * 2, "every file is checked", || {
            Ok(lock(&self.closed).is_empty().then_some(()))
        })
    }

    /// What became of them so far.
    pub(crate) fn outcomes(&self) -> Outcomes {
        lock(&self.outcomes).clone()
    }

    /// Looks at the file of a connection; returns the connection if it is too early to tell.
    fn judge(&self, data: &Path, one: Closed) -> Option<Closed> {
        let why = match whole(data, &one) {
            Ok(()) => {
                lock(&self.outcomes).whole += 1;
                return None;
            }
            Err(why) => why,
        };
        let waited = one.at.elapsed();
        let explained = self.losses.load(Ordering::Relaxed) > one.entry.losses;
        if waited < LOSSES_LATE || (!explained && waited < PATIENCE) {
            return Some(one);
        }
        // A full disk ends, and what waited for its name gets it.
        if explained && waited < PATIENCE / 2 {
            return Some(one);
        }
        let mut outcomes = lock(&self.outcomes);
        if explained {
            outcomes.explained += 1;
        } else {
            outcomes.unexplained += 1;
        }
        if outcomes.found.len() < KEPT {
            let how = if explained {
                "explained"
            } else {
                "unexplained"
            };
            let found = format!("{how}: {}: {why:#}", tcpinfo::uuid(&one.connection));
            outcomes.found.push(found);
        }
        None
    }
}

/// Checks that the file of a connection has every byte that both ends have sent, by sequence
/// numbers, and its beginning and end.
fn whole(data: &Path, one: &Closed) -> Result<()> {
    let name = format!("{}.pcap", tcpinfo::uuid(&one.connection));
    let places = [&one.entry.day, &today()].map(|day| data.join(day).join(&name));
    let found = places.iter().find(|path| path.exists());
    let path: &PathBuf = found.context("no file")?;
    let packets = pcap::read_file(path)?.packets;
    let reset = packets.iter().filter(|packet| packet.ends).count() == 1;
    for end in [one.connection.host, one.connection.peer] {
        let sent: Vec<_> = packets.iter().filter(|packet| packet.from == end).collect();
        covers(&sent, one.bytes).with_context(|| from(end))?;
        ensure!(
            reset || sent.iter().any(|packet| packet.ends),
            "{}: no end",
            from(end)
        );
    }
    ensure!(packets.iter().any(|packet| packet.ends), "no end at all");
    Ok(())
}

fn from(end: SocketAddr) -> String {
    format!("from {end}")
}

/// Checks that these packets of one end begin it, and have `bytes` bytes without a gap.
fn covers(sent: &[&Packet], bytes: u64) -> Result<()> {
    let first = sent.iter().find(|packet| packet.synchronizes);
    let first = first.context("no SYN")?.sequence.wrapping_add(1);
    let mut pieces = BTreeMap::new();
    for packet in sent.iter().filter(|packet| !packet.synchronizes) {
        let payload = u64::from(packet.wire_len).saturating_sub(packet.header_len as u64);
        if payload == 0 {
            continue;
        }
        let begin = u64::from(packet.sequence.wrapping_sub(first));
        let end: &mut u64 = pieces.entry(begin).or_default();
        *end = (*end).max(begin + payload);
    }
    let mut covered = 0;
    for (begin, end) in pieces {
        ensure!(
            begin <= covered || covered >= bytes,
            "of {bytes} bytes, those from {covered} to {begin} are missing"
        );
        covered = covered.max(end);
    }
    ensure!(covered == bytes, "{covered} of {bytes} bytes");
    Ok(())
}

/// The directories of today's date in UTC.
fn today() -> String {
    Timestamp::now().strftime("%Y/%m/%d").to_string()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
