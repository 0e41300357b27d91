//! Takes the records of one turn: by connection, where each is looked up once then, and its memory is
//! touched at one time; or in the order of time, where that costs less.

use std::collections::VecDeque;
use std::ops::Range;

use hashbrown::HashMap;
use model::{BootNanos, DiscardReason, FlowEvent, WallClock};
use packet_headers_common::{FlowKey, Packet};

use self::order::{Item, Order};
use crate::table::{Cursor, FlowTable};

mod order;

/// The most items that are sorted by connection. The records of more do not stay in a processor's cache
/// from the first look to the second, and to fetch them again in another order than they lie in costs
/// more than to fetch connections.
const MOST_SORTED: usize = 8 * 1024;

/// The fewest items for each connection that are sorted, on average.
const LEAST_OF_EACH: usize = 4;

/// How many records a batch should have for each connection: enough that a look-up serves several.
const ENOUGH_OF_EACH: usize = 16;

/// The fewest records that a batch should have, if there are as many.
const SMALLEST: usize = 2 * 1024;

/// The most records that a batch should have, so that a flood does not starve the rest of the work.
const LARGEST: usize = 16 * 1024;

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

/// Gives a table its records by batches. It is kept from one to the next for its memory.
#[derive(Debug, Default)]
pub struct Batches {
    order: Order,
    /// Events, each until it takes effect.
    happened: Vec<Option<FlowEvent>>,
    beginnings: Vec<Beginning>,
}

/// Items of one connection, in the order of time, of which the first may begin it.
#[derive(Debug)]
struct Beginning {
    at: u64,
    items: Range<usize>,
}

/// A record in the form that it has in memory shared with the kernel, and when its packet passed.
#[derive(Debug, Clone, Copy)]
struct Passed<'ring> {
    at: u64,
    record: &'ring [u8],
}

/// What a batch has, by the numbers of its items: records, then events.
struct Items<'a, 'ring> {
    passed: &'a [Passed<'ring>],
    happened: &'a mut [Option<FlowEvent>],
    clock: &'a WallClock,
    counts: &'a mut BatchCounts,
}

impl Batches {
    /// How many records the table's next batch should have at most.
    #[must_use]
    pub fn most(table: &FlowTable) -> usize {
        let enough = table.number_of_connections().saturating_mul(ENOUGH_OF_EACH);
        enough.clamp(SMALLEST, LARGEST)
    }

    /// Takes a batch of records in the form that the kernel programs give them. Those of a connection
    /// take effect in the order of time, whatever their order is here; a record may be no earlier than
    /// the latest one of the batch before, or only by so little that packets can have overtaken each
    /// other.
    pub fn take<'ring>(
        &mut self,
        table: &mut FlowTable,
        records: impl IntoIterator<Item = &'ring [u8]>,
        arrivals: Arrivals<'_>,
    ) -> BatchCounts {
        let records = records.into_iter();
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
            let Ok(glance) = Packet::parse(record) else {
                counts.add(Err(DiscardReason::BadRecord));
                continue;
            };
            let at = glance.boot_ns;
            latest = latest.max(at);
            let (low, high) = glance.key().ends();
            self.order
                .add(FlowKey::digest(&low, &high), glance.is_first_syn());
            passed.push(Passed { at, record });
        }
        let until = if more { latest } else { u64::MAX };
        self.add_events(table, events, BootNanos(until));
        let connections = table.number_of_connections();
        if (LEAST_OF_EACH * connections..=MOST_SORTED).contains(&self.order.len()) {
            self.order.sort();
        }
        let mut items = Items {
            passed: &passed,
            happened: &mut self.happened,
            clock,
            counts: &mut counts,
        };
        find_beginnings(&mut self.order, table, &mut items, &mut self.beginnings);
        // Candidates queue in the order in which they begin.
        self.beginnings.sort_by_key(|beginning| beginning.at);
        for Beginning { items: some, .. } in self.beginnings.drain(..) {
            items.take(table, Cursor::default(), self.order.some(some));
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
            let key = event.key().or_else(|| {
                let uuid = event.uuid();
                table.key_of(uuid).or_else(|| opened.get(uuid).copied())
            });
            let Some(key) = key else {
                // No packet here can be of its connection.
                table.on_event(event);
                continue;
            };
            if let FlowEvent::Open(open) = &event {
                opened.insert(open.uuid.clone(), key);
            }
            let (low, high) = key.ends();
            self.order.add(FlowKey::digest(&low, &high), false);
            self.happened.push(Some(event));
        }
    }
}

/// Takes what belongs to connections that there are, and finds what may begin others.
fn find_beginnings(
    order: &mut Order,
    table: &mut FlowTable,
    items: &mut Items<'_, '_>,
    beginnings: &mut Vec<Beginning>,
) {
    let mut end = 0;
    for place in order.places() {
        end += place.len();
        if !place.is_sorted_by_key(|item| items.time(*item)) {
            place.sort_by_key(|item| items.time(*item));
        }
        let mut begin = end - place.len();
        for part in place.chunk_by(|_, next| !next.begins()) {
            let (first, part_begin) = (part[0], begin);
            begin += part.len();
            let is_first = part_begin + place.len() == end;
            if is_first && !first.begins() && items.take_known(table, part) {
                continue;
            }
            beginnings.push(Beginning {
                at: items.time(first).0,
                items: part_begin..begin,
            });
        }
    }
}

impl Items<'_, '_> {
    /// When an item took place. A packet that passed as an event happened comes before it.
    #[inline]
    fn time(&self, item: Item) -> (u64, bool) {
        let number = item.number();
        match self.passed.get(number) {
            Some(passed) => (passed.at, false),
            None => match self.happened.get(number - self.passed.len()) {
                Some(Some(event)) => (event.at().0, true),
                Some(None) | None => (u64::MAX, true),
            },
        }
    }

    /// Takes items if the first is a packet of a connection that there is. Returns whether it is.
    #[inline]
    fn take_known(&mut self, table: &mut FlowTable, some: &[Item]) -> bool {
        let Some((first, rest)) = some.split_first() else {
            return true;
        };
        let Some(passed) = self.passed.get(first.number()) else {
            return false;
        };
        let Ok(packet) = Packet::parse(passed.record) else {
            return false;
        };
        let Some(mut cursor) = table.find(&packet.key()) else {
            return false;
        };
        self.pass(table, &mut cursor, &packet);
        self.take(table, cursor, rest);
        true
    }

    /// Takes items one after the other.
    fn take(&mut self, table: &mut FlowTable, mut cursor: Cursor, some: &[Item]) {
        for item in some {
            let number = item.number();
            if let Some(passed) = self.passed.get(number) {
                match Packet::parse(passed.record) {
                    Ok(packet) => self.pass(table, &mut cursor, &packet),
                    Err(_) => self.counts.add(Err(DiscardReason::BadRecord)),
                }
                continue;
            }
            let event = self.happened.get_mut(number - self.passed.len());
            if let Some(event) = event.and_then(Option::take) {
                cursor = Cursor::default();
                table.on_event(event);
            }
        }
    }

    /// A packet passed.
    #[inline]
    fn pass(&mut self, table: &mut FlowTable, cursor: &mut Cursor, packet: &Packet<'_>) {
        let mut time = self.clock.wall(BootNanos(packet.boot_ns));
        if let Some(told) = packet.hardware_ns {
            match WallClock::hardware(time, told) {
                Some(told) => time = told,
                None => self.counts.clock_off += 1,
            }
        }
        let outcome = table.on_packet_at(cursor, packet, time, self.clock);
        self.counts.add(outcome);
    }
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
