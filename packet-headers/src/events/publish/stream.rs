//! The open connections and the log of the latest events, which all clients read. No clock, no I/O.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::{Result, ensure};
use hashbrown::{HashMap, HashSet};

use messages::tcp_info;
use model::{FlowUuid, Open, WallNanos};

/// The limits of a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Open connections. Each takes some 400 bytes.
    pub(super) open: usize,
    /// Events that a client may be behind. Each takes some 250 bytes.
    pub(super) log: usize,
}

/// The open connections and the latest events.
#[derive(Debug)]
pub(super) struct Stream {
    bounds: Bounds,
    open: HashMap<FlowUuid, Flow>,
    /// The connections that were closed while those older than the daemon are still being
    /// delivered: the Open of one that was listed before its Close must not follow the Close.
    closed: Option<HashSet<FlowUuid>>,
    /// The latest events.
    log: VecDeque<Arc<[u8]>>,
    /// The number of the first event in `log`.
    first: u64,
}

/// An open connection.
#[derive(Debug)]
struct Flow {
    line: Arc<[u8]>,
    cookie: u64,
    /// Whether it is older than the daemon.
    older: bool,
}

/// A connection that may have closed without an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) uuid: FlowUuid,
    pub(super) cookie: u64,
    /// Whether it is older than the daemon.
    pub(super) older: bool,
}

impl Stream {
    /// An empty stream. `older` says whether connections older than the daemon will be delivered.
    pub(super) fn new(bounds: Bounds, older: bool) -> Self {
        Self {
            bounds,
            open: HashMap::new(),
            closed: older.then(HashSet::new),
            log: VecDeque::new(),
            first: 0,
        }
    }

    /// A connection was opened. Clients see it once, even if two sources report it.
    ///
    /// # Errors
    /// When there is no room for it: clients will not see it.
    pub(super) fn open(&mut self, open: &Open) -> Result<()> {
        let closed = self.closed.as_ref();
        if self.open.contains_key(&open.uuid) || closed.is_some_and(|it| it.contains(&open.uuid)) {
            return Ok(());
        }
        ensure!(
            self.open.len() < self.bounds.open,
            "more than {} connections are open",
            self.bounds.open
        );
        let flow = Flow {
            line: tcp_info::open(open)?.into(),
            cookie: open.cookie,
            older: open.role.is_none(),
        };
        self.push(Arc::clone(&flow.line));
        self.open.insert(open.uuid.clone(), flow);
        Ok(())
    }

    /// A connection was closed. One that clients have not seen is ignored.
    ///
    /// # Errors
    /// When the line cannot be formatted: clients will not see that it was closed.
    pub(super) fn close(&mut self, uuid: &FlowUuid, at: WallNanos) -> Result<()> {
        if let Some(closed) = &mut self.closed
            && closed.len() < self.bounds.open
        {
            closed.insert(uuid.clone());
        }
        if self.open.remove(uuid).is_some() {
            let line = tcp_info::close(uuid, at)?;
            self.push(line.into());
        }
        Ok(())
    }

    /// No more connections older than the daemon will be delivered.
    pub(super) fn older_are_delivered(&mut self) {
        self.closed = None;
    }

    /// The connections that are open as far as events tell.
    pub(super) fn suspects(&self) -> Vec<Suspect> {
        let suspect = |(uuid, flow): (&FlowUuid, &Flow)| Suspect {
            uuid: uuid.clone(),
            cookie: flow.cookie,
            older: flow.older,
        };
        self.open.iter().map(suspect).collect()
    }

    /// The number of the oldest event that can still be read.
    pub(super) const fn first(&self) -> u64 {
        self.first
    }

    /// A new reader, which starts with the connections that are open now.
    pub(super) fn join(&self) -> Reader {
        let open: Vec<_> = self.open.values().map(|it| Arc::clone(&it.line)).collect();
        Reader {
            replay: open.into_iter(),
            next: self.first + self.log.len() as u64,
        }
    }

    fn push(&mut self, line: Arc<[u8]>) {
        if self.log.len() == self.bounds.log {
            self.log.pop_front();
            self.first += 1;
        }
        self.log.push_back(line);
    }
}

/// The position of one client in the stream.
#[derive(Debug)]
pub(super) struct Reader {
    /// The connections that were open when it joined, as far as it has not read them. Lines are
    /// shared, so each costs a client two words.
    replay: std::vec::IntoIter<Arc<[u8]>>,
    /// The number of the next event.
    next: u64,
}

/// The reader is further behind than the log reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it fell too far behind in reading events")]
pub(super) struct TooSlow;

impl Reader {
    /// Appends the next whole lines to `out`, until it has at least `enough` bytes or there are no
    /// more lines.
    ///
    /// # Errors
    /// [`TooSlow`] when the next event is not in the log any more.
    pub(super) fn read(
        &mut self,
        stream: &Stream,
        out: &mut Vec<u8>,
        enough: usize,
    ) -> Result<(), TooSlow> {
        let read = self.next.checked_sub(stream.first).ok_or(TooSlow)?;
        while out.len() < enough
            && let Some(line) = self.replay.next()
        {
            out.extend_from_slice(&line);
        }
        let read = usize::try_from(read).unwrap_or(usize::MAX);
        for line in stream.log.range(read.min(stream.log.len())..) {
            if out.len() >= enough {
                break;
            }
            out.extend_from_slice(line);
            self.next += 1;
        }
        Ok(())
    }

    /// The number of the next event to read.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests;
