//! How long the writer takes: for a packet by format and compression, and for a short file.

use std::sync::Arc;
use std::time::Duration;

use capture_files::PacketBuffer;
use capture_files::layout::{Compression, FlowMeta, Format, Naming};
use cost::path::writer;
use cost::traffic::{BEGIN, Connection};
use criterion::{BatchSize, Bencher, Criterion, Throughput, criterion_group, criterion_main};
use model::{UuidPrefix, WallNanos};
use packet_headers::accounts::Accounts;
use packet_headers::store::writer::{Job, Writer};
use packet_headers_common::record::TCP_ACK;
use packet_headers_common::{Endpoint, LinkType, Packet};
use tempfile::TempDir;

/// Packets of a chunk: about as many as fill a block.
const CHUNK: u64 = 700;

/// Chunks of a file.
const CHUNKS: u64 = 16;

/// Short files that are made in one go.
const FILES: u64 = 100;

/// A job for a flow: so many packets.
fn job(flow: u64, packets: u64, last: bool) -> Job {
    let (mut connection, mut block) = (Connection::new(flow as u32), PacketBuffer::default());
    for n in 0..packets {
        let at = BEGIN + n * 10_000;
        let item = connection.next(at, TCP_ACK, n % 2 == 0);
        let packet = Packet::parse(item).expect("a record");
        block.push(&packet, WallNanos(at));
    }
    let prefix = UuidPrefix::new("host_1700000000_unsafe").expect("a prefix");
    Job {
        flow,
        file: FlowMeta {
            uuid: prefix.uuid(flow),
            opened: WallNanos(BEGIN),
            link_type: LinkType::Ethernet,
            local: Endpoint::v4([192, 0, 2, 1], 443),
            remote: Endpoint::v4([10, 0, 0, 1], 50_000),
        },
        chunk: block.take(),
        last,
    }
}

/// Does the same jobs again and again, each time into a new directory.
fn work(bencher: &mut Bencher<'_>, naming: Naming, jobs: &[Job]) {
    let start = || {
        let directory = TempDir::new().expect("a directory");
        let accounts = Arc::new(Accounts::default());
        let writer = writer(directory.path(), naming, &accounts).expect("a writer");
        (directory, writer, jobs.to_vec())
    };
    let work = |(directory, mut writer, jobs): (TempDir, Writer, Vec<Job>)| {
        for job in jobs {
            writer.work(job);
        }
        (directory, writer)
    };
    bencher.iter_batched(start, work, BatchSize::PerIteration);
}

fn packets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("writer");
    group.throughput(Throughput::Elements(CHUNK * CHUNKS));
    let jobs: Vec<_> = (1..=CHUNKS).map(|n| job(1, CHUNK, n == CHUNKS)).collect();
    let kinds = [
        ("pcap", Format::Pcap, Compression::None),
        ("pcapng", Format::Pcapng, Compression::None),
        ("pcap.gz", Format::Pcap, Compression::Gzip),
        ("pcap.zst", Format::Pcap, Compression::Zstd),
    ];
    for (name, format, compression) in kinds {
        let naming = Naming {
            format,
            compression,
            ..Naming::PLAIN
        };
        group.bench_function(name, |bencher| work(bencher, naming, &jobs));
    }
    group.finish();
}

fn short_files(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("files of 8 packets");
    group.throughput(Throughput::Elements(FILES));
    let jobs: Vec<_> = (0..FILES).map(|flow| job(flow, 8, true)).collect();
    group.bench_function("pcap", |bencher| work(bencher, Naming::PLAIN, &jobs));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    targets = packets, short_files
}
criterion_main!(benches);
