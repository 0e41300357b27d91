//! Tells the programs which connections have a lane of their own, and which are not wanted.
//!
//! All of it is a hint to the kernel: what the flow table decides about a packet that comes through
//! anyway is the same. So nothing here fails; what the kernel did not take is counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use aya::maps::{HashMap, Map, MapData};
use packet_headers_common::{FlowKey, FlowState};

use model::BootNanos;

type Key = [u8; FlowKey::SIZE];
type State = [u8; FlowState::SIZE];

/// Update only what is not there (linux/bpf.h).
const BPF_NOEXIST: u64 = 1;
/// Update only what is there (linux/bpf.h).
const BPF_EXIST: u64 = 2;

/// The maps of connections, for all shards.
pub struct Admission {
    maps: Mutex<Maps>,
    refused: AtomicU64,
}

struct Maps {
    flows: HashMap<MapData, Key, State>,
    ignored: HashMap<MapData, Key, u8>,
}

impl Admission {
    pub(super) fn new(flows: Map, ignored: Map) -> Result<Self> {
        let flows = flows.try_into().context("opening the map of flows")?;
        let ignored = ignored
            .try_into()
            .context("opening the map of ignored flows")?;
        Ok(Self {
            maps: Mutex::new(Maps { flows, ignored }),
            refused: AtomicU64::new(0),
        })
    }

    /// A connection got its name: its packets have a lane of their own until the deadline.
    pub fn admit(&self, key: &FlowKey, deadline: BootNanos, cookie: u64) {
        let (key, mut maps) = (key.to_bytes(), self.maps());
        let state = FlowState::new(deadline.0, cookie).to_bytes();
        // When it is there already, the kernel has admitted it itself, and knows its home.
        let _exists = maps.flows.insert(key, state, BPF_NOEXIST);
        let _was_not_ignored = maps.ignored.remove(&key);
        if maps.flows.get(&key, 0).is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Its file is finished, but it is still open: the kernel drops its packets.
    pub fn retire(&self, key: &FlowKey, cookie: u64) {
        let (key, mut maps) = (key.to_bytes(), self.maps());
        if maps.is_of(&key, cookie) {
            let state = FlowState::new(0, cookie).to_bytes();
            let _gone = maps.flows.insert(key, state, BPF_EXIST);
        }
    }

    /// It is over.
    pub fn release(&self, key: &FlowKey, cookie: u64) {
        let (key, mut maps) = (key.to_bytes(), self.maps());
        if maps.is_of(&key, cookie) {
            let _gone = maps.flows.remove(&key);
        }
    }

    /// Nobody wants it: the kernel drops its packets, until a SYN begins another one.
    pub fn ignore(&self, key: &FlowKey) {
        let (key, mut maps) = (key.to_bytes(), self.maps());
        let _no_memory = maps.ignored.insert(key, 1, 0);
    }

    /// How many connections the kernel had no room for: their packets go the candidates' way.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How many connections the kernel knows.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.maps().flows.keys().filter(Result::is_ok).count()
    }

    fn maps(&self) -> MutexGuard<'_, Maps> {
        // What the maps hold does not depend on who used them last.
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Maps {
    /// Whether the entry is still of the connection that is meant, not of a later one.
    fn is_of(&self, key: &Key, cookie: u64) -> bool {
        let state = self.flows.get(key, 0);
        state.is_ok_and(|state| FlowState::cookie_of(&state) == cookie)
    }
}
