//! Which connections a table has, for who asks over HTTP.

use std::cmp::Reverse;
use std::time::Duration;

use packet_headers_common::{Endpoint, FlowKey};

use super::connection::{Connection, State};
use super::table::FlowTable;
use model::{BootNanos, FlowUuid, WallNanos};

/// How many four-tuples are looked at, at most: a table may have hundreds of thousands, and its ring
/// fills meanwhile.
const LOOKED_AT: usize = 64 * 1024;

/// One connection, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name, once it has one.
    pub uuid: Option<FlowUuid>,
    /// This host's end; of a candidate, what its first packet makes look so.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// What becomes of its packets.
    pub state: ListedState,
    /// When it was opened, once it is known.
    pub opened: Option<WallNanos>,
    /// Packets that came so far, kept or not.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// How long it has been silent.
    pub idle: Duration,
}

/// What becomes of a connection's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListedState {
    /// They wait for its name.
    Candidate,
    /// They go into its file.
    Capturing,
    /// It has ended, or its file is finished.
    Closing,
}

/// Some of a table's connections, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// How many there are.
    pub total: u64,
    /// Some of them, the most recently active first.
    pub flows: Vec<Listed>,
}

impl FlowTable {
    /// The connections that were active most recently, up to `limit` of them.
    #[must_use]
    pub fn list(&self, limit: usize, now: BootNanos) -> Listing {
        let looked_at = self.flows.iter().take(LOOKED_AT);
        let mut found: Vec<_> = looked_at
            .flat_map(|(key, connections)| connections.iter().map(move |c| (key, &**c)))
            .collect();
        let recent_first = |(_, connection): &(&FlowKey, &Connection)| Reverse(connection.last);
        if found.len() > limit {
            found.select_nth_unstable_by_key(limit, recent_first);
            found.truncate(limit);
        }
        found.sort_unstable_by_key(recent_first);
        let flows = found.into_iter();
        Listing {
            total: self.census.candidates + (self.named + self.done) as u64,
            flows: flows.map(|(key, c)| c.listed(key, now)).collect(),
        }
    }
}

impl Connection {
    fn listed(&self, key: &FlowKey, now: BootNanos) -> Listed {
        let (low, high) = key.ends();
        let (local, remote) = if self.low_is_here() {
            (low, high)
        } else {
            (high, low)
        };
        let (packets, bytes) = self.traffic();
        Listed {
            uuid: self.uuid().cloned(),
            local,
            remote,
            state: match &self.state {
                State::Candidate => ListedState::Candidate,
                State::Named(_) if !self.lingers() => ListedState::Capturing,
                State::Named(_) | State::Done(_) => ListedState::Closing,
            },
            opened: match &self.state {
                State::Named(named) => Some(named.opened),
                State::Candidate | State::Done(_) => None,
            },
            packets,
            bytes,
            idle: Duration::from_nanos(now.0.saturating_sub(self.last.0)),
        }
    }
}
