//! Tells the programs which connections have a name, and which are not wanted.
//!
//! Connections have a place in the table of flows. Those for which it has no room are in the map of
//! flows, as are those that the kernel admitted itself, until the shard has heard of them.
//!
//! All of it is a hint to the kernel: the flow table decides the same about a packet that arrives
//! anyway. So nothing here fails, and what the kernel does not accept is counted.

use std::os::fd::AsFd as _;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData};
use flow_entries::{Entries, Mapping, Shown};
use packet_headers_common::flow_entry::PLACES;
use packet_headers_common::{FlowHash, FlowKey, FlowState, Token, settings};

use crate::clock;
use model::{BootNanos, Count};

type Key = [u8; FlowKey::SIZE];
type State = [u8; FlowState::SIZE];

/// The most entries of the table: 4 MiB, which the kernel takes at once. Connections beyond them cost a
/// look-up in a hash map for each packet.
const MOST_ENTRIES: u32 = 1 << 16;

/// How large the table of flows is, and where a connection is in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    hash: FlowHash,
    shards: u32,
    /// Of each shard: a power of two.
    pub(super) buckets: u32,
}

impl Layout {
    /// For so many shards and connections.
    pub(super) fn new(hash: FlowHash, shards: u32, flows: u32) -> Self {
        let entries = flows.min(MOST_ENTRIES);
        let buckets = (entries / PLACES as u32 / shards).max(1);
        Self {
            hash,
            shards,
            buckets: 1 << buckets.ilog2(),
        }
    }

    /// Elements of the map.
    pub(super) const fn elements(&self) -> u32 {
        self.shards * self.buckets
    }
}

/// One shard's handle to what the kernel knows of connections. Handles share only the maps, which the
/// kernel guards, and of the table each has a part of its own. Each connection belongs to one shard, so
/// no two handles change the same entry.
pub struct FlowMaps {
    entries: Entries<Mapping>,
    flows: HashMap<MapData, Key, State>,
    ignored: HashMap<MapData, Key, u8>,
    refused: Refused,
}

/// How many connections the kernel had no room for. Their packets go to the candidate ring.
#[derive(Debug, Clone, Default)]
pub struct Refused(Arc<Count>);

impl Refused {
    /// The number so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

impl FlowMaps {
    /// A handle for each shard.
    pub(super) fn for_shards(ebpf: &Ebpf, layout: &Layout, refused: &Refused) -> Result<Vec<Self>> {
        let map = |name| {
            let map = ebpf.map(name);
            map.with_context(|| format!("the eBPF object has no map {name}"))
        };
        let (flows, ignored) = (map(settings::FLOWS)?, map(settings::IGNORED)?);
        let Map::Array(entries) = map(settings::ENTRIES)? else {
            bail!("the table of flows is no array");
        };
        let entries = Mapping::new(entries.fd().as_fd(), layout.elements());
        let entries = entries.context("mapping the table of flows")?;
        let handle = |shard| {
            let flows = another(flows).context("opening the map of flows")?;
            let ignored = another(ignored).context("opening the map of ignored flows")?;
            Ok(Self {
                entries: Entries::new(entries.clone(), layout.hash, shard, layout.buckets),
                flows: HashMap::try_from(flows)?,
                ignored: HashMap::try_from(ignored)?,
                refused: refused.clone(),
            })
        };
        (0..layout.shards).map(handle).collect()
    }

    /// The connection got its name: until the deadline, its packets go to the admitted ring. Any older
    /// connection of the four-tuple is forgotten. The token of its entry in the table of flows, or 0 if
    /// that has no room.
    pub fn admit(&mut self, key: &FlowKey, deadline: BootNanos, cookie: u64) -> u32 {
        let bytes = key.to_bytes();
        let mut state = FlowState::new(deadline.0, cookie);
        let by_kernel = self.flows.get(&bytes, 0).ok();
        if let Some(known) = by_kernel.as_ref().map(FlowState::from_bytes) {
            state.deadline_ns = state.deadline_ns.max(known.deadline_ns);
            state.primary_tap = known.primary_tap;
        } else if let Some(known) = self.entries.primary_tap(key) {
            state.primary_tap = known;
        }
        let entry = Shown {
            key: *key,
            deadline_ns: state.deadline_ns,
            primary_tap: state.primary_tap,
        };
        let token = self.entries.admit(clock::now().0, cookie, &entry);
        if token.is_none() && self.flows.insert(bytes, state.to_bytes(), 0).is_err() {
            self.refused.0.add(1);
        }
        if by_kernel.is_none() {
            let _was_not_ignored = self.ignored.remove(&bytes);
        } else if token.is_some() {
            // Only now: the programs find it in one of the two at any time.
            let _gone = self.flows.remove(&bytes);
        }
        token.unwrap_or(Token::NONE).0
    }

    /// The connection's file is finished, but it is still open: the kernel discards its packets.
    pub fn retire(&mut self, key: &FlowKey, cookie: u64) {
        if let Some(token) = self.entries.find(key, cookie) {
            return self.entries.retire(token);
        }
        let key = key.to_bytes();
        if let Some(known) = self.of(&key, cookie) {
            let state = FlowState {
                deadline_ns: 0,
                ..known
            };
            let _gone = self.flows.insert(key, state.to_bytes(), BPF_EXIST);
        }
    }

    /// The connection has ended.
    pub fn release(&mut self, key: &FlowKey, cookie: u64) {
        if let Some(token) = self.entries.find(key, cookie) {
            return self.entries.release(clock::now().0, token);
        }
        let key = key.to_bytes();
        if self.of(&key, cookie).is_some() {
            let _gone = self.flows.remove(&key);
        }
    }

    /// The connection is not wanted: the kernel discards its packets, until a SYN begins another.
    pub fn ignore(&mut self, key: &FlowKey) {
        let key = key.to_bytes();
        let _no_memory = self.ignored.insert(key, 1, 0);
    }

    /// How many connections the kernel knows, but for those that have a place in the tables of other
    /// shards.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.entries.len() + self.beside_the_table()
    }

    /// How many of them have no place in the table of flows, of all shards.
    #[must_use]
    pub fn beside_the_table(&self) -> usize {
        self.flows.keys().filter(Result::is_ok).count()
    }

    /// What the map has of this connection, unless it is of a later one of the same four-tuple.
    fn of(&self, key: &Key, cookie: u64) -> Option<FlowState> {
        let state = FlowState::from_bytes(&self.flows.get(key, 0).ok()?);
        (state.cookie == cookie).then_some(state)
    }
}

/// Replace an entry, but do not create one (linux/bpf.h).
const BPF_EXIST: u64 = 2;

/// Another handle to a map.
fn another(map: &Map) -> Result<Map> {
    let (Map::HashMap(data) | Map::LruHashMap(data)) = map else {
        bail!("not a hash map");
    };
    let data = MapData::from_fd(data.fd().as_fd().try_clone_to_owned()?)?;
    Ok(if matches!(map, Map::LruHashMap(_)) {
        Map::LruHashMap(data)
    } else {
        Map::HashMap(data)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_at_most_so_many_entries_however_many_shards_share_it() {
        for (max_flows, shards, entries) in [
            (1 << 18, 1, 1 << 16),
            (1 << 18, 3, 3 << 14),
            (1 << 18, 16, 1 << 16),
            (40_000, 1, 1 << 15),
            (16, 1, 16),
            (1, 1, 4),
            (16, 16, 64),
        ] {
            let layout = Layout::new(FlowHash::seeded(7), shards, max_flows);
            let found = layout.elements() * PLACES as u32;
            assert_eq!(found, entries, "{max_flows} of {shards}");
            assert!(found <= packet_headers_common::flow_entry::MAX_ENTRIES);
        }
    }
}
