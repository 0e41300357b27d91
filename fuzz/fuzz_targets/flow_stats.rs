//! Whatever the packets of a connection or of a UDP flow hold, and whenever they came, they are counted, and the figures
//! fit each other.
//!
//! The input is packets, one after the other: how many microseconds after the one before, how many segments it
//! stands for, how many bytes of it follow, and these.
#![no_main]

use flow_stats::{COLUMNS, Connection, Datagram, Datagrams, Direction, Row, Segment};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (mut rest, mut time) = (input, 0_i64);
    let mut connection: Option<Connection> = None;
    let mut flow: Option<Datagrams> = None;
    let (mut packets, mut datagrams) = (0, 0);
    while let Some((&[a, b, c, d, segments, length], behind)) = rest.split_first_chunk() {
        let (packet, behind) = behind.split_at(usize::from(length).min(behind.len()));
        rest = behind;
        let step = i64::from(i32::from_le_bytes([a, b, c, d]));
        time = time.saturating_add(step * 1000);
        let Ok(segment) = Segment::of_ip(time, packet, 100_000, segments.into()) else {
            if let Some(datagram) = Datagram::of_ip(time, packet, 100_000, segments.into()) {
                datagrams += 1;
                match &mut flow {
                    Some(flow) => flow.add(&datagram),
                    // To a server that is known, or not.
                    none => *none = Some(Datagrams::new(&datagram, a % 2 == 0)),
                }
            }
            continue;
        };
        packets += 1;
        match &mut connection {
            Some(connection) if connection.is_succeeded_by(&segment) => {
                check(&connection.row(), packets - 1);
                *connection = Connection::new(&segment);
                packets = 1;
            }
            Some(connection) => connection.add(&segment),
            none => *none = Some(Connection::new(&segment)),
        }
    }
    if let Some(connection) = connection {
        check(&connection.row(), packets);
    }
    if let Some(flow) = flow {
        let row = flow.row();
        check(&row, datagrams);
        let quic = &row.quic;
        let times = [
            quic.spin_min_rtt_us,
            quic.spin_rtt_p50_us,
            quic.spin_rtt_p95_us,
        ];
        assert!(times.is_sorted(), "{times:?}");
        assert!(quic.spin_samples.unwrap_or(0) <= datagrams);
    }
});

fn check(row: &Row, packets: u64) {
    assert_eq!(row.packets, packets);
    assert_eq!(row.values().count(), COLUMNS.len());
    for end in [&row.client, &row.server] {
        check_end(end);
    }
}

fn check_end(end: &Direction) {
    assert!(end.goodput_bytes <= end.payload_bytes);
    let again = end.retransmit_packets;
    assert!(again + end.reordered_packets + end.duplicate_packets <= end.packets);
    assert!(end.fast_retransmit_packets + end.timeout_retransmit_packets <= again);
    assert!(end.spurious_retransmit_packets <= again && end.upstream_lost_packets <= again);
    assert!(end.in_flight_mean_bytes.unwrap_or(0) <= end.in_flight_max_bytes);
    for times in [
        [
            end.min_rtt_us,
            end.rtt_p50_us,
            end.rtt_p95_us,
            end.rtt_p99_us,
        ],
        [
            end.ts_min_rtt_us,
            end.ts_rtt_p50_us,
            end.ts_rtt_p95_us,
            end.ts_rtt_p99_us,
        ],
    ] {
        assert!(times.is_sorted(), "{times:?}");
    }
}
