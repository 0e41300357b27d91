//! Every interleaving of a few steps, by loom.

use std::sync::Arc;

use packet_headers_common::record::boot_ns;

use super::producer::{Lane, Order, Producer, World, record};
use crate::reader::Reader;

fn reader(world: &Arc<World>, streams: &[(u32, usize)]) -> Reader<Arc<World>, Lane> {
    let free = [0, 1].map(|lane: usize| Lane(Arc::clone(&world.lanes[lane])));
    Reader::new(Arc::clone(world), free, streams.iter().copied())
}

/// Takes what is there: the times of the records, which must be whole.
fn take(reader: &mut Reader<Arc<World>, Lane>, times: &mut Vec<u64>) {
    for found in reader.read(usize::MAX).records() {
        let time = boot_ns(found).expect("a time");
        assert_eq!(found, record(time, 40));
        times.push(time);
    }
}

/// A producer that writes each record into a segment of its own, of which there are only two: it takes
/// one as soon as it was given back.
fn written_again_only_when_read(order: Order) {
    loom::model(move || {
        let world = World::with_order(1, 2, order);
        let mut reader = reader(&world, &[(0, 0)]);
        let mut producer = Producer::new(&world, 0, 0, 0);
        let thread = loom::thread::spawn(move || {
            (1..=3)
                .filter(|&time| producer.write(&record(time, 40)))
                .collect::<Vec<_>>()
        });
        let mut times = Vec::new();
        take(&mut reader, &mut times);
        take(&mut reader, &mut times);
        let written = thread.join().unwrap();
        take(&mut reader, &mut times);
        assert_eq!(times, written);
        // One is the stream's.
        assert_eq!(world.free(0).len(), 1);
    });
}

#[test]
fn a_segment_is_written_again_only_when_it_has_been_read() {
    written_again_only_when_read(Order::Stores);
}

#[test]
fn where_stores_have_no_order_a_grace_period_gives_it() {
    written_again_only_when_read(Order::GracePeriods);
}

/// Two processors that take from the same free segments.
fn two_processors(order: Order) {
    let mut model = loom::model::Builder::new();
    // Three threads: all interleavings take minutes, and those with few changes of thread show as much.
    model.preemption_bound = Some(2);
    model.check(move || {
        let world = World::with_order(2, 3, order);
        let mut reader = reader(&world, &[(0, 0), (1, 0)]);
        let threads = [0, 1].map(|stream: u32| {
            let mut producer = Producer::new(&world, stream, 0, 0);
            loom::thread::spawn(move || {
                let times = [1, 2].map(|time| time + 100 * u64::from(stream));
                times.map(|time| (time, producer.write(&record(time, 40))))
            })
        });
        let mut times = Vec::new();
        take(&mut reader, &mut times);
        let written = threads.map(|thread| thread.join().unwrap());
        take(&mut reader, &mut times);
        let written = written.iter().flatten().filter(|(_, written)| *written);
        let mut written: Vec<_> = written.map(|(time, _)| *time).collect();
        times.sort_unstable();
        written.sort_unstable();
        assert_eq!(times, written);
    });
}

#[test]
fn two_processors_share_a_lane() {
    two_processors(Order::Stores);
}

#[test]
fn two_processors_without_an_order_share_a_lane() {
    two_processors(Order::GracePeriods);
}
