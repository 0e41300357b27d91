//! A table of connections with its counters and the queue to its writer: all of a shard except the
//! kernel and the clock.

use std::sync::Arc;

use flow_table::{Action, Arrivals, BatchCounts, Batches, FlowTable, Hint};
use model::{DiscardReason, EventIssue};

use super::outbox::Outbox;
use crate::stats::Counters;

/// A table with its counters and the queue to its writer.
pub struct Demux {
    /// The connections.
    pub table: FlowTable,
    /// What gives them their packets.
    pub batches: Batches,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// The way to the writer.
    pub outbox: Outbox,
}

impl Demux {
    /// Takes a batch of records, and adds its outcome to the counters.
    pub fn take<'ring>(
        &mut self,
        records: impl IntoIterator<Item = &'ring [u8]>,
        arrivals: Arrivals<'_>,
    ) -> BatchCounts {
        let counts = self.batches.take(&mut self.table, records, arrivals);
        self.count(&counts);
        counts
    }

    fn count(&self, batch: &BatchCounts) {
        let counters = &self.counters;
        // First that they have left the ring: see `stats::balance`.
        counters.received.add(batch.received);
        counters.held.add(batch.held);
        for (&reason, packets) in DiscardReason::ALL.iter().zip(batch.refused) {
            counters.discards.add(reason, packets);
        }
        counters.hardware_clock_off.add(batch.clock_off);
        if batch.received > 0 {
            counters.lull.end();
        }
    }

    /// Carries out the table's actions, and adds what happened in it to the counters. Hints for the
    /// kernel go to `tell`, which returns the entry that a connection has got in the kernel's table, or
    /// 0.
    pub fn act(&mut self, mut tell: impl FnMut(Hint) -> u32) {
        let mut admitted = Vec::new();
        for action in self.table.actions() {
            match action {
                Action::Write(job) => self.outbox.add(job),
                Action::Tell(hint) => {
                    let entry = tell(hint);
                    if let Hint::Admit(key, _, cookie) = hint
                        && entry != 0
                    {
                        admitted.push((key, cookie, entry));
                    }
                }
            }
        }
        for (key, cookie, entry) in admitted {
            self.table.bind(&key, cookie, entry);
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
