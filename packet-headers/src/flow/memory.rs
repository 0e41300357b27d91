//! The rules of memory: who goes when it runs out.
//!
//! Oldest candidates go first; then what named flows have in memory is written early; then new flows
//! are refused. What is being captured is never given up.

use packet_headers_common::FlowKey;

use super::connection::{Serial, State};
use super::table::{Action, FlowTable, find};
use model::Discard;

/// Bytes of memory that a connection takes beside its packets: itself, its places in the maps and
/// queues, and what their growth may waste.
pub(super) const OVERHEAD: usize = 1024;

/// The part of the memory that candidates may take, so that they never crowd out named flows.
const CANDIDATE_SHARE: usize = 4;

/// A buffer is spilled when it is this long, in bytes…
pub(super) const LONGEST_BLOCK: usize = 64 * 1024;

/// …or earlier when there are many flows; but not for less than this.
const SHORTEST_BLOCK: usize = 2 * 1024;

/// What the blocks of all flows of a shard are to take, in bytes, even when they may take more: many
/// flows at once are no reason to become large, as their blocks are written soon anyway.
const BLOCKS: usize = 32 << 20;

impl FlowTable {
    /// Bytes of memory that connections and their packets take.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.candidate_bytes + self.buffered_bytes + (self.named + self.done) * OVERHEAD
    }

    /// Decides how long a block may get before it is spilled: the blocks of all flows must fit into
    /// half of the memory, and are to fit into [`BLOCKS`]. A power of two, as blocks grow by doubling.
    pub(super) fn size_blocks(&mut self) {
        let share = BLOCKS.min(self.limits.memory / 2) / self.named.max(1);
        let share = share.clamp(SHORTEST_BLOCK, LONGEST_BLOCK);
        self.block_size = 1 << share.ilog2();
    }

    /// Writes what a named connection has, to have the memory back; but for what a late packet might
    /// still come before.
    pub(super) fn spill(&mut self, key: FlowKey, serial: Serial) {
        self.write_early(key, serial, false);
    }

    fn write_early(&mut self, key: FlowKey, serial: Serial, all: bool) {
        let Some(connection) = find(&mut self.flows, key, serial) else {
            return;
        };
        let State::Named(named) = &connection.state else {
            return;
        };
        if connection.block.is_empty() {
            return;
        }
        let file = connection.file(&key, named);
        let before = connection.block.capacity();
        let chunk = if all {
            connection.block.take()
        } else {
            connection.block.spill()
        };
        connection.spilled = true;
        connection.held_since = (!connection.block.is_empty()).then_some(connection.last);
        self.buffered_bytes = self.buffered_bytes + connection.block.capacity() - before;
        self.actions.push(Action::Spill(serial, file, chunk));
    }

    /// Makes room for `more` bytes beside all others; whether there is.
    pub(super) fn make_room(&mut self, more: usize) -> bool {
        let memory = self.limits.memory;
        while self.bytes() + more > memory || self.candidate_bytes > memory / CANDIDATE_SHARE {
            let Some((key, serial)) = self.waiting.pop_front() else {
                break;
            };
            if self.candidate(key, serial).is_some() {
                self.give_up(key, serial, Discard::CandidateMemory);
            }
        }
        if self.bytes() + more > memory {
            // All of them at once: a flow at a time would be a walk for every packet.
            for (key, serial) in self.named() {
                self.write_early(key, serial, true);
            }
        }
        self.bytes() + more <= memory
    }
}
