//! Tells the programs which connections have a name, and which are not wanted.
//!
//! All of it is a hint to the kernel: the flow table decides the same about a packet that arrives
//! anyway. So nothing here fails, and what the kernel does not accept is counted.

use std::os::fd::AsFd as _;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use aya::maps::{HashMap, Map, MapData};
use packet_headers_common::{FlowKey, FlowState};

use model::{BootNanos, Count};

type Key = [u8; FlowKey::SIZE];
type State = [u8; FlowState::SIZE];

/// Create an entry, but do not replace one (linux/bpf.h).
const BPF_NOEXIST: u64 = 1;
/// Replace an entry, but do not create one (linux/bpf.h).
const BPF_EXIST: u64 = 2;

/// One shard's handle to the maps of connections. Handles share only the maps, which the kernel
/// guards. Each connection belongs to one shard, so no two handles change the same entry.
pub struct FlowMaps {
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
    pub(super) fn for_shards(
        shards: u32,
        flows: &Map,
        ignored: &Map,
        refused: &Refused,
    ) -> Result<Vec<Self>> {
        let handle = |_shard| {
            let flows = another(flows).context("opening the map of flows")?;
            let ignored = another(ignored).context("opening the map of ignored flows")?;
            Ok(Self {
                flows: HashMap::try_from(flows)?,
                ignored: HashMap::try_from(ignored)?,
                refused: refused.clone(),
            })
        };
        (0..shards).map(handle).collect()
    }

    /// The connection got its name: until the deadline, its packets go to the admitted ring.
    pub fn admit(&mut self, key: &FlowKey, deadline: BootNanos, cookie: u64) -> u32 {
        let key = key.to_bytes();
        let state = FlowState::new(deadline.0, cookie).to_bytes();
        // If there is an entry, the kernel has admitted it itself, and knows its primary tap.
        let _exists = self.flows.insert(key, state, BPF_NOEXIST);
        let _was_not_ignored = self.ignored.remove(&key);
        if self.flows.get(&key, 0).is_err() {
            self.refused.0.add(1);
        }
        0
    }

    /// The connection's file is finished, but it is still open: the kernel discards its packets.
    pub fn retire(&mut self, key: &FlowKey, cookie: u64) {
        let key = key.to_bytes();
        if self.is_of(&key, cookie) {
            let state = FlowState::new(0, cookie).to_bytes();
            let _gone = self.flows.insert(key, state, BPF_EXIST);
        }
    }

    /// The connection has ended.
    pub fn release(&mut self, key: &FlowKey, cookie: u64) {
        let key = key.to_bytes();
        if self.is_of(&key, cookie) {
            let _gone = self.flows.remove(&key);
        }
    }

    /// The connection is not wanted: the kernel discards its packets, until a SYN begins another.
    pub fn ignore(&mut self, key: &FlowKey) {
        let key = key.to_bytes();
        let _no_memory = self.ignored.insert(key, 1, 0);
    }

    /// How many connections the kernel knows.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.flows.keys().filter(Result::is_ok).count()
    }

    /// Whether the entry belongs to this connection, not to a later one of the same four-tuple.
    fn is_of(&self, key: &Key, cookie: u64) -> bool {
        let state = self.flows.get(key, 0);
        state.is_ok_and(|state| FlowState::cookie_of(&state) == cookie)
    }
}

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
