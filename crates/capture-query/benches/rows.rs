//! Rows of a capture of many connections, and of many small files, on one thread.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use capture_query::{Audience, Filter, Problem, Progress, Source, rows, sources};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use row_formats::jsonl;

/// Connections of the large capture, and packets of each.
const CONNECTIONS: u32 = 1_000;
const LARGE: u32 = 500;

/// Small files, and packets of each.
const FILES: u32 = 5_000;
const SMALL: u32 = 10;

/// What takes rows and forgets them.
struct Nobody;

impl Audience<Vec<u8>> for Nobody {
    type Stop = ();

    fn row(&mut self, row: Vec<u8>) -> Result<(), ()> {
        black_box(row);
        Ok(())
    }

    fn problem(&mut self, problem: Problem) -> Result<(), ()> {
        panic!("{problem:?}");
    }

    fn tick(&mut self) {}
}

fn read(files: &[Source]) {
    let asked = (files, &Filter::default());
    let json = |row: flow_stats::Row, _: &Source| {
        let mut line = Vec::with_capacity(4_096);
        jsonl::put(&row, &mut line);
        line
    };
    rows(asked, 1, &Progress::default(), &mut Nobody, json).expect("nobody stops it");
}

fn header() -> Vec<u8> {
    let words = [0xa1b2_3c4d, 4 << 16 | 2, 0, 0, 262_144, 1_u32];
    words.map(u32::to_le_bytes).as_flattened().to_vec()
}

/// Appends packet `number` of a connection: two segments of the client, and the server's acknowledgment.
fn put_packet(connection: u32, number: u32, time: u64, file: &mut Vec<u8>) {
    let is_ack = number % 3 == 2;
    let payload: u16 = if is_ack { 0 } else { 1_448 };
    let sent = number / 3 * 2 * 1_448 + number % 3 * 1_448;
    let wire = 54 + u32::from(payload);
    let words = [
        (time / 1_000_000_000) as u32,
        (time % 1_000_000_000) as u32,
        54,
        wire,
    ];
    file.extend(words.map(u32::to_le_bytes).as_flattened());
    file.extend([0; 12]);
    file.extend([0x08, 0x00, 0x45, 0]);
    file.extend((40 + payload).to_be_bytes());
    file.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    let client = (0x0a00_0000 + connection).to_be_bytes();
    let server = [192, 0, 2, 1];
    let ports = [50_000_u16, 443].map(u16::to_be_bytes);
    let (ends, ports, numbers) = if is_ack {
        ([server, client], [ports[1], ports[0]], [1, sent])
    } else {
        ([client, server], ports, [sent, 1])
    };
    file.extend(ends.as_flattened());
    file.extend(ports.as_flattened());
    file.extend(numbers.map(u32::to_be_bytes).as_flattened());
    file.extend([0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
}

fn large(path: &Path) {
    let mut file = header();
    for number in 0..LARGE {
        for connection in 0..CONNECTIONS {
            let time = u64::from(number * CONNECTIONS + connection) * 1_000;
            put_packet(connection, number, time, &mut file);
        }
    }
    fs::write(path, file).expect("a capture");
}

fn small(directory: &Path) {
    for connection in 0..FILES {
        let mut file = header();
        for number in 0..SMALL {
            put_packet(connection, number, u64::from(number) * 1_000_000, &mut file);
        }
        let name = format!("host_1795910400_unsafe_{connection:016X}.pcap");
        fs::write(directory.join(name), file).expect("a capture");
    }
}

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, path: &Path, packets: u32) {
    let (files, errors) = sources(&[path.to_owned()]);
    assert!(errors.is_empty(), "{errors:?}");
    group.throughput(Throughput::Elements(packets.into()));
    group.bench_function(name, |bencher| bencher.iter(|| read(&files)));
}

fn all(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let many = directory.path().join("many");
    fs::create_dir(&many).expect("a directory");
    let one = directory.path().join("large.pcap");
    large(&one);
    small(&many);
    let mut group = criterion.benchmark_group("rows, packets");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5));
    measure(
        &mut group,
        "of 1000 connections in one file",
        &one,
        CONNECTIONS * LARGE,
    );
    measure(
        &mut group,
        "of 5000 files of 10 packets",
        &many,
        FILES * SMALL,
    );
    group.finish();
}

criterion_group!(benches, all);
criterion_main!(benches);
