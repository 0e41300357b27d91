//! Finds connections by their entries in the kernel's table of flows.

use packet_headers_common::Token;

use super::Id;

/// Which connection had a place last. Whoever finds one here must ask the connection whether it has
/// the entry still.
#[derive(Debug, Default)]
pub(super) struct ByEntry(Vec<Option<Id>>);

impl ByEntry {
    /// The connection that had the entry's place last; none if the entry is 0.
    #[inline]
    pub(super) fn get(&self, entry: u32) -> Option<Id> {
        if entry == 0 {
            return None;
        }
        *self.0.get(place(entry))?
    }

    /// A connection has got the entry. Memory for all places up to it is taken.
    pub(super) fn set(&mut self, entry: u32, id: Id) {
        let place = place(entry);
        if self.0.len() <= place {
            self.0.resize(place + 1, None);
        }
        self.0[place] = Some(id);
    }
}

#[inline]
const fn place(entry: u32) -> usize {
    Token(entry).slot() as usize
}
