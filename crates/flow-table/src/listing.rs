//! Lists the connections of a table, for HTTP clients.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use model::{BootNanos, FlowUuid, Owner, Protocol, WallNanos};
use packet_headers_common::{Endpoint, SocketTotals};

use crate::connections::{Connection, ConnectionState};
use crate::table::FlowTable;

/// How many slots are visited in one step, because the rings fill meanwhile.
const STEP: usize = 8 * 1024;

/// One connection, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What it is of.
    pub protocol: Protocol,
    /// Its name, once it has one.
    pub uuid: Option<FlowUuid>,
    /// This host's end. For a candidate, a guess from its first packet.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// Its state.
    pub state: ConnectionState,
    /// When it was opened, while it is being captured.
    pub opened: Option<WallNanos>,
    /// Packets so far, kept or not.
    pub packets: u64,
    /// Their size on the wire, in bytes.
    pub bytes: u64,
    /// How long it has been silent.
    pub idle: Duration,
    /// What the kernel knew of it when its socket was closed.
    pub totals: Option<SocketTotals>,
    /// Whose it is, if that is known.
    pub owner: Option<Arc<Owner>>,
}

/// Some of a table's connections, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// How many connections there are in all.
    pub total: u64,
    /// The most recently active ones, those active last first.
    pub flows: Vec<Listed>,
}

/// A walk over a table that finds the most recently active connections. It proceeds in steps, so that
/// nothing waits for it. Connections may come and go between two steps.
#[derive(Debug)]
pub struct ListingWalk {
    limit: usize,
    place: usize,
    /// The most recent ones so far, by the time of their last packet. The earliest is on top.
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

    fn consider(&mut self, connection: &Connection, (protocol, now): (Protocol, BootNanos)) {
        let rank = Reverse((connection.last(), connection.serial()));
        if self.found.len() >= self.limit {
            // Because of `Reverse`, the earliest is the greatest, and so on top.
            if self.found.peek().is_none_or(|earliest| rank >= *earliest) {
                return;
            }
            if let Some(Reverse((_, serial))) = self.found.pop() {
                self.flows.remove(&serial);
            }
        }
        self.found.push(rank);
        self.flows
            .insert(connection.serial(), connection.listed(protocol, now));
    }
}

impl FlowTable {
    /// Does one step of a walk. Returns the list when the walk is complete.
    pub fn list(&self, walk: &mut ListingWalk, now: BootNanos) -> Option<Listing> {
        let protocol = self.protocol();
        if let Some(places) = self.state.connections.places(walk.place, STEP) {
            for connection in places {
                walk.consider(connection, (protocol, now));
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
    fn listed(&self, protocol: Protocol, now: BootNanos) -> Listed {
        let (local, remote) = self.local_and_remote();
        let (packets, bytes) = self.traffic();
        Listed {
            protocol,
            uuid: self.uuid().cloned(),
            local,
            remote,
            state: self.state(),
            opened: self.opened(),
            packets,
            bytes,
            idle: Duration::from_nanos(now.0.saturating_sub(self.last().0)),
            totals: self.totals().copied(),
            owner: self.owner().cloned(),
        }
    }
}
