//! Demultiplexes: records of a ring into the flows of a table, and what the table wants done into
//! jobs. All that a shard does but for the kernel and the clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use packet_headers_common::Packet;

use super::outbox::Outbox;
use super::table::{Action, FlowTable, Hint};
use crate::accounts::Accounts;
use capture_files::Job;
use model::{BootNanos, Discard, FlowEvent, WallClock};

/// A table, and where what comes out of it goes.
pub struct Demux {
    /// The flows.
    pub table: FlowTable,
    /// What is counted.
    pub accounts: Arc<Accounts>,
    /// The way to the writer.
    pub outbox: Outbox,
}

/// Records that are taken one after another. They are counted together: the counters belong to all
/// shards.
pub struct Batch<'a> {
    table: &'a mut FlowTable,
    accounts: &'a Accounts,
    clock: &'a WallClock,
    events: &'a mut VecDeque<FlowEvent>,
    received: u64,
    held: u64,
    unbelieved: u64,
    refused: [u64; Discard::ALL.len()],
}

impl Demux {
    /// Begins a batch of records; each of the `events` takes effect between those that came before
    /// and after it.
    pub fn batch<'a>(
        &'a mut self,
        clock: &'a WallClock,
        events: &'a mut VecDeque<FlowEvent>,
    ) -> Batch<'a> {
        Batch {
            table: &mut self.table,
            accounts: &self.accounts,
            clock,
            events,
            received: 0,
            held: 0,
            unbelieved: 0,
            refused: [0; Discard::ALL.len()],
        }
    }

    /// Does what the table wants done; what the kernel is to know of it goes to `tell`.
    pub fn act(&mut self, mut tell: impl FnMut(Hint)) {
        let accounts = &self.accounts;
        for action in self.table.actions() {
            match action {
                Action::Spill(flow, meta, chunk) => self.outbox.add(Job {
                    flow,
                    meta,
                    chunk,
                    last: false,
                }),
                Action::Publish(flow, meta, chunk) => self.outbox.add(Job {
                    flow,
                    meta,
                    chunk,
                    last: true,
                }),
                Action::Tell(hint) => tell(hint),
                Action::Discard(reason, packets) => accounts.discard_held(reason, packets),
                Action::Opened => drop(accounts.opened.fetch_add(1, Ordering::Relaxed)),
                Action::Closed => drop(accounts.closed.fetch_add(1, Ordering::Relaxed)),
                Action::Empty => drop(accounts.empty.fetch_add(1, Ordering::Relaxed)),
                Action::Issue(issue) => accounts.events.add(issue, 1),
            }
        }
    }
}

impl Batch<'_> {
    /// Takes the next record.
    #[inline]
    pub fn take(&mut self, item: &[u8]) {
        self.received += 1;
        if let Err(reason) = self.sort(item) {
            self.refused[reason as usize] += 1;
        } else {
            self.held += 1;
        }
    }

    fn sort(&mut self, item: &[u8]) -> Result<(), Discard> {
        let parsed = Packet::parse(item);
        let Ok(packet) = &parsed else {
            return Err(Discard::BadRecord);
        };
        let at = BootNanos(packet.boot_ns);
        while let Some(event) = self.events.pop_front_if(|event| event.at() < at) {
            self.table.on_event(event);
        }
        let mut time = self.clock.wall(at);
        if let Some(told) = packet.hardware_ns {
            match WallClock::hardware(time, told) {
                Some(told) => time = told,
                None => self.unbelieved += 1,
            }
        }
        self.table.on_packet(packet, time)
    }

    /// Counts what was taken; how many records that were.
    pub fn count(self) -> u64 {
        let accounts = self.accounts;
        accounts.held.fetch_add(self.held, Ordering::Relaxed);
        accounts
            .hardware_clock_off
            .fetch_add(self.unbelieved, Ordering::Relaxed);
        for (&reason, packets) in Discard::ALL.iter().zip(self.refused) {
            accounts.discards.add(reason, packets);
        }
        accounts
            .received
            .fetch_add(self.received, Ordering::Relaxed);
        self.received
    }
}
