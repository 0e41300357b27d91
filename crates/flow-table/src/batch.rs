//! Records of a ring, taken one after another.

use std::collections::VecDeque;

use model::{BootNanos, DiscardReason, FlowEvent, WallClock};
use packet_headers_common::Packet;

use crate::table::FlowTable;

/// Records that are taken one after another, and counted together: counters may be shared.
pub struct Batch<'a> {
    table: &'a mut FlowTable,
    clock: &'a WallClock,
    events: &'a mut VecDeque<FlowEvent>,
    counts: BatchCounts,
}

/// What became of a batch's records: each is held or refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Records that were taken.
    pub received: u64,
    /// Packets that the table holds.
    pub held: u64,
    /// Times of a NIC that were too far from the kernel's, which the packets have instead.
    pub clock_off: u64,
    /// Packets that are in no file, by [`DiscardReason`].
    pub refused: [u64; DiscardReason::COUNT],
}

impl<'a> Batch<'a> {
    pub(crate) fn new(
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
        self.table.on_packet(packet, time)
    }

    /// What was taken.
    #[must_use]
    pub fn finish(self) -> BatchCounts {
        self.counts
    }
}
