//! The kernel's table of flows, as far as records and the daemon see it: who has which entry.

use std::collections::BTreeMap;

use flow_table::Hint;
use packet_headers_common::{FlowKey, Packet};

/// How many places the table has: so few that they are soon used again.
const PLACES: u32 = 5;

/// Where a record has its entry.
const ENTRY: std::ops::Range<usize> = 24..28;

/// Entries, by the connections that have them. A place goes to another connection while records of the
/// one before still wait in the ring.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    of: BTreeMap<FlowKey, (u64, u32)>,
    admitted: u32,
}

impl Entries {
    /// A packet passes: its record gets the entry of its connection.
    pub(crate) fn mark(&self, item: &mut [u8]) {
        let Ok(packet) = Packet::parse(item) else {
            return;
        };
        if let Some((_, entry)) = self.of.get(&packet.key()) {
            item[ENTRY].copy_from_slice(&entry.to_ne_bytes());
        }
    }

    /// The daemon gives a hint; the entry that a connection gets, or 0.
    pub(crate) fn hear(&mut self, hint: Hint) -> u32 {
        match hint {
            Hint::Admit(key, _, cookie) => {
                self.admitted += 1;
                let place = self.admitted % PLACES;
                self.of.retain(|_, (_, entry)| *entry % (1 << 18) != place);
                let entry = (self.admitted << 18) | place;
                self.of.insert(key, (cookie, entry));
                entry
            }
            Hint::Release(key, cookie) => {
                if self.of.get(&key).is_some_and(|(of, _)| *of == cookie) {
                    self.of.remove(&key);
                }
                0
            }
            Hint::Retire(..) | Hint::Ignore(_) => 0,
        }
    }
}
