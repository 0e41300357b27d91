//! What is counted.

use super::exchange::{Exchange, client, server};

#[test]
fn packets_bytes_and_marks_are_counted_for_each_end() {
    let mut exchange = Exchange::open();
    exchange.at(20_000, client(1, 1).data(100).ecn(2).ttl(60));
    exchange.at(20_001, server(1, 101).ecn(3).flags(0x40));
    exchange.at(20_002, client(101, 1).data(50).flags(0x80));
    exchange.at(20_003, server(1, 151).fin());
    let row = exchange.row();
    let (client, server) = (&row.client, &row.server);
    assert_eq!(row.packets, 7);
    assert_eq!((client.packets, server.packets), (4, 3));
    assert_eq!((client.payload_packets, client.payload_bytes), (2, 150));
    assert_eq!(client.ip_bytes, 48 + 40 + 140 + 90);
    assert_eq!(
        (client.syn_packets, server.syn_packets, server.fin_packets),
        (1, 1, 1)
    );
    assert_eq!((client.pure_acks, server.pure_acks), (1, 1));
    assert_eq!((client.ect_packets, client.ce_packets), (1, 0));
    assert_eq!((server.ect_packets, server.ce_packets), (1, 1));
    assert_eq!((server.ece_count, client.cwr_packets), (1, 1));
    assert_eq!(
        (client.ttl_min, client.ttl_max, client.ttl_changes),
        (Some(60), Some(64), 2)
    );
    assert_eq!(client.acked_bytes, Some(150));
}

#[test]
fn packets_that_stand_for_several_segments_are_told_apart() {
    let mut exchange = Exchange::open();
    // The server's MSS is 1400.
    exchange.at(20_000, client(1, 1).data(1400));
    exchange.at(20_001, client(1401, 1).data(2801));
    exchange.at(20_002, client(4202, 1).data(1000).segments(5));
    // With timestamps, 1388 bytes fit.
    exchange.at(20_003, client(5202, 1).data(1389).ts(1, 1));
    let client = exchange.row().client;
    assert_eq!((client.packets, client.segments), (6, 2 + 1 + 3 + 5 + 2));
    assert_eq!(
        (client.offloaded_packets, client.largest_segment_bytes),
        (3, 1400)
    );
}

#[test]
fn packets_of_more_than_64_kib_have_their_length_from_the_wire() {
    for (one, other) in [
        ("192.0.2.1:5", "192.0.2.2:6"),
        ("[2001:db8::1]:5", "[2001:db8::2]:6"),
    ] {
        let mut exchange = Exchange::new();
        exchange.at(0, client(1, 1).data(180_000).between(one, other));
        exchange.at(1, client(180_001, 1).data(10).between(one, other));
        let row = exchange.row();
        assert_eq!(
            (row.client.goodput_bytes, row.client.gap_bytes),
            (180_010, 0)
        );
    }
}

#[test]
fn the_acknowledged_bytes_leave_out_syn_and_fin() {
    let mut exchange = Exchange::open();
    assert_eq!(exchange.row().client.acked_bytes, Some(0));
    exchange.at(20_000, client(1, 1).data(100).fin());
    exchange.at(21_000, server(1, 101));
    assert_eq!(exchange.row().client.acked_bytes, Some(100));
    exchange.at(22_000, server(1, 102));
    assert_eq!(exchange.row().client.acked_bytes, Some(100));
    let mut alone = Exchange::new();
    alone.at(0, client(0, 0).only(0x02));
    assert_eq!(alone.row().client.acked_bytes, None);
}
