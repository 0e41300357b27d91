//! What a batch counts, and when events take effect.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Close, Open, Timing, UuidPrefix, Wanted};
use packet_headers_common::record::{
    FLAG_HARDWARE_TIME, RECORD_HEADER_LEN, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN,
};
use packet_headers_common::{Endpoint, Role};
use proptest::prelude::*;

use super::*;
use crate::{Action, Hint, Limits};

/// Bytes of the headers in a record: IPv4 and TCP behind Ethernet.
const HEADERS: u8 = 14 + 20 + 20;

/// The wall clock minus the boot clock, in nanoseconds.
const APART: i64 = 1_700_000_000_000_000_000;

fn table() -> FlowTable {
    let second = Duration::from_secs(1);
    let timing = Timing {
        uuid_wait: 5 * second,
        capture: 30 * second,
        idle: 10 * second,
        linger: second,
        spill: 2 * second,
    };
    let limits = Limits {
        memory: 4 << 20,
        flows: 100,
    };
    FlowTable::new(timing, limits, Wanted::All)
}

/// The record of a packet that passed at `at`, with the time that a NIC told.
fn record(at: u64, hardware: Option<u64>) -> Vec<u8> {
    let mut record = vec![0; RECORD_HEADER_LEN];
    record[..8].copy_from_slice(&at.to_ne_bytes());
    for (place, field) in [(16, HEADERS.into()), (18, 14u16), (20, 34)] {
        record[place..place + 2].copy_from_slice(&field.to_ne_bytes());
    }
    record[29] = TCP_ACK;
    if let Some(told) = hardware {
        record[28] |= FLAG_HARDWARE_TIME;
        record.extend(told.to_ne_bytes());
    }
    record.extend([2; 12]);
    record.extend([0x08, 0x00, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0]);
    record.extend([10, 0, 0, 2, 10, 0, 0, 1, 0x9c, 0x40, 1, 0xbb]);
    record.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x10, 0, 0, 0, 0, 0, 0]);
    record
}

fn open(at: u64) -> FlowEvent {
    event(at, 0x40, at)
}

/// An Open of client `n`, by this name.
fn event(at: u64, n: u16, name: u64) -> FlowEvent {
    let uuid = UuidPrefix::new("host_1").unwrap().uuid(name);
    FlowEvent::Open(Open {
        at: BootNanos(at),
        opened: WallClock::apart(APART).wall(BootNanos(at)),
        uuid,
        local: Endpoint::v4([10, 0, 0, 1], 443),
        remote: Endpoint::v4([10, 0, 0, 2], 0x9c00 | n),
        role: Some(Role::Accepting),
        cookie: name,
        owner: None,
    })
}

/// Takes these records as one batch; the events that are left.
fn take(records: &[Vec<u8>], events: &[FlowEvent], more: bool) -> (BatchCounts, Vec<FlowEvent>) {
    let (mut table, clock) = (table(), WallClock::apart(APART));
    let mut batches = Batches::default();
    let mut events = events.iter().cloned().collect();
    let arrivals = Arrivals {
        clock: &clock,
        events: &mut events,
        more,
    };
    let counts = batches.take(&mut table, records.iter().map(Vec::as_slice), arrivals);
    (counts, events.into())
}

#[test]
fn every_record_is_held_or_refused_with_a_reason() {
    let good = record(10, None);
    let cut = good[..good.len() - 1].to_vec();
    let records = [good.clone(), cut.clone(), good, vec![], cut];
    let (counts, _) = take(&records, &[], false);
    let mut want = BatchCounts {
        received: 5,
        held: 2,
        ..BatchCounts::default()
    };
    want.refused[DiscardReason::BadRecord as usize] = 3;
    assert_eq!(counts, want);
}

#[test]
fn a_nic_clock_that_is_off_is_counted() {
    let passed = 10 + APART.cast_unsigned();
    let told = [passed, passed - 5_000, passed + 37_000_000_000, 1].map(Some);
    let (counts, _) = take(&told.map(|told| record(10, told)), &[], false);
    assert_eq!((counts.held, counts.clock_off), (4, 2));
}

#[test]
fn an_event_that_further_records_may_come_before_stays() {
    let events = [open(5), open(9), open(10), open(11)];
    let (_, left) = take(&[record(10, None)], &events, true);
    assert_eq!(left, events[2..]);
    let (_, left) = take(&[record(10, None), record(12, None)], &events, true);
    assert_eq!(left, []);
    let (_, left) = take(&[record(10, None)], &events, false);
    assert_eq!(left, []);
}

#[test]
fn candidates_of_a_batch_wait_as_long_as_if_they_had_come_alone() {
    let (mut table, clock) = (table(), WallClock::apart(APART));
    let mut batches = Batches::default();
    let second = 1_000_000_000;
    let records: Vec<_> = (0..60u8)
        .map(|n| {
            let mut record = record(u64::from(n) * second / 10, None);
            record[RECORD_HEADER_LEN + 35] = n;
            record[29] = if n % 2 == 0 { TCP_SYN } else { TCP_ACK };
            record[RECORD_HEADER_LEN + 47] = record[29];
            record
        })
        .collect();
    let arrivals = Arrivals {
        clock: &clock,
        events: &mut VecDeque::new(),
        more: false,
    };
    let counts = batches.take(&mut table, records.iter().map(Vec::as_slice), arrivals);
    assert_eq!(counts.held, 60);
    for given_up in [0, 1, 20, 59, 60] {
        // Each waits for five seconds.
        let now = 5 * second + given_up * second / 10 - 1;
        while table.tick(BootNanos(now)) {}
        assert_eq!(table.stats().unnamed, given_up);
    }
}

/// Something that happens in a history.
#[derive(Debug, Clone)]
enum Happens {
    Packet(u16, u8),
    Open(u16),
    Close(u16, bool),
}

fn history() -> impl Strategy<Value = Vec<Happens>> {
    let flags = prop_oneof![
        8 => Just(TCP_ACK), 2 => Just(TCP_SYN), 2 => Just(TCP_FIN | TCP_ACK), 1 => Just(TCP_RST)
    ];
    let happens = prop_oneof![
        20 => (0u16..4, flags).prop_map(|(n, flags)| Happens::Packet(n, flags)),
        2 => (0u16..4).prop_map(Happens::Open),
        1 => (0u16..4, any::<bool>()).prop_map(|(n, keyed)| Happens::Close(n, keyed)),
    ];
    proptest::collection::vec(happens, 1..900)
}

/// What comes out of a table: for each name, the bytes of its packets and whether it is finished; how many
/// packets were held, refused and discarded; and what was wrong with events.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    files: BTreeMap<String, (Vec<Vec<u8>>, bool)>,
    held: u64,
    refused: [u64; DiscardReason::COUNT],
    discarded: [u64; DiscardReason::COUNT],
    issues: Vec<u64>,
}

/// The entries of the kernel's table, by client: those that there have been, of which records of the next
/// batch have the last.
type Entries = [u32; 4];

/// The record of a packet of a client, with the entry that its connection has, and a sequence number.
fn numbered(at: u64, (client, flags): (u16, u8), entry: u32, sequence: u64) -> Vec<u8> {
    let mut record = record(at, None);
    record[RECORD_HEADER_LEN + 35] = client as u8;
    record[24..28].copy_from_slice(&entry.to_ne_bytes());
    record[29] = flags;
    record[RECORD_HEADER_LEN + 47] = flags;
    record[RECORD_HEADER_LEN + 38..][..4].copy_from_slice(&(sequence as u32).to_be_bytes());
    record
}

/// The Close of what an Open began.
fn close(open: &FlowEvent, keyed: bool) -> FlowEvent {
    FlowEvent::Close(Close {
        at: open.at(),
        uuid: open.uuid().clone(),
        key: open.key().filter(|_| keyed),
        totals: None,
        owner: None,
    })
}

/// Runs a history by batches of so many packets and events. `lanes` decides which of three streams has a
/// packet, and so in which order the table is given them. `entries`: whether connections get entries in
/// the kernel's table.
fn run(history: &[Happens], size: usize, lanes: u64, entries: bool) -> Outcome {
    let (mut table, clock) = (table(), WallClock::apart(APART));
    let mut batches = Batches::default();
    let (mut outcome, mut names) = (Outcome::default(), [0u64; 4]);
    let mut shown = Entries::default();
    let mut at = 1_000;
    let begin = at;
    for part in history.chunks(size) {
        let (mut streams, mut events) = (vec![Vec::new(); 3], VecDeque::new());
        for happens in part {
            at += 1_000_000;
            match *happens {
                Happens::Packet(n, flags) => {
                    let record = numbered(at, (n, flags), shown[usize::from(n)], at - begin);
                    // Which processor has it.
                    let stream = (at / 1_000_000).wrapping_mul(lanes) % 3;
                    streams[stream as usize].push(record);
                }
                Happens::Open(n) => {
                    names[usize::from(n)] = at;
                    events.push_back(event(at, n, at));
                }
                Happens::Close(n, keyed) => {
                    events.push_back(close(&event(at, n, names[usize::from(n)]), keyed));
                }
            }
        }
        let arrivals = Arrivals {
            clock: &clock,
            events: &mut events,
            more: false,
        };
        let records = streams.iter().flatten().map(Vec::as_slice);
        let counts = batches.take(&mut table, records, arrivals);
        outcome.held += counts.held;
        for (sum, more) in outcome.refused.iter_mut().zip(counts.refused) {
            *sum += more;
        }
        outcome.act(&mut table, entries.then_some(&mut shown));
    }
    while table.shut_down() {}
    let counts = table.take_counts();
    outcome.discarded = counts.discarded;
    outcome.issues = counts.issues.to_vec();
    outcome.act(&mut table, None);
    outcome
}

impl Outcome {
    /// Carries out what the table asks for. A new entry has the place of the client before, and takes it
    /// from whoever has it.
    fn act(&mut self, table: &mut FlowTable, mut shown: Option<&mut Entries>) {
        let actions: Vec<_> = table.actions().collect();
        for action in actions {
            match (action, &mut shown) {
                (Action::Write(job), _) => {
                    let name = job.meta.uuid.to_string();
                    let (packets, finished) = self.files.entry(name).or_default();
                    packets.extend(job.chunk.records().map(|record| record.headers.to_vec()));
                    *finished |= job.last;
                }
                (Action::Tell(Hint::Admit(key, _, cookie)), Some(shown)) => {
                    let client = usize::from(key.ends().1.port() & 3);
                    let entry = ((cookie as u32) << 18) | ((client as u32 + 3) & 3);
                    shown[client] = entry;
                    table.bind(&key, cookie, entry);
                }
                (Action::Tell(_) | Action::Count(_), _) => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn brought_together_the_records_of_a_connection_are_in_their_order(
        entries in proptest::collection::vec(1u32..600, 0..900)
    ) {
        let record = |(at, &entry): (usize, &u32)| Passed { at: at as u64, entry, record: &[] };
        let passed: Vec<_> = entries.iter().enumerate().map(record).collect();
        let grouped = together(&passed);
        let mut groups = Vec::new();
        for group in grouped.chunk_by(|one, next| one.entry % 256 == next.entry % 256) {
            prop_assert!(group.is_sorted_by_key(|passed| passed.at));
            groups.push(group[0].entry % 256);
        }
        prop_assert!(groups.is_sorted() && groups.windows(2).all(|two| two[0] != two[1]));
        let mut all: Vec<_> = grouped.iter().map(|passed| passed.at).collect();
        all.sort_unstable();
        prop_assert!(all.into_iter().eq(0..entries.len() as u64));
    }

    /// One at a time is what the rules are written for, and what the table's model test drives.
    #[test]
    fn a_batch_comes_to_what_one_at_a_time_comes_to(
        history in history(), size in 1usize..900, lanes in 1u64..3
    ) {
        prop_assert_eq!(run(&history, size, lanes, true), run(&history, 1, 1, false));
    }
}
