//! A table, where what comes out of it goes, and where it is counted: all of a shard but the kernel
//! and the clock.

use std::sync::Arc;

use flow_table::{Action, BatchCounts, FlowTable, Hint};
use model::{DiscardReason, EventIssue};

use super::outbox::Outbox;
use crate::stats::Counters;

/// A table, and where what comes out of it goes.
pub struct Demux {
    /// The flows.
    pub table: FlowTable,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// The way to the writer.
    pub outbox: Outbox,
}

impl Demux {
    /// Counts what became of a batch of records.
    pub fn count(&self, batch: &BatchCounts) {
        let counters = &self.counters;
        // First that they have left the ring: see `stats::balance`.
        counters.received.add(batch.received);
        counters.held.add(batch.held);
        for (&reason, packets) in DiscardReason::ALL.iter().zip(batch.refused) {
            counters.discards.add(reason, packets);
        }
        counters.hardware_clock_off.add(batch.clock_off);
    }

    /// Does what the table wants done, and counts what happened in it; what the kernel is to know goes
    /// to `tell`.
    pub fn act(&mut self, mut tell: impl FnMut(Hint)) {
        for action in self.table.actions() {
            match action {
                Action::Write(job) => self.outbox.add(job),
                Action::Tell(hint) => tell(hint),
            }
        }
        let counts = self.table.take_counts();
        let counters = &self.counters;
        for (counter, n) in [
            (&counters.opened, counts.opened),
            (&counters.closed, counts.closed),
            (&counters.empty, counts.empty),
            (&counters.evicted, counts.evicted),
        ] {
            counter.add(n);
        }
        for (&reason, packets) in DiscardReason::ALL.iter().zip(counts.discarded) {
            counters.discard_held(reason, packets);
        }
        for (&issue, n) in EventIssue::ALL.iter().zip(counts.issues) {
            counters.events.add(issue, n);
        }
    }
}
