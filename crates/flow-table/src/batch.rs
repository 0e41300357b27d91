//! Takes records from a ring in batches.

use std::collections::VecDeque;

use model::{BootNanos, DiscardReason, FlowEvent, WallClock};
use packet_headers_common::Packet;

use crate::table::FlowTable;

/// Takes records one after another, and counts them together, because the counters are shared.
pub struct Batch<'a> {
    table: &'a mut FlowTable,
    clock: &'a WallClock,
    events: &'a mut VecDeque<FlowEvent>,
    counts: BatchCounts,
}

/// The outcome of a batch: each record is held or refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Records taken.
    pub received: u64,
    /// Packets that the table holds now.
    pub held: u64,
    /// Packets whose NIC timestamp was rejected, and that have the kernel's timestamp instead.
    pub clock_off: u64,
    /// Packets that the table refused, by [`DiscardReason`].
    pub refused: [u64; DiscardReason::COUNT],
}

impl FlowTable {
    /// Begins a batch of records in the form that they have in the ring. Each of the `events` takes
    /// effect between the packets that came before and after it.
    pub fn batch<'a>(
        &'a mut self,
        clock: &'a WallClock,
        events: &'a mut VecDeque<FlowEvent>,
    ) -> Batch<'a> {
        Batch::new(self, clock, events)
    }
}

impl<'a> Batch<'a> {
    fn new(
        table: &'a mut FlowTable,
        clock: &'a WallClock,
        events: &'a mut VecDeque<FlowEvent>,
    ) -> Self {
        Self {
            table,
            clock,
            events,
            counts: BatchCounts::default(),
        }
    }

    /// Takes the next record.
    #[inline]
    pub fn take(&mut self, record: &[u8]) {
        self.counts.received += 1;
        match self.sort(record) {
            Ok(()) => self.counts.held += 1,
            Err(reason) => self.counts.refused[reason as usize] += 1,
        }
    }

    fn sort(&mut self, record: &[u8]) -> Result<(), DiscardReason> {
        let parsed = Packet::parse(record);
        let Ok(packet) = &parsed else {
            return Err(DiscardReason::BadRecord);
        };
        let at = BootNanos(packet.boot_ns);
        while let Some(event) = self.events.pop_front_if(|event| event.at() < at) {
            self.table.on_event(event);
        }
        let mut time = self.clock.wall(at);
        if let Some(told) = packet.hardware_ns {
            match WallClock::hardware(time, told) {
                Some(told) => time = told,
                None => self.counts.clock_off += 1,
            }
        }
        self.table.on_packet(packet, time, self.clock)
    }

    /// Ends the batch.
    #[must_use]
    pub fn finish(self) -> BatchCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests;
