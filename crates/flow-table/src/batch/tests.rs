//! What a batch counts, and when events take effect.

use std::time::Duration;

use model::{Open, Timing, UuidPrefix, Wanted};
use packet_headers_common::record::{FLAG_HARDWARE_TIME, RECORD_HEADER_LEN};
use packet_headers_common::{Endpoint, Role};

use super::*;
use crate::Limits;

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
    let uuid = UuidPrefix::new("host_1").unwrap().uuid(at);
    FlowEvent::Open(Open {
        at: BootNanos(at),
        opened: WallClock::apart(APART).wall(BootNanos(at)),
        uuid,
        local: Endpoint::v4([10, 0, 0, 1], 443),
        remote: Endpoint::v4([10, 0, 0, 2], 40_000),
        role: Some(Role::Accepting),
        cookie: at,
    })
}

/// Takes these records as one batch; the events that are left.
fn take(records: &[Vec<u8>], events: &[FlowEvent]) -> (BatchCounts, Vec<FlowEvent>) {
    let (mut table, clock) = (table(), WallClock::apart(APART));
    let mut events = events.iter().cloned().collect();
    let mut batch = table.batch(&clock, &mut events);
    for record in records {
        batch.take(record);
    }
    (batch.finish(), events.into())
}

#[test]
fn every_record_is_held_or_refused_with_a_reason() {
    let good = record(10, None);
    let cut = good[..good.len() - 1].to_vec();
    let (counts, _) = take(&[good.clone(), cut.clone(), good, vec![], cut], &[]);
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
    let (counts, _) = take(&told.map(|told| record(10, told)), &[]);
    assert_eq!((counts.held, counts.clock_off), (4, 2));
}

#[test]
fn an_event_takes_effect_between_the_packets_before_and_after_it() {
    let events = [open(5), open(9), open(10), open(11)];
    let (_, left) = take(&[record(10, None)], &events);
    assert_eq!(left, events[2..]);
    let (_, left) = take(&[record(10, None), record(12, None)], &events);
    assert_eq!(left, []);
}
