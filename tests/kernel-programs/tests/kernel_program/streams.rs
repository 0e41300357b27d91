//! How packets cross to user space: to the byte, from every processor at once, and soon.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aya::maps::{Array, Map, MapData, loaded_maps};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use etherparse::{PacketBuilder, TcpOptionElement};
use kernel_tests::frames::{PAYLOAD, extension, frame_v4, frame_v6, with_extensions};
use kernel_tests::kernel::{Kernel, Taken, in_a_minute};
use model::Filters;
use packet_headers::kernel::ring::PacketReader;
use packet_headers_common::record::{boot_ns, split_first};
use packet_headers_common::segment::{SEGMENT_HEADER_LEN, SEGMENT_LEN};
use packet_headers_common::{Endpoint, FlowKey, KernelDiscard, Packet, PacketCounter};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::admission::key;

/// Keeps this thread on one processor.
pub(crate) fn pin(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set).expect("a processor");
}

/// Runs something on one processor; the thread of the test stays as it is.
fn pinned<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let work = scope.spawn(|| {
            pin(processors()[0]);
            work()
        });
        work.join().expect("what a test promises")
    })
}

/// The processors that this thread may run on.
pub(crate) fn processors() -> Vec<usize> {
    let set = sched_getaffinity(None).expect("processors");
    (0..CpuSet::MAX_CPU)
        .filter(|number| set.is_set(*number))
        .collect()
}

/// Runs a program so many times on a frame.
pub(crate) fn run(program: &SchedClassifier, frame: &[u8], repeat: u32) {
    let options = TestRunOptions {
        data_in: Some(frame),
        repeat,
        ..TestRunOptions::default()
    };
    program.test_run(options).expect("a test run");
}

/// TCP options of so many units of 4 bytes.
fn options(units: usize) -> Vec<TcpOptionElement> {
    vec![TcpOptionElement::Noop; 4 * units]
}

/// IPv4 and IPv6 frames with headers of every length, from 54 on, and where they end.
fn frames_of_every_length(payload: &[u8]) -> Vec<(Vec<u8>, usize)> {
    let mut frames = Vec::new();
    for units in 0..=10 {
        frames.push((frame_v4(&options(units), payload), 54 + 4 * units));
        for more in 1..=10u8 {
            let mut frame = Vec::new();
            let ip = etherparse::Ipv4Header {
                source: [192, 0, 2, 1],
                destination: [192, 0, 2, 2],
                options: vec![1; usize::from(more) * 4]
                    .as_slice()
                    .try_into()
                    .expect("options"),
                ..etherparse::Ipv4Header::default()
            };
            let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
                .ip(etherparse::IpHeaders::Ipv4(
                    ip,
                    etherparse::Ipv4Extensions::default(),
                ))
                .tcp(50_000, 443, 7, 1000)
                .options(&options(units))
                .expect("options that fit");
            builder.write(&mut frame, payload).expect("a frame");
            frames.push((frame, 54 + 4 * units + 4 * usize::from(more)));
        }
    }
    for units in 0..=8 {
        let frame = frame_v6(payload);
        let run: Vec<_> = (units > 0)
            .then(|| (60, extension(units)))
            .into_iter()
            .collect();
        let end = 74 + usize::from(units) * 8;
        frames.push((with_extensions(&frame, &run), end));
    }
    frames
}

/// The programs' memory for records, as the kernel has it: of the one kernel with so many segments.
fn segments(count: u32) -> Array<MapData, [u8; SEGMENT_LEN]> {
    let mut maps = loaded_maps().filter_map(Result::ok);
    let found =
        maps.find(|map| map.name_as_str() == Some("SEGMENTS") && map.max_entries() == count);
    let id = found.expect("the map of segments").id();
    let map = MapData::from_id(id).expect("the map of segments");
    Map::from_map_data(map)
        .expect("a map")
        .try_into()
        .expect("an array")
}

/// What memory has before it is written.
const OLD: u8 = 0x77;

/// No byte that is not of a record, or of its padding, has been written, but zeros.
fn nothing_lies_behind_the_records(segments: &Array<MapData, [u8; SEGMENT_LEN]>) {
    for number in 0..segments.len() {
        let segment = segments.get(&number, 0).expect("a segment");
        let mut rest = &segment[SEGMENT_HEADER_LEN..];
        let begins = |time| time != 0 && time != u64::from_ne_bytes([OLD; 8]);
        while boot_ns(rest).is_some_and(begins) {
            let (record, after) = split_first(rest);
            Packet::parse(record).expect("a record");
            rest = after;
        }
        assert!(
            rest.iter().all(|byte| [0, OLD].contains(byte)),
            "payload in segment {number}"
        );
    }
}

#[test]
fn not_a_byte_behind_the_headers_enters_the_shared_memory() {
    const SEGMENTS: u32 = 101;
    // So many segments that none is filled twice, and that no other test has as many.
    let mut kernel = Kernel::load(&Filters::default(), |options| {
        options.candidate_ring = (SEGMENTS - 4) * SEGMENT_LEN as u32;
    });
    let mut memory = segments(SEGMENTS);
    for number in 0..SEGMENTS {
        memory.set(number, [OLD; SEGMENT_LEN], 0).expect("set");
    }
    let mut sent = Vec::new();
    for payload in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 40, 700] {
        for (frame, end) in frames_of_every_length(&PAYLOAD[..payload]) {
            let tagged = [&frame[..12], &[0x81, 0, 0x20, 0x64], &frame[12..]].concat();
            sent.push(("ph_raw_egress", frame[14..].to_vec(), end - 14));
            sent.push(("ph_eth_egress", tagged, end + 4));
            sent.push(("ph_eth_ingress", frame, end));
        }
    }
    pinned(|| {
        for (program, frame, _) in &sent {
            run(kernel.programs.classifier(program).expect("one"), frame, 1);
        }
    });
    let batch = kernel.packets.read(usize::MAX);
    let mut records = batch.records();
    for (program, frame, end) in sent {
        // As long as it says, and with zeros behind the headers.
        let taken = Taken::from_record(records.next().expect("a record"));
        assert_eq!(taken.headers, frame[..end], "{program}");
    }
    assert_eq!(records.next(), None);
    nothing_lies_behind_the_records(&memory);
}

/// A frame of a connection of its own.
pub(crate) fn frame_from(port: u16) -> Vec<u8> {
    let mut frame = frame_v4(&options(3), PAYLOAD);
    frame[34..36].copy_from_slice(&port.to_be_bytes());
    frame
}

/// The connection of [`frame_from`].
pub(crate) fn key_from(port: u16) -> FlowKey {
    FlowKey::new(
        Endpoint::v4([192, 0, 2, 1], port),
        Endpoint::v4([192, 0, 2, 2], 443),
    )
}

/// Takes what is there; how many records each port has had. They must be whole, and each stream's in
/// the order of time.
fn take(packets: &mut PacketReader, most: usize, counts: &mut [u64]) {
    for record in packets.read(most).records() {
        let packet = Packet::parse(record).expect("a record that can be read");
        let port = packet.source().port();
        assert_eq!(packet.headers, &frame_from(port)[..66]);
        counts[usize::from(port)] += 1;
    }
}

#[test]
fn processors_at_the_same_time_lose_and_mix_nothing() {
    const ROUNDS: u32 = 100;
    const REPEAT: u32 = 200;
    let mut kernel = Kernel::load(&Filters::default(), |options| {
        options.admitted_ring = 16 << 20;
        options.candidate_ring = 16 << 20;
    });
    // Two threads on each processor, one of each lane.
    let processors = processors();
    let ports: Vec<_> = (0..).zip(processors.repeat(2)).collect();
    for (port, _) in &ports[..processors.len()] {
        kernel.admission.admit(&key_from(*port), in_a_minute(), 0);
    }
    let mut counts = vec![0; 1 << 16];
    let program = kernel.programs.classifier("ph_eth_ingress").expect("one");
    let program: &SchedClassifier = program;
    let packets = &mut kernel.packets;
    let running = AtomicBool::new(true);
    thread::scope(|scope| {
        let threads: Vec<_> = (ports.iter())
            .map(|&(port, processor)| {
                scope.spawn(move || {
                    pin(processor);
                    let frame = frame_from(port);
                    (0..ROUNDS).for_each(|_| run(program, &frame, REPEAT));
                })
            })
            .collect();
        let reading = scope.spawn(|| {
            while running.load(Ordering::Acquire) {
                take(packets, 1000, &mut counts);
            }
        });
        threads
            .into_iter()
            .for_each(|thread| thread.join().expect("a run"));
        running.store(false, Ordering::Release);
        reading.join().expect("whole records");
    });
    take(&mut kernel.packets, usize::MAX, &mut counts);
    let counted = kernel.counters.read().expect("counters").packets;
    let sent = u64::from(ROUNDS * REPEAT);
    for (port, _) in &ports {
        assert_eq!(counts[usize::from(*port)], sent, "of port {port}");
    }
    let all = sent * ports.len() as u64;
    assert_eq!(counted.get(PacketCounter::Submitted), all);
    assert_eq!(counts.iter().sum::<u64>(), all);
}

#[test]
fn no_segment_is_lost_however_often_a_lane_is_full() {
    pinned(fill_and_empty);
}

fn fill_and_empty() {
    let mut kernel = Kernel::plain();
    let frame = frame_v4(&[], PAYLOAD);
    let mut taken = Vec::new();
    let mut lost = 0;
    for _ in 0..20 {
        let program = kernel.programs.classifier("ph_eth_ingress").expect("one");
        run(program, &frame, 2000);
        taken.push(kernel.packets.read(usize::MAX).records().count());
        let counts = kernel.counters.read().expect("counters").packets;
        let refused = counts.discarded(KernelDiscard::CandidateRingFull);
        assert_eq!(refused - lost + taken[taken.len() - 1] as u64, 2000);
        lost = refused;
        // The other lane has all its room still.
        kernel.admission.admit(&key(), in_a_minute(), 0);
        let program = kernel.programs.classifier("ph_eth_ingress").expect("one");
        run(program, &frame, 500);
        assert_eq!(kernel.packets.read(usize::MAX).records().count(), 500);
        kernel.admission.release(&key(), 0);
    }
    // Apart from the segment that the stream was in, it is the same each time.
    let (least, most) = (taken[1..].iter().min(), taken[1..].iter().max());
    let in_a_segment = SEGMENT_LEN / 88;
    assert!(
        most.expect("some") - least.expect("some") <= in_a_segment,
        "{taken:?}"
    );
}

#[test]
fn a_record_that_lies_on_an_idle_processor_wakes_the_sleeping_shard() {
    const ASLEEP: Duration = Duration::from_secs(1);
    // So large that the first segments wake nobody.
    let mut kernel = Kernel::load(&Filters::default(), |options| {
        options.admitted_ring = 16 << 20;
        options.candidate_ring = 16 << 20;
    });
    let frame = frame_v4(&[], PAYLOAD);
    let program = kernel.programs.classifier("ph_eth_ingress").expect("one");
    let program: &SchedClassifier = program;
    let packets = &mut kernel.packets;
    let mut latencies = [(); 9].map(|()| {
        thread::scope(|scope| {
            let sent = scope.spawn(|| {
                thread::sleep(Duration::from_millis(30));
                let sent = Instant::now();
                run(program, &frame, 1);
                sent
            });
            while packets.read(usize::MAX).records().count() == 0 {
                packets.sleep(ASLEEP).expect("epoll");
            }
            let seen = Instant::now();
            seen.saturating_duration_since(sent.join().expect("a run"))
        })
    });
    // A busy machine may be late, but not mostly by as much as if nothing had woken it.
    latencies.sort_unstable();
    let median = latencies[latencies.len() / 2];
    assert!(median < ASLEEP / 4, "{latencies:?}");
}

#[test]
fn a_shard_is_woken_when_much_is_waiting_and_not_for_each_packet() {
    const TICK: Duration = Duration::from_millis(20);
    let mut kernel = Kernel::load(&Filters::default(), |options| {
        options.admitted_ring = 4 << 20;
        options.candidate_ring = 4 << 20;
    });
    let frame = frame_v4(&[], PAYLOAD);
    let program = kernel.programs.classifier("ph_eth_ingress").expect("one");
    let packets = &mut kernel.packets;
    let mut waited = |count| {
        packets.wait(Duration::ZERO).expect("epoll");
        run(program, &frame, count);
        let began = Instant::now();
        packets.wait(TICK).expect("epoll");
        let waited = began.elapsed();
        drop(packets.read(usize::MAX));
        waited
    };
    // A busy machine may be late, but not each time.
    let few = (0..5).map(|_| waited(10)).max();
    let many = (0..5).map(|_| waited((2 << 20) / 88)).min();
    assert!(
        few >= Some(TICK) && many < Some(TICK / 2),
        "{few:?}, {many:?}"
    );
}
