//! Who is left out, and what the kernel is told of it.

use packet_headers_common::record::{TCP_ACK, TCP_FIN, TCP_RST};
use packet_headers_common::{FlowKey, Role};

use super::driver::{ROOMY, TableDriver, cookie, ends};
use crate::Limits;
use model::{EventIssue, Wanted};

/// The key of client `n`'s connection.
fn key(n: u16) -> FlowKey {
    let (server, client) = ends(n);
    FlowKey::new(server, client)
}

#[test]
fn connections_above_the_bound_are_refused_and_ignored() {
    let limits = Limits { flows: 2, ..ROOMY };
    let mut driver = TableDriver::new(limits);
    for n in 0..3 {
        driver.syn(n, n.into(), 7);
        driver.open(n, &format!("{n}"));
    }
    assert_eq!(driver.opened, 2);
    assert_eq!(driver.discarded["too_many_flows"], 1);
    assert_eq!(driver.issues, [EventIssue::Refused]);
    assert_eq!(driver.ignored, [key(2)]);
    // One that ends makes room.
    driver.close(0, "0");
    driver.until(2000);
    driver.syn(3, 3, 7);
    driver.open(3, "3");
    assert_eq!(driver.opened, 3);
    driver.shut_down();
    assert_eq!(driver.files().len(), 3);
    assert!(driver.is_clean());
}

#[test]
fn the_second_socket_of_a_captured_connection_is_no_flow_too_many() {
    let limits = Limits { flows: 1, ..ROOMY };
    let mut driver = TableDriver::new(limits);
    driver.syn(1, 1, 7);
    driver.open_as(1, "connecting", 0, Role::Connecting);
    driver.open_as(1, "accepting", 0, Role::Accepting);
    driver.data(1, 2);
    assert_eq!(driver.issues, [EventIssue::SecondSocket]);
    assert!(driver.ignored.is_empty() && driver.released == 0);
    driver.shut_down();
    assert_eq!(driver.files(), [("accepting", &[1, 2][..])]);
}

#[test]
fn without_memory_for_it_a_new_flow_is_refused_and_older_ones_go_on() {
    let limits = Limits {
        memory: 8 * 1024,
        ..ROOMY
    };
    let mut driver = TableDriver::new(limits);
    for n in 0..100 {
        driver.open(n, &format!("{n}"));
        driver.data(n, 0);
    }
    let named = driver.opened;
    assert!((1..=8).contains(&named), "{named}");
    for number in 1..1000 {
        driver.data(0, number);
        assert!(driver.table.bytes() <= limits.memory);
    }
    driver.shut_down();
    let (name, packets) = driver.files()[0];
    assert_eq!((name, packets.len()), ("0", 1000));
    assert!(driver.is_clean());
}

#[test]
fn many_open_flows_keep_little_in_memory_though_they_might_keep_more() {
    let limits = Limits {
        memory: 768 << 20,
        ..ROOMY
    };
    let mut driver = TableDriver::new(limits);
    for n in 0..5_000 {
        driver.open(n, &format!("{n}"));
    }
    for number in 0..50 {
        driver.until(driver.now + 20);
        for n in 0..5_000 {
            driver.data(n, number);
        }
        assert!(driver.table.state.connections.buffered_bytes() <= 32 << 20);
    }
    driver.shut_down();
    let whole = |(_, packets): &(&str, &[u32])| packets.len() == 50;
    assert!(driver.files().iter().all(whole));
}

#[test]
fn who_sent_the_syn_decides_the_direction_when_the_source_does_not_tell() {
    // The test's clients send the SYN, and tell of the server's sockets: incoming connections.
    for (wanted, files) in [
        (Wanted::All, 1),
        (Wanted::Incoming, 1),
        (Wanted::Outgoing, 0),
    ] {
        let mut driver = TableDriver::wanting(ROOMY, wanted);
        driver.syn(1, 1, 7);
        driver.open_untold(1, "a");
        driver.close(1, "a");
        driver.until(6000);
        assert_eq!(driver.files().len(), files, "{wanted:?}");
        assert_eq!(driver.ignored.len(), 1 - files);
        // Nobody saw the SYN of this one.
        driver.data(2, 2);
        driver.open_untold(2, "b");
        driver.close(2, "b");
        driver.until(12_000);
        assert_eq!(driver.files().len(), files + 1, "{wanted:?}");
        assert!(driver.is_clean());
    }
}

#[test]
fn the_kernel_is_told_of_every_connection_whoever_named_it() {
    let mut driver = TableDriver::new(ROOMY);
    driver.open_as(1, "kernel", 0, Role::Accepting);
    assert_eq!(driver.admitted, [(key(1), cookie("kernel"))].into());
    driver.open_untold(2, "tcpinfo");
    assert_eq!(driver.admitted[&key(2)], cookie("tcpinfo"));
    for (n, name) in [(1, "kernel"), (2, "tcpinfo")] {
        driver.close(n, name);
    }
    driver.until(2000);
    assert!(driver.admitted.is_empty());
    assert_eq!(driver.released, 2);
    assert!(driver.is_clean());
}

#[test]
fn only_a_candidate_with_traffic_is_worth_the_kernels_attention() {
    let mut driver = TableDriver::new(ROOMY);
    driver.syn(1, 1, 7);
    for number in 2..20 {
        driver.data(2, number);
    }
    driver.until(6000);
    assert_eq!(driver.ignored, [key(2)]);
    assert_eq!(driver.discarded["unnamed"], 19);
    assert!(driver.is_clean());
}

#[test]
fn a_connection_whose_close_nobody_tells_ends_by_its_packets() {
    let mut driver = TableDriver::new(ROOMY);
    driver.syn(1, 1, 7);
    driver.open(1, "fin");
    driver.send(1, 2, TCP_FIN | TCP_ACK, 8);
    driver.reply(1, 3, TCP_FIN | TCP_ACK, 9);
    driver.until(500);
    driver.data(1, 4);
    driver.syn(2, 5, 7);
    driver.open(2, "rst");
    driver.reply(2, 6, TCP_RST, 9);
    driver.until(1480);
    assert_eq!(driver.files(), []);
    driver.until(1500);
    assert_eq!(
        driver.files(),
        [("fin", &[1, 2, 3, 4][..]), ("rst", &[5, 6][..])]
    );
    driver.data(1, 7);
    assert_eq!(driver.refused["after_end"], 1);
    // The sockets are gone at last.
    driver.close(1, "fin");
    driver.close(2, "rst");
    driver.until(4000);
    assert!(driver.is_clean());
}

#[test]
fn a_forged_rst_does_not_end_a_flow_that_goes_on() {
    let mut driver = TableDriver::new(ROOMY);
    driver.open(1, "a");
    driver.data(1, 1);
    driver.send(1, 2, TCP_RST, 9);
    for number in 3..20 {
        driver.until(driver.now + 900);
        driver.data(1, number);
    }
    driver.close(1, "a");
    driver.until(driver.now + 1000);
    let all: Vec<u32> = (1..20).collect();
    assert_eq!(driver.files(), [("a", &all[..])]);
}

#[test]
fn a_packet_that_two_interfaces_show_is_taken_once() {
    let mut driver = TableDriver::new(ROOMY);
    driver.open(1, "a");
    for number in 0..10 {
        driver.interface = 1;
        driver.data(1, number);
        driver.interface = 2;
        driver.data(1, 100 + number);
    }
    assert_eq!(driver.refused["duplicate"], 10);
    // The first interface went down: after a second of silence the other one is home.
    driver.until(990);
    driver.data(1, 200);
    driver.until(1150);
    driver.data(1, 20);
    assert_eq!(driver.refused["duplicate"], 11);
    driver.shut_down();
    let kept: Vec<u32> = (0..10).chain([20]).collect();
    assert_eq!(driver.files(), [("a", &kept[..])]);
}

#[test]
fn a_connection_that_never_has_a_packet_takes_nobodys_place() {
    let limits = Limits {
        memory: 64 * 1024,
        flows: 50,
    };
    let mut driver = TableDriver::new(limits);
    driver.syn(0, 1, 7);
    driver.open(0, "first");
    // Over loopback, say, which is not captured.
    for n in 1000..2000 {
        driver.open(n, &format!("{n}"));
        assert!(driver.table.bytes() <= limits.memory);
    }
    for n in 1..40 {
        driver.syn(n, 1, 7);
        driver.open(n, &format!("{n}"));
    }
    assert!(driver.issues.is_empty(), "{:?}", driver.issues);
    let stats = driver.table.stats();
    assert_eq!(
        (stats.capturing, stats.over_limit, stats.over_memory),
        (50, 0, 0)
    );
    assert_eq!(driver.evicted, 1000 - 10);
    driver.shut_down();
    assert_eq!(driver.files().len(), 40);
    assert_eq!(driver.files()[0].0, "first");
    assert!(driver.is_clean());
}

#[test]
fn finished_connections_count_in_every_limit_and_go_first() {
    for limits in [
        Limits { flows: 10, ..ROOMY },
        Limits {
            memory: 10 * 1024,
            ..ROOMY
        },
    ] {
        let mut driver = TableDriver::new(limits);
        for n in 0..100 {
            driver.syn(n, 1, 7);
            driver.open(n, &format!("{n}"));
            // Its file is finished; its socket stays open.
            driver.until(driver.now + 10_500);
            let stats = driver.table.stats();
            assert!(stats.capturing + stats.finished <= 10);
            assert!(driver.table.bytes() <= limits.memory);
        }
        assert_eq!(driver.files().len(), 100);
        assert!(driver.issues.is_empty(), "{:?}", driver.issues);
        // The kernel drops the packets of those that are forgotten.
        assert_eq!(driver.ignored.len() as u64, driver.evicted);
        assert!(driver.evicted >= 60);
        // Their Closes are unknown, and nothing else comes of them.
        driver.close(0, "0");
        assert_eq!(driver.issues, [EventIssue::UnknownClose]);
        driver.until(driver.now + 400_000);
        assert!(driver.is_clean());
    }
}

#[test]
fn syns_with_other_sequence_numbers_make_a_bounded_number_of_connections() {
    let mut driver = TableDriver::new(ROOMY);
    for number in 0..1000 {
        driver.syn(1, number, number);
    }
    let candidates = driver.table.stats().candidates;
    assert_eq!(candidates, 64);
    assert_eq!(driver.discarded["candidate_memory"], 1000 - 64);
    driver.open(1, "youngest");
    driver.shut_down();
    assert_eq!(driver.files(), [("youngest", &[999][..])]);
    assert_eq!(driver.discarded["unnamed"], 63);
    assert!(driver.is_clean());
}

#[test]
fn a_full_table_writes_many_packets_at_once_rather_than_each_alone() {
    // As many connections as fit, and then data for all of them.
    let limits = Limits {
        memory: 1 << 20,
        ..ROOMY
    };
    let mut driver = TableDriver::new(limits);
    for n in 0..700 {
        driver.syn(n, 0, 7);
        driver.open(n, &format!("{n}"));
    }
    let capturing = driver.table.stats().capturing;
    assert!(capturing > 500, "{capturing}");
    for number in 1..50 {
        for n in 0..500 {
            driver.data(n, number);
        }
        assert!(driver.table.bytes() <= limits.memory);
    }
    let (packets, writes) = (49 * 500, driver.writes);
    assert!(writes * 2 < packets, "{writes} writes of {packets} packets");
    driver.shut_down();
    assert!(driver.is_clean());
}

#[test]
fn buffers_aim_at_half_of_the_memory_at_most_and_at_an_equal_share_of_it() {
    let size = |memory, connections: u16| {
        let mut driver = TableDriver::new(Limits {
            memory,
            flows: usize::MAX,
        });
        for n in 0..connections {
            driver.open(n, &format!("{n}"));
        }
        crate::rules::memory::buffer_size(&driver.table.state)
    };
    assert_eq!(size(64 << 20, 1), 64 << 10, "the longest that there is");
    assert_eq!(
        size(1 << 20, 16),
        32 << 10,
        "a sixteenth of half a mebibyte"
    );
    assert_eq!(size(1 << 20, 20), 16 << 10, "a power of two");
    assert_eq!(
        size(64 << 20, 1024),
        16 << 10,
        "16 MiB in all, however much there is"
    );
    assert_eq!(size(1 << 20, 1024), 2 << 10, "the shortest that there is");
}
