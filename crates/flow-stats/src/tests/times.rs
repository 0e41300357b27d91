//! Round-trip times, bytes in flight, throughput.

use super::exchange::{Exchange, client, server};

#[test]
fn an_acknowledgment_times_the_packet_that_ends_where_it_ends() {
    let mut exchange = Exchange::open();
    exchange.at(20_000, client(1, 1).data(100));
    exchange.at(21_000, client(101, 1).data(100));
    exchange.at(22_000, client(201, 1).data(100));
    exchange.at(30_000, server(1, 201));
    // In the middle of a packet: of nothing that was sent alone.
    exchange.at(31_000, server(1, 250));
    exchange.at(32_500, server(1, 301));
    let row = exchange.row();
    // The SYN's 10 ms, 9 ms, and 10.5 ms.
    assert_eq!(
        (row.client.rtt_samples, row.client.min_rtt_us),
        (3, Some(9000))
    );
    let p99 = row.client.rtt_p99_us.unwrap();
    assert!(p99.abs_diff(10_500) <= 84, "{p99}");
    // The SYN-ACK's.
    assert_eq!(
        (row.server.rtt_samples, row.server.min_rtt_us),
        (1, Some(1000))
    );
}

#[test]
fn what_was_sent_twice_is_not_timed() {
    let mut exchange = Exchange::open();
    exchange.at(20_000, client(1, 1).data(100));
    exchange.at(20_500, client(101, 1).data(100));
    exchange.at(25_000, client(1, 1).data(100));
    exchange.at(25_001, server(1, 101));
    assert_eq!(exchange.row().client.rtt_samples, 1, "the SYN's");
    exchange.at(26_000, server(1, 201));
    assert_eq!(
        exchange.row().client.rtt_samples,
        2,
        "sent once, and acknowledged alone"
    );
}

#[test]
fn an_acknowledgment_beyond_what_was_sent_twice_is_not_timed() {
    let mut exchange = Exchange::open();
    exchange.at(20_000, client(1, 1).data(100));
    exchange.at(20_500, client(101, 1).data(100));
    exchange.at(25_000, client(1, 1).data(100));
    exchange.at(25_001, server(1, 201));
    assert_eq!(exchange.row().client.rtt_samples, 1);
}

#[test]
fn what_had_arrived_before_is_not_timed() {
    let mut exchange = Exchange::open();
    exchange.at(20_000, client(1, 1).data(100));
    exchange.at(20_001, client(101, 1).data(100));
    exchange.at(25_000, server(1, 1).sack(&[[101, 201]]));
    // The first one was late, on its way to the server.
    exchange.at(40_000, server(1, 201));
    assert_eq!(exchange.row().client.rtt_samples, 1);
}

#[test]
fn timestamps_time_retransmissions_too() {
    let mut exchange = Exchange::new();
    exchange.at(0, client(1, 1).data(100).ts(100, 50));
    exchange.at(500, client(101, 1).data(100).ts(100, 50));
    exchange.at(300_000, client(1, 1).data(100).ts(400, 50));
    exchange.at(302_000, server(1, 201).ts(60, 400));
    // Echoed again, with nothing new.
    exchange.at(390_000, server(1, 201).ts(70, 400));
    let row = exchange.row();
    assert_eq!((row.client.rtt_samples, row.client.ts_rtt_samples), (0, 1));
    assert_eq!(row.client.ts_min_rtt_us, Some(2000));
    // The client has acknowledged nothing new.
    assert_eq!(row.server.ts_rtt_samples, 0);
}

#[test]
fn a_clock_that_is_set_back_gives_no_times() {
    let mut exchange = Exchange::open();
    exchange.at(20_000, client(1, 1).data(100).ts(5, 5));
    exchange.at(-5_000_000, server(1, 101).ts(6, 5));
    let row = exchange.row();
    assert_eq!((row.client.rtt_samples, row.client.ts_rtt_samples), (1, 0));
    assert_eq!(row.start_time.0, -5_000_000_000);
}

#[test]
fn more_on_the_way_than_is_measured_is_said() {
    let mut exchange = Exchange::open();
    for at in 0..200 {
        exchange.at(20_000 + i64::from(at), client(1 + 10 * at, 1).data(10));
    }
    for at in 1..=200 {
        exchange.at(30_000 + i64::from(at), server(1, 1 + 10 * at));
    }
    let client = exchange.row().client;
    assert_eq!((client.unmeasured_packets, client.rtt_samples), (72, 129));
}

#[test]
fn bytes_in_flight_are_what_is_not_acknowledged() {
    let mut exchange = Exchange::open();
    exchange.at(20_000, client(1, 1).data(1000));
    exchange.at(30_000, client(1001, 1).data(1000));
    exchange.at(50_000, server(1, 1001));
    exchange.at(60_000, server(1, 2001));
    // Nothing is, so that this time does not count.
    exchange.at(90_000, client(2001, 1));
    let client = exchange.row().client;
    assert_eq!(client.in_flight_max_bytes, 2000);
    // 1000 for 10 ms, 2000 for 20 ms, 1000 for 10 ms.
    assert_eq!(client.in_flight_mean_bytes, Some(1500));
}

#[test]
fn throughput_is_by_the_time_that_it_took() {
    let mut exchange = Exchange::open();
    for at in 0..10 {
        exchange.at(
            100_000 + i64::from(at) * 50_000,
            client(1 + 1000 * at, 1).data(1000),
        );
    }
    exchange.at(560_000, client(9001, 1).data(1000));
    let row = exchange.row().client;
    // 10,000 bytes in 460 ms: until the last packet, as nothing is acknowledged.
    assert_eq!(row.goodput_bps, Some(10_000 * 8 * 1000 / 460));
    exchange.at(600_000, server(1, 10_001));
    let row = exchange.row().client;
    assert_eq!(row.goodput_bps, Some(160_000));
    // Two packets in each 100 ms, of which the last has one of new bytes and one that came again.
    assert_eq!(row.peak_goodput_bps, Some(160_000));
    assert_eq!(row.first_payload_time.unwrap().0, 100_000_000);
    assert_eq!(row.last_payload_time.unwrap().0, 560_000_000);
}

#[test]
fn a_short_transfer_has_no_peak() {
    let mut exchange = Exchange::open();
    exchange.at(20_000, client(1, 1).data(1000));
    let row = exchange.row().client;
    assert_eq!(
        (row.goodput_bps, row.peak_goodput_bps),
        (None, None),
        "it took no time"
    );
    exchange.at(30_000, server(1, 1001));
    assert_eq!(exchange.row().client.goodput_bps, Some(800_000));
    // Long after, it is closed.
    exchange.at(900_000, client(1001, 1).fin());
    exchange.at(910_000, server(1, 1002));
    assert_eq!(exchange.row().client.goodput_bps, Some(800_000));
}

#[test]
fn windows_are_scaled_if_both_ends_scale() {
    let mut exchange = Exchange::open();
    exchange.at(20_000, server(1, 1).window(2000));
    exchange.at(20_001, server(1, 1).window(500));
    let row = exchange.row();
    assert_eq!(row.server.window_min_bytes, Some(500 << 8));
    assert_eq!(row.server.window_max_bytes, Some(2000 << 8));
    assert_eq!(row.server.window_changes, 2);
    assert_eq!(row.client.window_max_bytes, Some(1000 << 7));

    let mut exchange = Exchange::new();
    exchange.at(0, client(0, 0).only(0x02).scale(7));
    exchange.at(10, server(0, 1).only(0x12));
    exchange.at(20, client(1, 1));
    assert_eq!(exchange.row().client.window_max_bytes, Some(1000));

    let mut exchange = Exchange::new();
    exchange.at(20, client(1, 1));
    assert_eq!(exchange.row().client.window_max_bytes, None);
}
