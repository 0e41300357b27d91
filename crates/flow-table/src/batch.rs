//! Takes the records of one turn in the order of time, with the events between them; or by connection,
//! where only the order within each matters, and each has several.
//!
//! They come stream by stream, as processors wrote them, and lie still while they are taken.

use std::collections::VecDeque;

use model::{BootNanos, DiscardReason, FlowEvent, WallClock};
use packet_headers_common::Packet;
use packet_headers_common::record::Glance;

use crate::table::FlowTable;

/// Records that are looked at together before they are taken one by one: their connections come from
/// memory at the same time then, and not each after the one before.
const WINDOW: usize = 16;

/// The fewest records for each connection, on average, that are brought together by connection; and the
/// most records, as they have to stay in the processor's cache meanwhile.
const LEAST_OF_EACH: usize = 4;
const MOST_TOGETHER: usize = 8 * 1024;

/// Groups into which they are brought. Connections may share one.
const GROUPS: usize = 256;

/// How many records a batch should have for each connection.
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
    /// Events of a batch.
    happened: Vec<FlowEvent>,
}

/// A record in the form that it has in memory shared with the kernel.
#[derive(Debug, Clone, Copy)]
struct Passed<'ring> {
    /// When its packet passed.
    at: u64,
    /// As [`Packet::entry`].
    entry: u32,
    record: &'ring [u8],
}

impl Batches {
    /// How many records the table's next batch should have at most.
    #[must_use]
    pub fn most(table: &FlowTable) -> usize {
        let enough = table.number_of_connections().saturating_mul(ENOUGH_OF_EACH);
        enough.clamp(SMALLEST, LARGEST)
    }

    /// Takes a batch of records in the form that the kernel programs give them. Those of a connection take
    /// effect in the order of time, whatever their order is here; a record may be no earlier than the latest one
    /// of the batch before, or only by so little that packets can have overtaken each other.
    pub fn take<'ring>(
        &mut self,
        table: &mut FlowTable,
        records: impl IntoIterator<Item = &'ring [u8]>,
        arrivals: Arrivals<'_>,
    ) -> BatchCounts {
        let Arrivals {
            clock,
            events,
            more,
        } = arrivals;
        let mut counts = BatchCounts::default();
        let (mut passed, may_group) = in_order(records, &mut counts);
        let until = match passed.last() {
            Some(last) if more => last.at,
            Some(_) | None => u64::MAX,
        };
        while let Some(event) = events.pop_front_if(|event| event.at() < BootNanos(until)) {
            self.happened.push(event);
        }
        self.happened.sort_by_key(FlowEvent::at);
        let enough = LEAST_OF_EACH * table.number_of_connections();
        if may_group && self.happened.is_empty() && (enough..=MOST_TOGETHER).contains(&passed.len())
        {
            passed = together(&passed);
        }
        let mut happened = self.happened.drain(..);
        let mut next = happened.next();
        // A packet that passed as an event happened comes before it.
        let time_of = |event: &Option<FlowEvent>| event.as_ref().map_or(u64::MAX, |it| it.at().0);
        let mut due = time_of(&next);
        for window in passed.chunks(WINDOW) {
            window.iter().for_each(|passed| table.fetch(passed.entry));
            for passed in window {
                while due < passed.at
                    && let Some(event) = std::mem::replace(&mut next, happened.next())
                {
                    table.on_event(event);
                    due = time_of(&next);
                }
                counts.pass(table, passed.record, clock);
            }
        }
        next.into_iter()
            .chain(happened)
            .for_each(|event| table.on_event(event));
        counts
    }
}

/// Brings the records of each connection together, and leaves them in their order. Each connection's
/// memory is then touched at one time, instead of that of all connections in turn.
fn together<'ring>(passed: &[Passed<'ring>]) -> Vec<Passed<'ring>> {
    // The lowest bits of a place in the kernel's table are those of a hash.
    let group = |passed: &Passed<'_>| passed.entry as usize % GROUPS;
    let mut begins = [0; GROUPS];
    passed.iter().for_each(|passed| begins[group(passed)] += 1);
    let mut begin = 0;
    for number in &mut begins {
        begin += std::mem::replace(number, begin);
    }
    let mut grouped = passed.to_vec();
    for passed in passed {
        let next = &mut begins[group(passed)];
        grouped[*next] = *passed;
        *next += 1;
    }
    grouped
}

/// Brings records in the order of time. Those that are none are counted. Also whether all of them are of
/// connections that have an entry, and none can begin another: then only the order within each matters.
fn in_order<'ring>(
    records: impl IntoIterator<Item = &'ring [u8]>,
    counts: &mut BatchCounts,
) -> (Vec<Passed<'ring>>, bool) {
    let records = records.into_iter();
    let mut passed = Vec::with_capacity(records.size_hint().0);
    let (mut latest, mut is_sorted, mut all_known) = (0, true, true);
    for record in records {
        counts.received += 1;
        let Some(glance) = Glance::of(record) else {
            counts.add(Err(DiscardReason::BadRecord));
            continue;
        };
        let (at, entry) = (glance.boot_ns, glance.entry);
        is_sorted &= latest <= at;
        all_known &= entry != 0 && !glance.is_first_syn;
        latest = at;
        passed.push(Passed { at, entry, record });
    }
    if !is_sorted {
        // Each stream is in order: the sort merges them.
        passed.sort_by_key(|passed| passed.at);
    }
    (passed, all_known)
}

impl BatchCounts {
    /// A packet passed.
    #[inline]
    fn pass(&mut self, table: &mut FlowTable, record: &[u8], clock: &WallClock) {
        let Ok(packet) = Packet::parse(record) else {
            return self.add(Err(DiscardReason::BadRecord));
        };
        let mut time = clock.wall(BootNanos(packet.boot_ns));
        if let Some(told) = packet.hardware_ns {
            match WallClock::hardware(time, told) {
                Some(told) => time = told,
                None => self.clock_off += 1,
            }
        }
        self.add(table.on_packet(&packet, time, clock));
    }

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
