//! Histories of producers and a reader, with any records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use packet_headers_common::Packet;
use packet_headers_common::record::{MAX_HEADERS, boot_ns};
use packet_headers_common::segment::{LAST_BEGIN, Position, SEGMENT_ROOM};
use proptest::prelude::*;

use super::producer::{Lane, Producer, World, record};
use crate::reader::Reader;

/// Streams of a lane.
const STREAMS: u32 = 3;

fn reader(world: &Arc<World>) -> Reader<Arc<World>, Lane> {
    let free = [0, 1].map(|lane: usize| Lane(Arc::clone(&world.lanes[lane])));
    let streams = (0..2 * STREAMS).map(|stream| (stream, (stream % 2) as usize));
    Reader::new(Arc::clone(world), free, streams)
}

fn producers(world: &Arc<World>) -> Vec<Producer> {
    (0..2 * STREAMS)
        .map(|stream| Producer::new(world, stream, (stream % 2) as usize, LAST_BEGIN))
        .collect()
}

/// What is done next.
#[derive(Debug, Clone)]
enum Step {
    /// A stream writes so many records, with so many header bytes.
    Write(usize, usize, usize),
    /// The reader takes up to so many.
    Read(usize),
    /// The reader takes up to so many, and the streams write on meanwhile.
    ReadAndWrite(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let stream = 0..2 * STREAMS as usize;
    let step = prop_oneof![
        3 => (stream, 1..60usize, 40..=MAX_HEADERS).prop_map(|(s, n, h)| Step::Write(s, n, h)),
        1 => (1..200usize).prop_map(Step::Read),
        1 => (1..200usize).prop_map(Step::ReadAndWrite),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Records by stream, each with its time and length.
type Written = BTreeMap<usize, Vec<(u64, usize)>>;

struct History {
    producers: Vec<Producer>,
    now: u64,
    written: Written,
    refused: usize,
}

impl History {
    fn write(&mut self, stream: usize, header_len: usize) {
        self.now += 1;
        // The stream's number is in the time, so that a record tells where it is from.
        let time = self.now << 8 | stream as u64;
        let record = record(time, header_len);
        if self.producers[stream].write(&record) {
            let stream = self.written.entry(stream).or_default();
            stream.push((time, record.len()));
        } else {
            self.refused += 1;
        }
    }
}

/// Notes records, which must be whole.
fn note<'a>(records: impl Iterator<Item = &'a [u8]>, taken: &mut Written) -> Vec<u64> {
    let mut times = Vec::new();
    for found in records {
        let time = boot_ns(found).expect("a time");
        let header_len = usize::from(u16::from_ne_bytes([found[16], found[17]]));
        assert_eq!(found, record(time, header_len));
        let stream = taken.entry((time & 0xff) as usize).or_default();
        stream.push((time, found.len()));
        times.push(time);
    }
    times
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 128 }))]

    #[test]
    fn every_record_comes_out_once_and_in_order(steps in steps(), per_lane in 4..20u32) {
        let world = World::new(STREAMS as usize, per_lane);
        let mut reader = reader(&world);
        let producers = producers(&world);
        let mut history = History { producers, now: 0, written: Written::new(), refused: 0 };
        let mut taken = Written::new();
        for step in steps {
            match step {
                Step::Write(stream, count, header_len) => {
                    (0..count).for_each(|_| history.write(stream, header_len));
                }
                Step::Read(most) | Step::ReadAndWrite(most) => {
                    let batch = reader.read(most);
                    if matches!(step, Step::ReadAndWrite(_)) {
                        (0..2 * STREAMS as usize).for_each(|stream| history.write(stream, 66));
                    }
                    let times = note(batch.records(), &mut taken);
                    prop_assert!(times.len() <= most.max(2 * STREAMS as usize));
                }
            }
        }
        loop {
            let batch = reader.read(50);
            note(batch.records(), &mut taken);
            if !batch.more() {
                break;
            }
        }
        prop_assert_eq!(&taken, &history.written);
        // Each stream has the segment that it is in, and all others are free.
        for lane in [0, 1] {
            let in_use = history.written.keys().filter(|stream| *stream % 2 == lane).count();
            prop_assert_eq!(world.free(lane).len() + in_use, per_lane as usize);
        }
    }

    #[test]
    fn a_batch_that_is_cut_off_is_complete_up_to_a_moment(
        order in proptest::collection::vec(0..2 * STREAMS as usize, 100..400),
        most in 1..100usize,
    ) {
        let world = World::new(STREAMS as usize, 20);
        let mut reader = reader(&world);
        let producers = producers(&world);
        let mut history = History { producers, now: 0, written: Written::new(), refused: 0 };
        order.iter().for_each(|&stream| history.write(stream, 54));
        let mut last = 0;
        loop {
            let batch = reader.read(most);
            let times = note(batch.records(), &mut Written::new());
            prop_assert!(!times.is_empty());
            // All that is in this batch is later than all that was in the one before.
            prop_assert!(*times.iter().min().unwrap() > last);
            last = *times.iter().max().unwrap();
            if !batch.more() {
                break;
            }
        }
        prop_assert_eq!(last >> 8, order.len() as u64);
    }

    #[test]
    fn whatever_the_memory_says_reading_ends(
        lies in proptest::collection::vec((0..2 * STREAMS, any::<u64>(), 0..12u32, 0..40_000u32, 0..14u32), 1..40),
    ) {
        let world = World::new(STREAMS as usize, 6);
        let mut reader = reader(&world);
        let mut producers = producers(&world);
        for (stream, position, segment, end, next) in lies {
            for producer in &mut producers {
                producer.write(&record(1, 1000));
            }
            world.relink(segment, end, next);
            // Mostly of segments that there are.
            let near = position & 0xf_0000_ffff;
            world.lie(stream, Position(if position % 7 == 0 { position } else { near }));
            let batch = reader.read(usize::MAX);
            prop_assert!(batch.records().count() <= 2 * 6 * SEGMENT_ROOM);
            // Segments that nobody owns may come back twice: the account is broken, not the reader.
            world.lanes.iter().for_each(|lane| lane.lock().unwrap().clear());
        }
    }
}

#[test]
fn a_record_that_makes_no_sense_is_one_up_to_the_end_of_its_segment() {
    let world = World::new(STREAMS as usize, 4);
    let mut reader = reader(&world);
    let mut producers = producers(&world);
    let mut bad = record(2, 54);
    bad[16..18].copy_from_slice(&u16::MAX.to_ne_bytes());
    for record in [&record(1, 54), &bad, &record(3, 54)] {
        assert!(producers[0].write(record));
    }
    assert!(producers[2].write(&record(4, 54)));
    let batch = reader.read(usize::MAX);
    let lengths: Vec<_> = batch.records().map(<[u8]>::len).collect();
    assert_eq!(lengths, [88, 176, 88]);
    let bad = batch.records().nth(1).expect("a record");
    assert!(Packet::parse(bad).is_err());
}

#[test]
fn a_stream_that_leads_nowhere_is_one_bad_record_and_goes_on() {
    let world = World::new(STREAMS as usize, 4);
    let mut reader = reader(&world);
    let mut producers = producers(&world);
    producers[0].write(&record(1, 54));
    world.lie(0, Position::begin(3).after(SEGMENT_ROOM + 8));
    let batch = reader.read(usize::MAX);
    let records: Vec<_> = batch.records().collect();
    assert_eq!(records, [&[] as &[u8]]);
    assert!(Packet::parse(records[0]).is_err());
    drop(batch);
    // Said once.
    assert_eq!(reader.read(usize::MAX).records().count(), 0);
    producers[2].write(&record(5, 54));
    assert_eq!(reader.read(usize::MAX).records().count(), 1);
}

#[test]
fn fill_counts_until_all_is_read() {
    let world = World::new(STREAMS as usize, 4);
    let mut reader = reader(&world);
    let mut producers = producers(&world);
    (1..=10).for_each(|time| assert!(producers[0].write(&record(time, 54))));
    producers[1].write(&record(11, 66));
    assert!(reader.has_news());
    assert!(reader.read(4).more());
    assert!(!reader.read(100).more());
    assert_eq!(reader.fill(), [880, 104]);
    assert!(!reader.has_news());
    assert!(!reader.read(100).more());
    assert_eq!(reader.fill(), [0, 0]);
}

/// What loom cannot try: many records, on threads that run at the same time.
#[test]
fn threads_lose_and_mix_nothing() {
    let count = if cfg!(miri) { 100 } else { 20_000 };
    let world = World::new(STREAMS as usize, 8);
    let mut reader = reader(&world);
    let mut taken = Written::new();
    thread::scope(|scope| {
        for (stream, mut producer) in producers(&world).into_iter().enumerate() {
            scope.spawn(move || {
                for number in 1..=count {
                    let record = record(number << 8 | stream as u64, 40 + number as usize % 200);
                    while !producer.write(&record) {
                        thread::yield_now();
                    }
                }
            });
        }
        while taken.values().map(Vec::len).sum::<usize>() < count as usize * 2 * STREAMS as usize {
            note(reader.read(1000).records(), &mut taken);
        }
    });
    for (stream, records) in taken {
        let times: Vec<_> = records.iter().map(|(time, _)| *time).collect();
        let want: Vec<_> = (1..=count)
            .map(|number| number << 8 | stream as u64)
            .collect();
        assert_eq!(times, want);
    }
}
