//! Who listens at which port, as the kernel programs know it.

use anyhow::{Context as _, Result};
use aya::maps::{HashMap, Map, MapData};
use packet_headers_common::owner_record::OWNER_RECORD_LEN;
use packet_headers_common::{ListenerKey, OwnerRecord};

/// `BPF_NOEXIST` (linux/bpf.h): only if there is no entry yet.
const ONLY_NEW: u64 = 1;

/// Who listens at which port, as the kernel programs know it.
pub(crate) struct Listeners(HashMap<MapData, [u64; 2], [u8; OWNER_RECORD_LEN]>);

impl Listeners {
    /// In this map of the programs.
    ///
    /// # Errors
    /// When it is not the map that it should be.
    pub(super) fn new(map: Map) -> Result<Self> {
        let map = HashMap::try_from(map).context("opening the map of listeners")?;
        Ok(Self(map))
    }

    /// Adds one who listened before the programs were there. What they have noted meanwhile stays.
    pub(crate) fn add(&mut self, key: &ListenerKey, owner: &OwnerRecord) {
        let added = self
            .0
            .insert([key.netns, key.port], owner.to_bytes(), ONLY_NEW);
        if let Err(error) = added {
            tracing::debug!("port {}: the owner stays as it is: {error}", key.port);
        }
    }
}
