//! How long the flow table takes: for a packet among so many flows, and for a short connection.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flow_table::FlowTable;
use model::{BootNanos, UuidPrefix, WallClock, WallNanos};
use packet_headers_common::Packet;
use packet_headers_common::record::TCP_ACK;

use crate::data_path::table;
use crate::traffic::{BEGIN, Connection, SHORT};

#[expect(dead_code, reason = "the bench needs the table only")]
mod data_path;
mod traffic;

/// Packets between two ticks.
const BATCH: u64 = 2_000;

fn prefix() -> UuidPrefix {
    UuidPrefix::new("host_1700000000_unsafe").expect("a prefix")
}

/// Gives the table a packet's record, as it is in the ring.
fn take(table: &mut FlowTable, item: &[u8], at: u64) {
    let packet = Packet::parse(item).expect("a record");
    table
        .on_packet(&packet, WallNanos(at), &WallClock::apart(0))
        .expect("a wanted packet");
}

/// Lets time pass, and throws away what is to be written.
fn tick(table: &mut FlowTable, now: u64) {
    table.tick(BootNanos(now));
    table.actions().for_each(|action| drop(black_box(action)));
}

fn packets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("on_packet");
    group.throughput(Throughput::Elements(1));
    for flows in [1, 100, 10_000] {
        group.bench_with_input(
            BenchmarkId::from_parameter(flows),
            &flows,
            |bencher, &flows| {
                let (mut table, prefix) = (table(), prefix());
                let mut connections: Vec<_> = (0..flows).map(Connection::new).collect();
                for connection in &connections {
                    table.on_event(connection.open(BEGIN, &prefix));
                }
                let mut sent = 0;
                bencher.iter(|| {
                    // Ten million packets a second: `--captureduration` does not pass.
                    let at = BEGIN + sent * 100;
                    let turn = sent as usize % connections.len();
                    take(&mut table, connections[turn].next(at, TCP_ACK, true), at);
                    sent += 1;
                    if sent % BATCH == 0 {
                        tick(&mut table, at);
                    }
                });
            },
        );
    }
    group.finish();
}

fn short_connections(criterion: &mut Criterion) {
    criterion.bench_function("open, 8 packets, close", |bencher| {
        let (mut table, prefix) = (table(), prefix());
        let (mut n, mut at) = (0, BEGIN);
        bencher.iter(|| {
            let mut connection = Connection::new(n);
            table.on_event(connection.open(at, &prefix));
            for (flags, by_client) in SHORT {
                at += 10_000;
                take(&mut table, connection.next(at, flags, by_client), at);
            }
            table.on_event(connection.close(at, &prefix));
            n += 1;
            if n % 250 == 0 {
                tick(&mut table, at);
            }
        });
    });
}

criterion_group!(benches, packets, short_connections);
criterion_main!(benches);
