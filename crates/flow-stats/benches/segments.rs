//! What a packet costs: to decode it, and to add it to its connection.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flow_stats::{Connection, Segment};

/// Payload of a segment.
const SEGMENT: u32 = 1448;

/// A packet with timestamps, as IP carries it.
fn packet(downstream: bool, [sequence, acknowledgment, payload]: [u32; 3], time: u32) -> Vec<u8> {
    let mut ip = vec![0x45, 0];
    ip.extend(
        u16::try_from(52 + payload)
            .unwrap_or(u16::MAX)
            .to_be_bytes(),
    );
    ip.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    let (mut source, mut destination) = ([192, 0, 2, 1, 0, 80], [192, 0, 2, 2, 0xc0, 0]);
    if !downstream {
        std::mem::swap(&mut source, &mut destination);
    }
    ip.extend(
        [
            &source[..4],
            &destination[..4],
            &source[4..],
            &destination[4..],
        ]
        .concat(),
    );
    ip.extend(sequence.to_be_bytes());
    ip.extend(acknowledgment.to_be_bytes());
    ip.extend([0x80, 0x10, 0x20, 0, 0, 0, 0, 0, 1, 1, 8, 10]);
    ip.extend(time.to_be_bytes());
    ip.extend(time.to_be_bytes());
    ip
}

/// A download: an acknowledgment for every second segment, a few segments later; of `every` segments one is
/// lost and sent again, which the receiver says with duplicate acknowledgments.
fn download(every: u32) -> Vec<(i64, Vec<u8>)> {
    let mut packets = Vec::new();
    let mut held = None;
    for number in 0..10_000_u32 {
        let start = number.wrapping_mul(SEGMENT);
        let now = i64::from(number) * 12_000;
        packets.push((now, packet(true, [start, 1, SEGMENT], number / 80)));
        if number % every == every - 1 {
            held = Some(start);
        }
        if number < 32 {
            continue;
        }
        match held {
            Some(lost) if number.wrapping_mul(SEGMENT).wrapping_sub(lost) > 40 * SEGMENT => {
                packets.push((now, packet(true, [lost, 1, SEGMENT], number / 80)));
                held = None;
            }
            Some(lost) => packets.push((now, packet(false, [1, lost, 0], number / 80))),
            None if number % 2 == 0 => {
                let acknowledged = (number - 30).wrapping_mul(SEGMENT);
                packets.push((now, packet(false, [1, acknowledged, 0], number / 80)));
            }
            None => {}
        }
    }
    packets
}

fn decoded(packets: &[(i64, Vec<u8>)]) -> Vec<Segment> {
    let segment = |(time, ip): &(i64, Vec<u8>)| Segment::of_ip(*time, ip, 1500, 1);
    packets
        .iter()
        .map(|packet| segment(packet).expect("it is TCP"))
        .collect()
}

fn whole(segments: &[Segment]) -> Connection {
    let mut connection = Connection::new(&segments[0]);
    segments[1..]
        .iter()
        .for_each(|segment| connection.add(segment));
    connection
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("segments");
    for (name, every) in [("clean", u32::MAX), ("lossy", 100)] {
        let packets = download(every);
        let segments = decoded(&packets);
        group.throughput(Throughput::Elements(segments.len() as u64));
        group.bench_function(format!("decode/{name}"), |bencher| {
            bencher.iter(|| decoded(&packets).len());
        });
        group.bench_function(format!("add/{name}"), |bencher| {
            bencher.iter(|| whole(&segments));
        });
    }
    group.finish();
    // Ten packets, as most connections have: what a row costs beside them.
    let segments = decoded(&download(u32::MAX)[..10]);
    criterion.bench_function("row/10 packets", |bencher| {
        bencher.iter(|| whole(&segments).row());
    });
}

criterion_group!(all, benches);
criterion_main!(all);
