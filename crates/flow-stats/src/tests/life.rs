//! How connections begin and end.

use super::exchange::{Exchange, client, server};
use crate::{BeganBy, Ecn, Ended, Handshake};

#[test]
fn a_handshake_says_who_began_and_how_far_the_ends_are() {
    let row = Exchange::open().row();
    assert_eq!(row.client_port, 50_000);
    assert_eq!(row.server_port, 443);
    assert_eq!(
        (row.began_by, row.handshake),
        (BeganBy::Syn, Handshake::Complete)
    );
    assert!(row.from_syn);
    assert_eq!(
        (row.syn_time.unwrap().0, row.syn_ack_time.unwrap().0),
        (0, 10_000_000)
    );
    assert_eq!(row.client.handshake_rtt_us, Some(10_000));
    assert_eq!(row.server.handshake_rtt_us, Some(1000));
    assert_eq!(row.initial_rtt_us, Some(11_000));
    assert_eq!(
        (row.client.mss_bytes, row.server.mss_bytes),
        (Some(1460), Some(1400))
    );
    assert_eq!(
        (row.client.window_scale, row.server.window_scale),
        (Some(7), Some(8))
    );
    assert_eq!(row.duration_us, 11_000);
}

#[test]
fn the_best_proof_of_who_began_counts() {
    let began = |exchange: &Exchange| {
        let row = exchange.row();
        (row.began_by, row.client_port)
    };
    let mut exchange = Exchange::new();
    exchange.at(
        0,
        server(100, 100).between("192.0.2.1:1024", "192.0.2.2:40000"),
    );
    assert_eq!(began(&exchange), (BeganBy::Unknown, 40_000));
    let mut exchange = Exchange::new();
    exchange.at(0, server(100, 100));
    assert_eq!(began(&exchange), (BeganBy::Ports, 50_000));
    // An FTP server that connects from its port 20.
    let mut exchange = Exchange::new();
    exchange.at(
        0,
        client(0, 1)
            .only(0x12)
            .between("192.0.2.1:2000", "192.0.2.2:20"),
    );
    assert_eq!(began(&exchange), (BeganBy::SynAck, 20));
    let mut exchange = Exchange::new();
    exchange.at(0, server(0, 0).only(0x02));
    assert_eq!(began(&exchange), (BeganBy::Syn, 443));
}

#[test]
fn a_syn_that_was_captured_late_is_still_the_beginning() {
    let mut exchange = Exchange::new();
    exchange.at(0, server(0, 1).only(0x12));
    exchange.at(0, client(0, 0).only(0x02));
    exchange.at(9, client(1, 1));
    exchange.at(10, client(1, 1).data(10));
    let row = exchange.row();
    assert_eq!(
        (row.began_by, row.from_syn, row.client_port),
        (BeganBy::Syn, true, 50_000)
    );
    assert_eq!(
        (row.client.gap_bytes, row.client.retransmit_packets),
        (0, 0)
    );
    assert_eq!(row.handshake, Handshake::Complete);
}

#[test]
fn a_syn_that_was_sent_twice_tells_no_time_but_by_timestamps() {
    let mut plain = Exchange::new();
    plain.at(0, client(0, 0).only(0x02));
    plain.at(1_000_000, client(0, 0).only(0x02));
    plain.at(1_010_000, server(0, 1).only(0x12));
    assert_eq!(plain.row().client.handshake_rtt_us, None);
    assert_eq!(plain.row().client.timeout_retransmit_packets, 1);

    let mut stamped = Exchange::new();
    stamped.at(0, client(0, 0).only(0x02).ts(7, 0));
    stamped.at(1_000_000, client(0, 0).only(0x02).ts(1007, 0));
    stamped.at(1_010_000, server(0, 1).only(0x12).ts(1, 1007));
    assert_eq!(stamped.row().client.handshake_rtt_us, Some(10_000));
}

#[test]
fn a_handshake_that_is_captured_twice_is_timed_all_the_same() {
    let mut exchange = Exchange::new();
    for at in [0, 3] {
        exchange.at(at, client(0, 0).only(0x02).id(9).ts(7, 0));
    }
    for at in [10_000, 10_003] {
        exchange.at(at, server(0, 1).only(0x12).ts(1, 7));
    }
    exchange.at(11_000, client(1, 1).ts(8, 1));
    let row = exchange.row();
    assert_eq!(row.client.handshake_rtt_us, Some(10_000));
    assert_eq!(row.server.handshake_rtt_us, Some(1000));
    assert_eq!(
        (row.client.duplicate_packets, row.server.duplicate_packets),
        (1, 1)
    );
    assert_eq!(
        (row.client.retransmit_packets, row.server.retransmit_packets),
        (0, 0)
    );
}

#[test]
fn connections_end_in_four_ways() {
    let mut exchange = Exchange::open();
    assert_eq!(exchange.row().ended, Ended::Open);
    exchange.at(20_000, server(1, 1).fin());
    assert_eq!(exchange.row().ended, Ended::HalfClosed);
    let mut reset = exchange.clone();
    reset.at(21_000, client(1, 2).rst());
    assert_eq!(reset.row().ended, Ended::Reset);
    exchange.at(21_000, client(1, 2).fin());
    exchange.at(22_000, server(2, 2).rst());
    assert_eq!(exchange.row().ended, Ended::Closed);
    assert_eq!(exchange.row().ended_by.as_deref(), Some("server"));
}

#[test]
fn a_refused_connection_is_reset_by_the_server() {
    let mut exchange = Exchange::new();
    exchange.at(0, client(0, 0).only(0x02));
    exchange.at(5, server(0u32.wrapping_sub(5_000_000), 1).rst());
    let row = exchange.row();
    assert_eq!(
        (row.ended, row.ended_by.as_deref()),
        (Ended::Reset, Some("server"))
    );
    assert_eq!((row.handshake, row.server.rst_packets), (Handshake::Syn, 1));
    assert_eq!(
        row.client.rtt_samples, 0,
        "a RST is no answer that is timed"
    );
}

#[test]
fn a_forged_reset_does_not_end_a_connection() {
    let mut exchange = Exchange::open();
    exchange.at(20_000, client(900_000_000, 1).rst());
    assert_eq!(
        exchange.row().ended,
        Ended::Open,
        "its number is far from the window"
    );
    exchange.at(21_000, client(1, 1).rst());
    assert_eq!(exchange.row().ended, Ended::Reset);
    exchange.at(22_000, client(1, 1).data(10));
    assert_eq!(
        exchange.row().ended,
        Ended::Open,
        "who has reset it sends nothing more"
    );
}

#[test]
fn another_syn_begins_another_connection_once_this_one_has_ended() {
    let next = client(70_000, 0).only(0x02);
    let mut exchange = Exchange::new();
    exchange.at(0, client(0, 0).only(0x02));
    assert!(
        !exchange.ends_with(5, &client(0, 0).only(0x02)),
        "the same SYN again"
    );
    assert!(
        exchange.ends_with(5, &next),
        "another attempt, as nothing answered"
    );
    exchange.at(10, server(0, 1).only(0x12));
    assert!(exchange.ends_with(15, &next));
    exchange.at(20, client(1, 1).data(100));
    assert!(
        !exchange.ends_with(30, &next),
        "forged, or of a host that forgot"
    );
    assert!(
        exchange.ends_with(1_000_020, &next),
        "after a second of silence"
    );
    let mut reset = exchange.clone();
    reset.at(30, server(1, 101).rst());
    assert!(reset.ends_with(40, &next));
    exchange.at(30, client(101, 1).fin());
    assert!(exchange.ends_with(40, &next), "the client has closed");
    assert!(
        !exchange.ends_with(40, &server(70_000, 0).only(0x02)),
        "the server has not"
    );
    assert!(
        !exchange.ends_with(2_000_000, &client(102, 1)),
        "only SYNs begin"
    );
}

#[test]
fn a_syn_that_was_captured_behind_its_data_begins_nothing_new() {
    let mut exchange = Exchange::new();
    exchange.at(0, client(1, 1).data(100).fin());
    assert!(!exchange.ends_with(5, &client(0, 0).only(0x02)));
    assert!(exchange.ends_with(5, &client(1, 0).only(0x02)));
    assert!(exchange.ends_with(5, &client(2, 0).only(0x02)));
}

#[test]
fn where_no_syn_was_captured_the_syn_ack_begins_the_next_one() {
    let mut exchange = Exchange::new();
    exchange.at(0, server(0, 1).only(0x12));
    exchange.at(10, server(1, 1).data(100).fin());
    assert!(
        !exchange.ends_with(20, &server(0, 1).only(0x12)),
        "the same one again"
    );
    assert!(exchange.ends_with(20, &server(9000, 8001).only(0x12)));
}

#[test]
fn a_syn_ack_with_another_number_answers_the_same_syn() {
    let mut exchange = Exchange::new();
    exchange.at(0, client(0, 0).only(0x02));
    exchange.at(10, server(0, 1).only(0x12).mss(1460));
    // SYN cookies change with the clock.
    let again = server(77_777, 1).only(0x12).mss(536);
    assert!(!exchange.ends_with(1_000_010, &again));
    exchange.at(1_000_010, again);
    exchange.at(1_000_020, client(1, 77_778));
    exchange.at(1_000_030, server(77_778, 1).data(10));
    let row = exchange.row();
    assert_eq!(
        row.server.mss_bytes,
        Some(536),
        "of the one that was answered"
    );
    assert_eq!(
        (row.handshake, row.server.goodput_bytes),
        (Handshake::Complete, 10)
    );
    assert_eq!((row.server.gap_bytes, row.server.stray_packets), (0, 0));
    exchange.at(1_010_040, client(1, 77_788));
    assert_eq!(
        exchange.row().server.rtt_samples,
        2,
        "the SYN-ACK's and this one"
    );
}

#[test]
fn a_forged_syn_amid_a_connection_changes_nothing_but_counts() {
    let mut exchange = Exchange::open();
    exchange.at(20_000, client(1, 1).data(100));
    let before = exchange.row();
    let forged = client(80_000, 0).only(0x02).mss(9);
    assert!(!exchange.ends_with(20_001, &forged));
    exchange.at(20_001, forged);
    exchange.at(20_002, server(1, 101));
    let row = exchange.row();
    assert_eq!(
        (row.client.stray_packets, row.client.mss_bytes),
        (1, before.client.mss_bytes)
    );
    assert_eq!(
        (row.client.gap_bytes, row.client.acked_bytes),
        (0, Some(100))
    );
    assert_eq!(row.syn_time, before.syn_time);
}

#[test]
fn what_was_agreed_on_ecn_is_told() {
    let agreed = |asked: u16, answer: u16| {
        let mut exchange = Exchange::new();
        exchange.at(0, client(0, 0).only(0x02 | asked));
        exchange.at(1, server(0, 1).only(0x12 | answer));
        exchange.row().ecn
    };
    assert_eq!(agreed(0, 0), Some(Ecn::No));
    assert_eq!(agreed(0xc0, 0x40), Some(Ecn::Classic));
    assert_eq!(agreed(0xc0, 0), Some(Ecn::Refused));
    assert_eq!(
        agreed(0xc0, 0xc0),
        Some(Ecn::Refused),
        "a server that reflects what it gets"
    );
    // RFC 9768, table 2: the four that accept, ECN of RFC 3168, none, and one that is broken.
    for answer in [0x80, 0xc0, 0x100, 0x180] {
        assert_eq!(agreed(0x1c0, answer), Some(Ecn::Accurate), "{answer:x}");
    }
    assert_eq!(agreed(0x1c0, 0x40), Some(Ecn::Classic));
    assert_eq!(agreed(0x1c0, 0), Some(Ecn::Refused));
    assert_eq!(agreed(0x1c0, 0x1c0), Some(Ecn::Refused));
    let mut exchange = Exchange::new();
    exchange.at(0, client(0, 0).only(0xc2));
    assert_eq!(exchange.row().ecn, None, "nobody has answered");
}
