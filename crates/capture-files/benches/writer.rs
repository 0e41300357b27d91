//! How long the writer takes: for a packet by format and compression, and for a short file.

use std::sync::Arc;
use std::time::Duration;

use capture_files::{
    Compression, Directories, FileEvent, FileNaming, FileOptions, FlowMeta, Format, Job, Layout,
    Observer, PacketBuffer, Record, Writer,
};
use criterion::{BatchSize, Bencher, Criterion, Throughput, criterion_group, criterion_main};
use model::{UuidPrefix, WallNanos};
use packet_headers_common::{Direction, Endpoint, LinkType};
use tempfile::TempDir;

/// Packets of a chunk: about as many as fill a buffer.
const CHUNK: u64 = 700;

/// Chunks of a file.
const CHUNKS: u64 = 16;

/// Short files that are made in one go.
const FILES: u64 = 100;

/// When the first packet passes, in nanoseconds: 2023-11-14T22:13:20Z.
const BEGIN: u64 = 1_700_000_000_000_000_000;

const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 443);
const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 50_000);

/// The headers of packet `n` of a download: Ethernet, IPv4, and TCP with timestamps. The fields
/// that differ from packet to packet do so here, as compression depends on them.
fn headers(n: u64, at: u64) -> [u8; 66] {
    let mut headers = [0; 66];
    let mut put = |place: usize, bytes: &[u8]| {
        headers[place..place + bytes.len()].copy_from_slice(bytes);
    };
    let (from, to) = if n.is_multiple_of(2) {
        (CLIENT, SERVER)
    } else {
        (SERVER, CLIENT)
    };
    let sequence = (n as u32).wrapping_mul(1448);
    let millis = (at / 1_000_000) as u32;
    put(0, &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00]);
    put(14, &[0x45, 0, 0x05, 0xdc, 0, 0, 0x40, 0, 64, 6]);
    put(18, &(n as u16).to_be_bytes());
    put(26, &from.0);
    put(30, &to.0);
    put(34, &from.1.to_be_bytes());
    put(36, &to.1.to_be_bytes());
    put(38, &sequence.to_be_bytes());
    put(42, &(sequence / 2).to_be_bytes());
    put(46, &[0x80, 0x10, 0x01, 0xf5, 0, 0, 0, 0, 1, 1, 8, 10]);
    put(58, &millis.to_be_bytes());
    put(62, &millis.wrapping_sub(40).to_be_bytes());
    headers
}

/// A job for a flow: so many packets.
fn job(layout: Layout, flow: u64, packets: u64, last: bool) -> Job {
    let mut buffer = PacketBuffer::new(layout);
    for n in 0..packets {
        let at = BEGIN + n * 10_000;
        buffer.push_record(&Record {
            time: WallNanos(at),
            wire_len: 1514,
            ifindex: 2,
            segments: 1,
            direction: if n.is_multiple_of(2) {
                Direction::Ingress
            } else {
                Direction::Egress
            },
            link_type: LinkType::Ethernet,
            l3: 14,
            l4: 34,
            headers: &headers(n, at),
        });
    }
    let prefix = UuidPrefix::new("host_1700000000_unsafe").expect("a prefix");
    Job {
        flow,
        meta: FlowMeta {
            uuid: prefix.uuid(flow),
            opened: WallNanos(BEGIN),
            local: Endpoint::v4(SERVER.0, SERVER.1),
            remote: Endpoint::v4(CLIENT.0, CLIENT.1),
        },
        chunk: buffer.take(),
        last,
        totals: None,
        owner: None,
    }
}

/// Fails if a file could not be written.
struct Check;

impl Observer for Check {
    fn observe(&mut self, event: FileEvent<'_>) {
        match event {
            FileEvent::Spill(_)
            | FileEvent::Grown { .. }
            | FileEvent::Rename(_)
            | FileEvent::Sync(_)
            | FileEvent::Published(_) => {}
            FileEvent::Dropped(..)
            | FileEvent::Deferred(..)
            | FileEvent::StillDeferred(..)
            | FileEvent::Abandoned(..)
            | FileEvent::NotSynced(_)
            | FileEvent::Removed(_)
            | FileEvent::LeftOut(_)
            | FileEvent::NoFile(_) => panic!("{event:?}"),
        }
    }
}

fn options(naming: FileNaming) -> FileOptions {
    FileOptions {
        naming,
        level: None,
        anonymizer: None,
        application: "a benchmark",
    }
}

/// Does the same jobs again and again, each time into a new directory.
fn write(bencher: &mut Bencher<'_>, naming: FileNaming, jobs: &[Job]) {
    let options = options(naming);
    let start = || {
        let home = TempDir::new().expect("a directory");
        let (data, partial) = (home.path().join("data"), home.path().join("partial"));
        let directories = Directories::prepare(&data, &partial).expect("directories");
        let writer = Writer::new(directories, &options, Arc::default(), Check).expect("a writer");
        (home, writer, jobs.to_vec())
    };
    bencher.iter_batched(
        start,
        |(home, mut writer, jobs)| {
            for job in jobs {
                writer.write(job);
            }
            (home, writer)
        },
        BatchSize::PerIteration,
    );
}

fn packets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("writer");
    group.throughput(Throughput::Elements(CHUNK * CHUNKS));
    let kinds = [
        ("pcap", Format::Pcap, Compression::None),
        ("pcapng", Format::Pcapng, Compression::None),
        ("pcap.gz", Format::Pcap, Compression::Gzip),
        ("pcap.zst", Format::Pcap, Compression::Zstd),
    ];
    for (name, format, compression) in kinds {
        let naming = FileNaming {
            format,
            compression,
            ..FileNaming::PLAIN
        };
        let layout = options(naming).layout();
        let jobs = (1..=CHUNKS).map(|n| job(layout, 1, CHUNK, n == CHUNKS));
        let jobs: Vec<_> = jobs.collect();
        group.bench_function(name, |bencher| write(bencher, naming, &jobs));
    }
    group.finish();
}

fn short_files(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("files of 8 packets");
    group.throughput(Throughput::Elements(FILES));
    let jobs: Vec<_> = (0..FILES)
        .map(|flow| job(Layout::Pcap, flow, 8, true))
        .collect();
    group.bench_function("pcap", |bencher| write(bencher, FileNaming::PLAIN, &jobs));
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
