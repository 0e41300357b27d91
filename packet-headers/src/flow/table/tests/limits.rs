//! Who is left out, and what the kernel is told of it.

use packet_headers_common::record::{TCP_ACK, TCP_FIN, TCP_RST};
use packet_headers_common::{FlowKey, Role};

use super::bench::{Bench, ROOMY, ends};
use crate::flow::table::Limits;
use model::{EventIssue, Wanted};

/// The key of client `n`'s connection.
fn key(n: u16) -> FlowKey {
    let (server, client) = ends(n);
    FlowKey::new(server, client)
}

#[test]
fn connections_above_the_bound_are_refused_and_ignored() {
    let limits = Limits { flows: 2, ..ROOMY };
    let mut bench = Bench::new(limits);
    for n in 0..3 {
        bench.syn(n, n.into(), 7);
        bench.open(n, &format!("{n}"));
    }
    assert_eq!(bench.opened, 2);
    assert_eq!(bench.discarded["too_many_flows"], 1);
    assert_eq!(bench.issues, [EventIssue::Refused]);
    assert_eq!(bench.ignored, [key(2)]);
    // One that ends makes room.
    bench.close(0, "0");
    bench.until(2000);
    bench.syn(3, 3, 7);
    bench.open(3, "3");
    assert_eq!(bench.opened, 3);
    bench.shut_down();
    assert_eq!(bench.files().len(), 3);
    assert!(bench.is_clean());
}

#[test]
fn the_second_socket_of_a_captured_connection_is_no_flow_too_many() {
    let limits = Limits { flows: 1, ..ROOMY };
    let mut bench = Bench::new(limits);
    bench.syn(1, 1, 7);
    bench.open_as(1, "connecting", 0, Role::Connecting);
    bench.open_as(1, "accepting", 0, Role::Accepting);
    bench.data(1, 2);
    assert_eq!(bench.issues, [EventIssue::SecondSocket]);
    assert!(bench.ignored.is_empty() && bench.released == 0);
    bench.shut_down();
    assert_eq!(bench.files(), [("accepting", &[1, 2][..])]);
}

#[test]
fn without_memory_for_it_a_new_flow_is_refused_and_older_ones_go_on() {
    let limits = Limits {
        memory: 8 * 1024,
        ..ROOMY
    };
    let mut bench = Bench::new(limits);
    for n in 0..100 {
        bench.open(n, &format!("{n}"));
    }
    let named = bench.opened;
    assert!((1..=8).contains(&named), "{named}");
    for number in 0..1000 {
        bench.data(0, number);
        assert!(bench.table.bytes() <= limits.memory);
    }
    bench.shut_down();
    let (name, packets) = bench.files()[0];
    assert_eq!((name, packets.len()), ("0", 1000));
    assert!(bench.is_clean());
}

#[test]
fn many_open_flows_keep_little_in_memory_though_they_might_keep_more() {
    let limits = Limits {
        memory: 768 << 20,
        ..ROOMY
    };
    let mut bench = Bench::new(limits);
    for n in 0..5_000 {
        bench.open(n, &format!("{n}"));
    }
    for number in 0..50 {
        bench.until(bench.now + 20);
        for n in 0..5_000 {
            bench.data(n, number);
        }
        assert!(bench.table.buffered_bytes <= 32 << 20);
    }
    bench.shut_down();
    let whole = |(_, packets): &(&str, &[u32])| packets.len() == 50;
    assert!(bench.files().iter().all(whole));
}

#[test]
fn who_sent_the_syn_decides_the_direction_when_the_source_does_not_tell() {
    // The test's clients send the SYN, and tell of the server's sockets: incoming connections.
    for (wanted, files) in [
        (Wanted::All, 1),
        (Wanted::Incoming, 1),
        (Wanted::Outgoing, 0),
    ] {
        let mut bench = Bench::wanting(ROOMY, wanted);
        bench.syn(1, 1, 7);
        bench.open_untold(1, "a");
        bench.close(1, "a");
        bench.until(6000);
        assert_eq!(bench.files().len(), files, "{wanted:?}");
        assert_eq!(bench.ignored.len(), 1 - files);
        // Nobody saw the SYN of this one.
        bench.data(2, 2);
        bench.open_untold(2, "b");
        bench.close(2, "b");
        bench.until(12_000);
        assert_eq!(bench.files().len(), files + 1, "{wanted:?}");
        assert!(bench.is_clean());
    }
}

#[test]
fn the_kernel_admits_what_it_named_itself_and_is_told_of_the_rest() {
    let mut bench = Bench::new(ROOMY);
    bench.open_as(1, "kernel", 0, Role::Accepting);
    assert!(bench.admitted.is_empty());
    bench.open_untold(2, "tcpinfo");
    assert_eq!(bench.admitted, [key(2)].into());
    for (n, name) in [(1, "kernel"), (2, "tcpinfo")] {
        bench.close(n, name);
    }
    bench.until(2000);
    assert!(bench.admitted.is_empty());
    assert_eq!(bench.released, 2);
    assert!(bench.is_clean());
}

#[test]
fn only_a_candidate_with_traffic_is_worth_the_kernels_attention() {
    let mut bench = Bench::new(ROOMY);
    bench.syn(1, 1, 7);
    for number in 2..20 {
        bench.data(2, number);
    }
    bench.until(6000);
    assert_eq!(bench.ignored, [key(2)]);
    assert_eq!(bench.discarded["unnamed"], 19);
    assert!(bench.is_clean());
}

#[test]
fn a_connection_whose_close_nobody_tells_ends_by_its_packets() {
    let mut bench = Bench::new(ROOMY);
    bench.syn(1, 1, 7);
    bench.open(1, "fin");
    bench.send(1, 2, TCP_FIN | TCP_ACK, 8);
    bench.reply(1, 3, TCP_FIN | TCP_ACK, 9);
    bench.until(500);
    bench.data(1, 4);
    bench.syn(2, 5, 7);
    bench.open(2, "rst");
    bench.reply(2, 6, TCP_RST, 9);
    bench.until(1480);
    assert_eq!(bench.files(), []);
    bench.until(1500);
    assert_eq!(
        bench.files(),
        [("fin", &[1, 2, 3, 4][..]), ("rst", &[5, 6][..])]
    );
    bench.data(1, 7);
    assert_eq!(bench.refused["after_end"], 1);
    // The sockets are gone at last.
    bench.close(1, "fin");
    bench.close(2, "rst");
    bench.until(4000);
    assert!(bench.is_clean());
}

#[test]
fn a_forged_rst_does_not_end_a_flow_that_goes_on() {
    let mut bench = Bench::new(ROOMY);
    bench.open(1, "a");
    bench.data(1, 1);
    bench.send(1, 2, TCP_RST, 9);
    for number in 3..20 {
        bench.until(bench.now + 900);
        bench.data(1, number);
    }
    bench.close(1, "a");
    bench.until(bench.now + 1000);
    let all: Vec<u32> = (1..20).collect();
    assert_eq!(bench.files(), [("a", &all[..])]);
}

#[test]
fn a_packet_that_two_interfaces_show_is_taken_once() {
    let mut bench = Bench::new(ROOMY);
    bench.open(1, "a");
    for number in 0..10 {
        bench.interface = 1;
        bench.data(1, number);
        bench.interface = 2;
        bench.data(1, 100 + number);
    }
    assert_eq!(bench.refused["duplicate"], 10);
    // The first interface went down: after a second of silence the other one is home.
    bench.until(990);
    bench.data(1, 200);
    bench.until(1020);
    bench.data(1, 20);
    assert_eq!(bench.refused["duplicate"], 11);
    bench.shut_down();
    let kept: Vec<u32> = (0..10).chain([20]).collect();
    assert_eq!(bench.files(), [("a", &kept[..])]);
}
