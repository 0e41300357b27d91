//! What is sent again, what comes late, and what is missing.

use super::exchange::{Exchange, client, server};
use crate::Direction;

/// 5 segments of 100 bytes from the client, from number 1 on, at 20 ms; what comes then is told by `then`.
fn with_five(then: impl FnOnce(&mut Exchange)) -> Direction {
    let mut exchange = Exchange::open();
    for at in 0..5 {
        exchange.at(20_000 + i64::from(at), client(1 + 100 * at, 1).data(100));
    }
    then(&mut exchange);
    exchange.row().client
}

#[test]
fn payload_that_comes_again_is_a_retransmission() {
    let client = with_five(|exchange| {
        exchange.at(25_000, client(101, 1).data(100));
    });
    assert_eq!((client.payload_bytes, client.goodput_bytes), (600, 500));
    assert_eq!(
        (client.retransmit_packets, client.retransmit_bytes),
        (1, 100)
    );
    let reasons = [
        client.fast_retransmit_packets,
        client.timeout_retransmit_packets,
    ];
    assert_eq!(
        reasons,
        [0, 0],
        "5 ms later, with no reason that can be seen"
    );
}

#[test]
fn new_bytes_of_a_retransmission_are_goodput() {
    let client = with_five(|exchange| {
        exchange.at(25_000, client(401, 1).data(300));
    });
    assert_eq!((client.payload_bytes, client.goodput_bytes), (800, 700));
    assert_eq!(
        (client.retransmit_packets, client.retransmit_bytes),
        (1, 300)
    );
}

#[test]
fn what_is_before_the_syn_is_nothing_new() {
    let mut exchange = Exchange::open();
    // From number -50 to 49, of which 0 is the SYN's.
    exchange.at(20_000, client(0_u32.wrapping_sub(50), 1).data(100));
    let client = exchange.row().client;
    assert_eq!((client.payload_bytes, client.goodput_bytes), (100, 49));
    assert_eq!((client.retransmit_packets, client.gap_bytes), (1, 0));
}

#[test]
fn three_duplicate_acknowledgments_make_it_fast() {
    let duplicates = |number| {
        with_five(|exchange| {
            exchange.at(30_000, server(1, 101));
            for at in 0..number {
                exchange.at(30_001 + at, server(1, 101));
            }
            exchange.at(30_100, client(101, 1).data(100));
        })
    };
    assert_eq!(duplicates(3).fast_retransmit_packets, 1);
    assert_eq!(duplicates(2).fast_retransmit_packets, 0);
}

#[test]
fn what_is_below_a_selective_acknowledgment_is_sent_fast() {
    let client = with_five(|exchange| {
        exchange.at(30_000, server(1, 101).sack(&[[301, 401]]));
        exchange.at(30_100, client(101, 1).data(100));
        exchange.at(30_101, client(201, 1).data(100));
        exchange.at(30_102, client(401, 1).data(100));
    });
    assert_eq!(
        (client.retransmit_packets, client.fast_retransmit_packets),
        (3, 2)
    );
}

#[test]
fn silence_makes_it_a_timeout_and_all_that_follows_belongs_to_it() {
    let client = with_five(|exchange| {
        exchange.at(30_000, server(1, 101));
        exchange.at(250_000, client(101, 1).data(100));
        exchange.at(260_000, server(1, 201));
        exchange.at(260_001, client(201, 1).data(100));
        exchange.at(260_002, client(301, 1).data(100));
        exchange.at(270_000, server(1, 501));
        exchange.at(270_001, client(501, 1).data(100));
    });
    assert_eq!(
        (client.retransmit_packets, client.timeout_retransmit_packets),
        (3, 3)
    );
}

#[test]
fn a_tail_loss_probe_is_neither_fast_nor_a_timeout() {
    let client = with_five(|exchange| {
        exchange.at(30_000, server(1, 101));
        // The last one of four that are unacknowledged.
        exchange.at(260_000, client(401, 1).data(100));
    });
    assert_eq!(client.retransmit_packets, 1);
    assert_eq!(
        (
            client.timeout_retransmit_packets,
            client.fast_retransmit_packets
        ),
        (0, 0)
    );
}

#[test]
fn a_dsack_says_which_retransmission_was_spurious() {
    let mut exchange = Exchange::open();
    exchange.at(20_000, client(1, 1).data(100));
    exchange.at(20_001, client(101, 1).data(100));
    exchange.at(250_000, client(1, 1).data(100));
    exchange.at(260_000, server(1, 201).sack(&[[1, 101]]));
    // Of a packet that the network has duplicated.
    exchange.at(260_001, server(1, 201).sack(&[[101, 201]]));
    let row = exchange.row();
    assert_eq!(row.client.spurious_retransmit_packets, 1);
    assert_eq!(
        (row.server.dsacks, row.server.sacks, row.server.sack_blocks),
        (2, 2, 2)
    );
}

#[test]
fn a_dsack_above_the_acknowledgment_is_within_the_second_block() {
    let client = with_five(|exchange| {
        exchange.at(25_000, client(301, 1).data(100));
        exchange.at(30_000, server(1, 101).sack(&[[301, 401], [201, 501]]));
    });
    assert_eq!(client.spurious_retransmit_packets, 1);
}

#[test]
fn a_packet_that_is_captured_twice_is_no_retransmission() {
    let mut exchange = Exchange::open();
    exchange.at(20_000, client(1, 1).data(100).id(7));
    exchange.at(20_005, client(1, 1).data(100).id(7));
    exchange.at(20_010, client(1, 1).data(100).id(8));
    let client = exchange.row().client;
    assert_eq!(
        (client.duplicate_packets, client.retransmit_packets),
        (1, 1)
    );
    assert_eq!((client.goodput_bytes, client.retransmit_bytes), (100, 100));
}

#[test]
fn a_duplicate_is_known_when_it_is_acknowledged() {
    let mut exchange = Exchange::open();
    exchange.at(20_000, client(1, 1).data(100).id(7));
    exchange.at(20_005, server(1, 101));
    exchange.at(20_010, client(1, 1).data(100).id(7));
    let client = exchange.row().client;
    assert_eq!(
        (client.duplicate_packets, client.retransmit_packets),
        (1, 0)
    );
}

#[test]
fn without_identification_a_duplicate_has_the_same_timestamp_and_comes_soon() {
    let copies = |microseconds: i64, timestamp| {
        let mut exchange = Exchange::open();
        exchange.at(20_000, client(1, 1).data(100).ts(50, 1));
        exchange.at(
            20_000 + microseconds,
            client(1, 1).data(100).ts(timestamp, 1),
        );
        let client = exchange.row().client;
        (client.duplicate_packets, client.retransmit_packets)
    };
    assert_eq!(copies(10_999, 50), (1, 0));
    assert_eq!(copies(11_000, 50), (0, 1), "a round trip later");
    assert_eq!(copies(5, 51), (0, 1));
}

#[test]
fn a_packet_that_comes_behind_its_retransmission_was_overtaken() {
    let mut exchange = Exchange::open();
    exchange.at(20_000, client(101, 1).data(100).ts(50, 1));
    exchange.at(35_000, client(1, 1).data(100).ts(65, 1));
    assert_eq!(exchange.row().client.upstream_lost_packets, 1);
    exchange.at(36_000, client(1, 1).data(100).ts(49, 1));
    exchange.at(36_001, server(1, 201).sack(&[[1, 101]]).ts(1, 65));
    let client = exchange.row().client;
    assert_eq!(
        (client.retransmit_packets, client.reordered_packets),
        (1, 1)
    );
    assert_eq!(
        (client.upstream_lost_packets, client.upstream_lost_bytes),
        (0, 0)
    );
    assert_eq!(
        (client.spurious_retransmit_packets, client.goodput_bytes),
        (1, 200)
    );
}

#[test]
fn what_fills_a_hole_soon_was_reordered() {
    let filled_after = |microseconds: i64| {
        let mut exchange = Exchange::open();
        exchange.at(20_000, client(101, 1).data(100));
        exchange.at(20_000 + microseconds, client(1, 1).data(100));
        exchange.row().client
    };
    let soon = filled_after(10_999);
    assert_eq!((soon.reordered_packets, soon.retransmit_packets), (1, 0));
    let late = filled_after(11_000);
    assert_eq!(
        (late.reordered_packets, late.retransmit_packets),
        (0, 1),
        "after a round trip"
    );
    assert_eq!(
        (late.upstream_lost_packets, late.upstream_lost_bytes),
        (1, 100)
    );
    assert_eq!((late.goodput_bytes, late.gap_bytes), (200, 0));
}

#[test]
fn timestamps_tell_late_packets_from_retransmissions() {
    let filled_with = |timestamp| {
        let mut exchange = Exchange::open();
        exchange.at(20_000, client(101, 1).data(100).ts(1000, 1));
        exchange.at(20_500, client(1, 1).data(100).ts(timestamp, 1));
        let client = exchange.row().client;
        (client.reordered_packets, client.upstream_lost_packets)
    };
    assert_eq!(filled_with(999), (1, 0));
    assert_eq!(filled_with(1000), (1, 0), "the same tick, and soon");
    assert_eq!(filled_with(1001), (0, 1));

    let mut exchange = Exchange::open();
    exchange.at(20_000, client(101, 1).data(100).ts(1000, 1));
    exchange.at(40_000, client(201, 1).data(100).ts(1020, 1));
    exchange.at(40_500, client(1, 1).data(100).ts(1000, 1));
    let client = exchange.row().client;
    assert_eq!(
        client.reordered_packets, 1,
        "the same tick, and others have passed since"
    );
}

#[test]
fn what_nobody_captured_is_a_gap() {
    let client = with_five(|exchange| {
        // Passed over.
        exchange.at(21_000, client(601, 1).data(100));
        // Acknowledged.
        exchange.at(30_000, server(1, 801));
        exchange.at(31_000, client(801, 1).data(100));
    });
    assert_eq!((client.gap_bytes, client.goodput_bytes), (200, 700));
    assert_eq!(client.acked_bytes, Some(800));
}

#[test]
fn a_capture_of_one_direction_knows_what_it_lacks() {
    let mut exchange = Exchange::new();
    exchange.at(0, server(5000, 700));
    exchange.at(10, server(5000, 1700));
    exchange.at(20, server(5000, 2700));
    let row = exchange.row();
    assert_eq!((row.client.packets, row.client.gap_bytes), (0, 2000));
    assert_eq!(row.client.acked_bytes, Some(2000));
}

#[test]
fn a_forged_number_does_not_lead_astray() {
    let client = with_five(|exchange| {
        exchange.at(21_000, client(40_000_000, 1).data(100));
        exchange.at(22_000, client(501, 1).data(100));
        exchange.at(23_000, server(1, 50_000_000));
        exchange.at(24_000, server(1, 601));
    });
    assert_eq!(
        (
            client.stray_packets,
            client.gap_bytes,
            client.retransmit_packets
        ),
        (1, 0, 0)
    );
    assert_eq!((client.goodput_bytes, client.acked_bytes), (600, Some(600)));
}

#[test]
fn two_in_a_row_are_believed() {
    let client = with_five(|exchange| {
        // A second of a fast transfer was not captured.
        exchange.at(900_000, client(200_000_001, 1).data(100));
        exchange.at(900_001, client(200_000_101, 1).data(100));
        exchange.at(900_002, client(200_000_201, 1).data(100));
        exchange.at(900_003, server(1, 200_000_301));
    });
    assert_eq!(
        (client.stray_packets, client.gap_bytes),
        (1, 200_000_000 - 400)
    );
    assert_eq!(client.acked_bytes, Some(200_000_300));
}

#[test]
fn keep_alives_are_no_retransmissions() {
    let client = with_five(|exchange| {
        exchange.at(30_000, server(1, 501));
        exchange.at(8_000_000, client(500, 1));
        exchange.at(9_000_000, client(500, 1).data(1));
    });
    assert_eq!((client.keep_alives, client.retransmit_packets), (2, 0));
    assert_eq!((client.payload_bytes, client.goodput_bytes), (501, 500));
}

#[test]
fn probes_of_a_closed_window_are_counted_as_such() {
    let mut exchange = Exchange::open();
    exchange.at(20_000, client(1, 1).data(100));
    exchange.at(30_000, server(1, 101).window(0));
    exchange.at(230_000, client(100, 1));
    exchange.at(240_000, server(1, 101).window(0));
    // As BSD does: a byte beyond the window, which is sent again.
    exchange.at(430_000, client(101, 1).data(1));
    exchange.at(440_000, server(1, 101).window(0));
    exchange.at(630_000, client(101, 1).data(1));
    exchange.at(730_000, server(1, 102).window(10));
    let row = exchange.row();
    assert_eq!(row.client.window_probes, 2, "the first byte is payload");
    assert_eq!(
        (row.client.retransmit_packets, row.client.goodput_bytes),
        (0, 101)
    );
    assert_eq!(
        (row.server.zero_windows, row.server.zero_window_us),
        (3, 700_000)
    );
}

#[test]
fn duplicate_acknowledgments_are_those_of_rfc_5681() {
    let mut exchange = Exchange::open();
    exchange.at(15_000, server(1, 1));
    assert_eq!(
        exchange.row().server.duplicate_acks,
        0,
        "nothing is unacknowledged"
    );
    exchange.at(20_000, client(1, 1).data(100));
    exchange.at(20_001, client(101, 1).data(100));
    exchange.at(20_002, server(1, 1));
    exchange.at(20_003, server(1, 1).window(999));
    exchange.at(20_004, server(1, 1).window(999).data(10));
    exchange.at(20_005, server(11, 1).window(999).fin());
    let row = exchange.row();
    assert_eq!(
        row.server.duplicate_acks, 1,
        "but for another window, payload, and FIN"
    );
}

#[test]
fn more_holes_than_fit_are_counted_and_take_no_memory() {
    let mut exchange = Exchange::open();
    for at in 1..=1000 {
        exchange.at(20_000 + i64::from(at), client(1 + 200 * at, 1).data(100));
    }
    assert_eq!(exchange.row().client.gap_bytes, 1000 * 100 + 100);
    // The lowest ones are forgotten, so what fills them counts as seen before.
    exchange.at(22_000, client(1, 1).data(100));
    exchange.at(22_001, client(200_001 - 100, 1).data(100));
    let client = exchange.row().client;
    assert_eq!(
        (client.retransmit_packets, client.reordered_packets),
        (1, 1)
    );
}

#[test]
fn a_connection_goes_on_where_its_numbers_wrap() {
    let row = |mut exchange: Exchange| {
        for at in 0..5_u32 {
            exchange.at(20_000 + i64::from(at), client(1 + 100 * at, 1).data(100));
        }
        exchange.at(30_000, server(1, 101).sack(&[[301, 401]]).data(300));
        exchange.at(30_001, server(1, 101).sack(&[[201, 401]]));
        exchange.at(31_000, client(101, 301).data(100));
        exchange.at(32_000, server(301, 501).sack(&[[101, 201]]).fin());
        exchange.at(33_000, client(501, 302).fin());
        exchange.row()
    };
    let plain = row(Exchange::open());
    assert_eq!(
        (
            plain.client.fast_retransmit_packets,
            plain.client.spurious_retransmit_packets
        ),
        (1, 1)
    );
    for before in [0, 1, 50, 101, 250, 499, 500, 501] {
        let numbers = [u32::MAX - before, u32::MAX - before / 2];
        assert_eq!(
            row(Exchange::numbered(numbers).opened()),
            plain,
            "{before} before the end"
        );
    }
}
