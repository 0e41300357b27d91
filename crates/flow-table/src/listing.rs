//! Which connections a table has, for clients that ask over HTTP.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use model::{BootNanos, FlowUuid, WallNanos};
use packet_headers_common::Endpoint;

use crate::connections::{Connection, ConnectionState};
use crate::table::FlowTable;

/// How many places are looked at in one step: the ring fills meanwhile.
const STEP: usize = 8 * 1024;

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
    pub state: ConnectionState,
    /// When it was opened, while it is being captured.
    pub opened: Option<WallNanos>,
    /// Packets that came so far, kept or not.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// How long it has been silent.
    pub idle: Duration,
}

/// Some of a table's connections, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// How many there are.
    pub total: u64,
    /// Some of them, the most recently active first.
    pub flows: Vec<Listed>,
}

/// A walk over a table's connections that finds those that were active most recently. It goes on in
/// steps, so that nothing waits for it; connections may come and go between two of them.
#[derive(Debug)]
pub struct ListingWalk {
    limit: usize,
    place: usize,
    /// The most recent ones so far, by when their last packet passed; the earliest on top.
    found: BinaryHeap<Reverse<(BootNanos, u64)>>,
    flows: hashbrown::HashMap<u64, Listed>,
}

impl ListingWalk {
    /// A walk that lists at most `limit` connections.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            place: 0,
            found: BinaryHeap::new(),
            flows: hashbrown::HashMap::new(),
        }
    }

    fn consider(&mut self, connection: &Connection, now: BootNanos) {
        let rank = Reverse((connection.last(), connection.serial()));
        if self.found.len() >= self.limit {
            // `Reverse`: what is on top is the earliest, and the greatest of all.
            if self.found.peek().is_none_or(|earliest| rank >= *earliest) {
                return;
            }
            if let Some(Reverse((_, serial))) = self.found.pop() {
                self.flows.remove(&serial);
            }
        }
        self.found.push(rank);
        self.flows
            .insert(connection.serial(), connection.listed(now));
    }
}

impl FlowTable {
    /// Goes on with a walk; the list when it has come to its end.
    pub fn list(&self, walk: &mut ListingWalk, now: BootNanos) -> Option<Listing> {
        if let Some(places) = self.connections.places(walk.place, STEP) {
            for connection in places {
                walk.consider(connection, now);
            }
            walk.place += STEP;
            return None;
        }
        let found = std::mem::take(&mut walk.found).into_sorted_vec();
        let flows = found
            .into_iter()
            .filter_map(|Reverse((_, serial))| walk.flows.remove(&serial));
        let stats = self.stats();
        Some(Listing {
            total: stats.candidates + stats.capturing + stats.lingering + stats.finished,
            flows: flows.collect(),
        })
    }
}

impl Connection {
    fn listed(&self, now: BootNanos) -> Listed {
        let (local, remote) = self.local_and_remote();
        let (packets, bytes) = self.traffic();
        Listed {
            uuid: self.uuid().cloned(),
            local,
            remote,
            state: self.state(),
            opened: self.opened(),
            packets,
            bytes,
            idle: Duration::from_nanos(now.0.saturating_sub(self.last().0)),
        }
    }
}
