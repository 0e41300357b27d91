//! Takes the records of one turn, sorted by connection: each connection is looked up once, and its
//! memory is touched at one time.

use std::collections::VecDeque;

use hashbrown::HashMap;
use model::{BootNanos, Close, DiscardReason, FlowEvent, FlowUuid, WallClock};
use packet_headers_common::{FlowKey, Packet};

use self::order::Order;
use crate::table::{Cursor, FlowTable};

mod order;

/// What comes together with a batch of records.
#[derive(Debug)]
pub struct Arrivals<'a> {
    /// The clock that dates the packets.
    pub clock: &'a WallClock,
    /// Begins and ends of connections. Each takes effect between the packets of its connection that
    /// came before and after it; those that took effect are removed.
    pub events: &'a mut VecDeque<FlowEvent>,
    /// Whether there are further records, later than these. Then events that are later than these
    /// stay, too.
    pub more: bool,
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

/// Memory that one batch leaves to the next.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    order: Order,
    /// Events, each until it takes effect.
    happened: Vec<Option<FlowEvent>>,
}

/// A record in the form that it has in memory shared with the kernel, and when its packet passed.
#[derive(Debug, Clone, Copy)]
struct Passed<'ring> {
    at: u64,
    record: &'ring [u8],
}

impl FlowTable {
    /// Takes a batch of records in the form that the kernel programs give them. Those of a connection
    /// take effect in the order of time, whatever their order is here; a record may be no earlier than
    /// the latest one of the batch before, or only by so little that packets can have overtaken each
    /// other.
    pub fn take<'ring>(
        &mut self,
        records: impl IntoIterator<Item = &'ring [u8]>,
        arrivals: Arrivals<'_>,
    ) -> BatchCounts {
        let mut batches = std::mem::take(&mut self.batches);
        let counts = batches.take(self, records.into_iter(), arrivals);
        self.batches = batches;
        counts
    }

    /// The four-tuple of the connection that was closed, if it is known here.
    fn key_of(&self, close: &Close, opened: &HashMap<FlowUuid, FlowKey>) -> Option<FlowKey> {
        let known = || {
            let id = self.state.connections.named(&close.uuid)?;
            Some(self.state.connections.get(id).key())
        };
        let key = close.key.or_else(known);
        key.or_else(|| opened.get(&close.uuid).copied())
    }
}

impl Batches {
    fn take<'ring>(
        &mut self,
        table: &mut FlowTable,
        records: impl Iterator<Item = &'ring [u8]>,
        arrivals: Arrivals<'_>,
    ) -> BatchCounts {
        let Arrivals {
            clock,
            events,
            more,
        } = arrivals;
        self.order.clear();
        let (mut counts, mut latest) = (BatchCounts::default(), 0);
        let mut passed = Vec::with_capacity(records.size_hint().0);
        for record in records {
            counts.received += 1;
            let Some((at, digest)) = Packet::glance(record) else {
                counts.add(Err(DiscardReason::BadRecord));
                continue;
            };
            latest = latest.max(at);
            self.order.add(digest);
            passed.push(Passed { at, record });
        }
        let until = if more { latest } else { u64::MAX };
        self.add_events(table, events, BootNanos(until));
        self.order.sort();
        let mut cursor = Cursor::default();
        for place in self.order.places() {
            let time = |&item: &u64| time(order::number(item), &passed, &self.happened);
            if !place.is_sorted_by_key(time) {
                place.sort_by_key(time);
            }
            for &item in &*place {
                let number = order::number(item);
                if let Some(passed) = passed.get(number) {
                    let outcome = pass(table, passed.record, (clock, &mut cursor), &mut counts.clock_off);
                    counts.add(outcome);
                    continue;
                }
                let event = self.happened.get_mut(number - passed.len());
                if let Some(event) = event.and_then(Option::take) {
                    cursor = Cursor::default();
                    table.on_event(event);
                }
            }
        }
        self.happened.clear();
        counts
    }

    /// Adds the events that are earlier than `until` to the items.
    fn add_events(
        &mut self,
        table: &mut FlowTable,
        events: &mut VecDeque<FlowEvent>,
        until: BootNanos,
    ) {
        let mut opened = HashMap::new();
        while let Some(event) = events.pop_front_if(|event| event.at() < until) {
            let key = match &event {
                FlowEvent::Open(open) => {
                    let key = FlowKey::new(open.local, open.remote);
                    opened.insert(open.uuid.clone(), key);
                    Some(key)
                }
                FlowEvent::Close(close) => table.key_of(close, &opened),
            };
            let Some(key) = key else {
                // No packet here can be of its connection.
                table.on_event(event);
                continue;
            };
            let (low, high) = key.ends();
            self.order.add(FlowKey::digest(&low, &high));
            self.happened.push(Some(event));
        }
    }
}

/// When an item took place. A packet that passed as an event happened comes before it.
#[inline]
fn time(number: usize, passed: &[Passed<'_>], happened: &[Option<FlowEvent>]) -> (u64, bool) {
    match passed.get(number) {
        Some(passed) => (passed.at, false),
        None => match happened.get(number - passed.len()) {
            Some(Some(event)) => (event.at().0, true),
            Some(None) | None => (u64::MAX, true),
        },
    }
}

/// A packet passed.
#[inline]
fn pass(
    table: &mut FlowTable,
    record: &[u8],
    (clock, cursor): (&WallClock, &mut Cursor),
    clock_off: &mut u64,
) -> Result<(), DiscardReason> {
    let parsed = Packet::parse(record);
    let Ok(packet) = &parsed else {
        return Err(DiscardReason::BadRecord);
    };
    let mut time = clock.wall(BootNanos(packet.boot_ns));
    if let Some(told) = packet.hardware_ns {
        match WallClock::hardware(time, told) {
            Some(told) => time = told,
            None => *clock_off += 1,
        }
    }
    table.on_packet_at(cursor, packet, time, clock)
}

impl BatchCounts {
    /// Adds what became of a record.
    #[inline]
    const fn add(&mut self, outcome: Result<(), DiscardReason>) {
        match outcome {
            Ok(()) => self.held += 1,
            Err(reason) => self.refused[reason as usize] += 1,
        }
    }
}

#[cfg(test)]
mod tests;
