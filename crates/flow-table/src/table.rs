//! The table's public interface: what goes in, and what comes out.

use std::collections::VecDeque;

use model::{BootNanos, DiscardReason, FlowEvent, Timing, WallClock, WallNanos, Wanted};
use packet_headers_common::{FlowKey, Packet};

use crate::action::{Action, Hint};
use crate::batch::Batch;
use crate::connections::{ConnectionState, Connections, Id, NotKept, QueueName};
use crate::rules::{ending, memory, naming, time};
use crate::stats::{TableCounts, TableStats};

/// The limits of a table.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of memory for everything that the table holds.
    pub memory: usize,
    /// The most connections with a name at once.
    pub flows: usize,
}

/// The most connections of one four-tuple that are known at once. Each SYN with another sequence
/// number begins one, so anybody can make many. One more replaces the oldest candidate.
const MOST_INCARNATIONS: u32 = 64;

/// The connections of one shard.
#[derive(Debug)]
pub struct FlowTable {
    pub(crate) timing: Timing,
    pub(crate) limits: Limits,
    pub(crate) wanted: Wanted,
    pub(crate) connections: Connections,
    pub(crate) actions: Vec<Action>,
    pub(crate) counts: TableCounts,
    /// All stats except those that `connections` knows.
    pub(crate) stats: TableStats,
    /// The length in bytes at which a buffer is spilled, so that the buffers of all connections fit.
    buffer_size: usize,
}

impl FlowTable {
    /// An empty table.
    #[must_use]
    pub fn new(timing: Timing, limits: Limits, wanted: Wanted) -> Self {
        Self {
            timing,
            limits,
            wanted,
            connections: Connections::default(),
            actions: Vec::new(),
            counts: TableCounts::default(),
            stats: TableStats::default(),
            buffer_size: memory::LONGEST_BUFFER,
        }
    }

    /// The actions since the last call, in order.
    pub fn actions(&mut self) -> impl Iterator<Item = Action> + '_ {
        self.actions.drain(..)
    }

    /// What happened since the last call.
    pub fn take_counts(&mut self) -> TableCounts {
        std::mem::take(&mut self.counts)
    }

    /// The numbers of connections by state and outcome.
    #[must_use]
    pub fn stats(&self) -> TableStats {
        let number = |state| self.connections.number(state) as u64;
        TableStats {
            candidates: number(ConnectionState::Candidate),
            capturing: number(ConnectionState::Capturing),
            lingering: number(ConnectionState::Lingering),
            finished: number(ConnectionState::Finished),
            bytes: self.bytes() as u64,
            ..self.stats
        }
    }

    /// Bytes of memory that connections and their packets take.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.connections.bytes()
    }

    /// Begins a batch of records in the form that they have in the ring. Each of the `events` takes
    /// effect between the packets that came before and after it.
    pub fn batch<'a>(
        &'a mut self,
        clock: &'a WallClock,
        events: &'a mut VecDeque<FlowEvent>,
    ) -> Batch<'a> {
        Batch::new(self, clock, events)
    }

    /// A packet passed. On `Ok` it is held, and later comes out in a chunk or as a discard.
    ///
    /// # Errors
    /// Why it is not.
    pub fn on_packet(&mut self, packet: &Packet<'_>, wall: WallNanos) -> Result<(), DiscardReason> {
        let key = packet.key();
        let id = match self.connections.youngest(&key) {
            Some(id) if !self.connections.get(id).is_succeeded_by(packet) => id,
            _ => self.begin(key, BootNanos(packet.boot_ns)),
        };
        let limits = (&self.timing, self.buffer_size);
        let kept = match self.connections.keep(id, packet, wall, limits) {
            Ok(kept) => kept,
            Err(NotKept::Discarded(reason)) => return Err(reason),
            Err(NotKept::IsOver) => return Err(self.finish(id)),
        };
        if kept.is_full {
            memory::spill(self, id);
        }
        if kept.hurries {
            time::look_at(self, id, BootNanos(packet.boot_ns));
        }
        if kept.grew {
            memory::keep_within(self);
        }
        Ok(())
    }

    /// A packet begins a connection.
    #[cold]
    fn begin(&mut self, key: FlowKey, start: BootNanos) -> Id {
        if self.connections.number_of(&key) >= MOST_INCARNATIONS
            && let Some(oldest) = self.connections.oldest_candidate(&key)
        {
            ending::give_up(self, oldest, DiscardReason::CandidateMemory);
        }
        self.stats.begun += 1;
        self.connections.begin(key, start)
    }

    /// Finishes a connection that has been captured for `--captureduration`.
    #[cold]
    fn finish(&mut self, id: Id) -> DiscardReason {
        let reason = DiscardReason::AfterCapture;
        ending::finish(self, id, Some(reason));
        reason
    }

    /// A connection began or ended.
    pub fn on_event(&mut self, event: FlowEvent) {
        match event {
            FlowEvent::Open(open) => naming::on_open(self, open),
            FlowEvent::Close(close) => naming::on_close(self, &close),
        }
    }

    /// Time has passed. One call does a bounded part of what is due, and returns whether there is
    /// more.
    pub fn tick(&mut self, now: BootNanos) -> bool {
        self.buffer_size = memory::buffer_size(self);
        let more = time::tick(self, now);
        // The packets of a candidate that was given up may have gone to another connection.
        memory::keep_within(self);
        more
    }

    /// No more packets will come: gives up candidates, then finishes connections that are captured.
    /// One call does a bounded part of that, and returns whether there is more.
    pub fn shut_down(&mut self) -> bool {
        for _ in 0..time::MOST {
            if let Some(candidate) = self.connections.first(QueueName::Candidates) {
                ending::give_up(self, candidate, DiscardReason::Unnamed);
            } else if let Some(finished) = self.connections.first(QueueName::Finished) {
                // No hint is needed: the kernel's maps go away with the daemon.
                self.connections.forget(finished);
            } else if let Some((_, captured)) = self.connections.next_timer() {
                ending::finish(self, captured, None);
            } else {
                return false;
            }
        }
        true
    }

    pub(crate) fn tell(&mut self, hint: Hint) {
        self.actions.push(Action::Tell(hint));
    }

    /// A candidate with so many packets was given up.
    pub(crate) fn gave_up(&mut self, reason: DiscardReason, packets: u64) {
        self.counts.discarded[reason as usize] += packets;
        // Candidates of other reasons were refused, and have been counted there.
        self.stats.unnamed += u64::from(reason == DiscardReason::Unnamed);
        self.stats.over_memory += u64::from(reason == DiscardReason::CandidateMemory);
    }
}

#[cfg(test)]
mod tests;
