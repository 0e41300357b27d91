//! UDP flows. As a SYN begins a connection, the first packet after a silence begins a flow, and is marked so by
//! the kernel.

use std::collections::BTreeMap;

use model::{UuidPrefix, WallNanos, Wanted};

use super::driver::{ROOMY, TableDriver, at, ends};
use crate::{DatagramNames, Limits};

fn names(hides_addresses: bool) -> DatagramNames {
    DatagramNames {
        prefix: UuidPrefix::new("host_1").unwrap(),
        hides_addresses,
    }
}

fn driver(limits: Limits) -> TableDriver {
    TableDriver::of_datagrams(limits, Wanted::All, names(false))
}

/// The name of a flow that client `n` began at that time.
fn named(n: u16, ms: u64) -> String {
    let (server, client) = ends(n);
    let name = names(false).of([client, server], WallNanos(at(ms).0), 0);
    name.to_string()
}

#[test]
fn a_flow_has_a_name_from_its_first_packet_on_and_ends_by_silence() {
    let mut driver = driver(ROOMY);
    driver.until(40);
    driver.syn(1, 1, 7);
    assert_eq!((driver.opened, driver.held), (1, 1));
    driver.until(9000);
    driver.reply(1, 2, 0, 0);
    driver.until(18_980);
    assert_eq!(driver.files(), []);
    driver.until(19_020);
    assert_eq!(driver.files(), [(&*named(1, 40), &[1, 2][..])]);
    assert!(driver.admitted.is_empty() && driver.ignored.is_empty() && driver.released == 0);
    assert!(driver.is_clean());
}

#[test]
fn what_comes_after_a_silence_is_another_flow() {
    let mut driver = driver(ROOMY);
    driver.syn(1, 1, 7);
    driver.until(10_020);
    driver.syn(1, 2, 8);
    driver.until(30_000);
    let both = [(&*named(1, 0), &[1][..]), (&*named(1, 10_020), &[2])];
    assert_eq!(driver.files(), both);
    assert!(driver.is_clean());
}

#[test]
fn a_flow_goes_on_though_the_kernel_forgot_it() {
    let mut driver = driver(ROOMY);
    for (number, sequence) in [(1, 7), (2, 8), (3, 9)] {
        driver.syn(1, number, sequence);
        driver.until(driver.now + 1000);
    }
    driver.until(13_000);
    assert_eq!(driver.files(), [(&*named(1, 0), &[1, 2, 3][..])]);
    assert!(driver.is_clean());
}

#[test]
fn a_flow_is_captured_for_its_duration_and_again_after_a_silence() {
    let mut driver = driver(ROOMY);
    driver.syn(1, 0, 7);
    for second in 1..=40 {
        driver.until(second * 1000);
        driver.send(1, second as u32, 0, 0);
    }
    let first: Vec<_> = (0..30).collect();
    assert_eq!(driver.files(), [(&*named(1, 0), &first[..])]);
    assert_eq!(
        driver.refused,
        BTreeMap::from([("after_captureduration", 11)])
    );
    driver.until(50_020);
    driver.syn(1, 50, 8);
    driver.until(61_000);
    assert_eq!(
        driver.files().last(),
        Some(&(&*named(1, 50_020), &[50][..]))
    );
    driver.until(400_000);
    assert!(driver.is_clean());
}

#[test]
fn a_flow_has_the_cookie_of_a_connected_socket_in_its_name_and_ends_with_it() {
    let mut driver = driver(ROOMY);
    driver.syn(2, 2, 7);
    driver.socket = 4098;
    driver.syn(1, 1, 7);
    driver.until(500);
    driver.close_untold(1, "host_1_0000000000001002");
    driver.close_untold(1, "host_1_0000000000001003");
    driver.until(1000);
    assert_eq!(driver.files(), []);
    driver.until(1520);
    let (server, client) = ends(1);
    let name = names(false).of([client, server], WallNanos(at(0).0), 4098);
    assert!(
        name.as_str().starts_with("host_1_0000000000001002_udp_"),
        "{name}"
    );
    assert_eq!(driver.files(), [(name.as_str(), &[1][..])]);
    assert_eq!(driver.closed, 1);
    // It is forgotten with its flow.
    driver.close_untold(1, "host_1_0000000000001002");
    assert_eq!(driver.closed, 1);
}

#[test]
fn a_socket_that_is_connected_anew_closes_its_last_flow() {
    let mut driver = driver(ROOMY);
    driver.socket = 4098;
    driver.syn(1, 1, 7);
    driver.syn(2, 2, 7);
    driver.close_untold(2, "host_1_0000000000001002");
    driver.until(1520);
    let packets: Vec<_> = driver
        .files()
        .into_iter()
        .map(|(_, packets)| packets)
        .collect();
    assert_eq!(packets, [&[2][..]]);
    driver.until(11_000);
    assert_eq!(driver.files().len(), 2);
    assert!(driver.is_clean());
}

#[test]
fn a_flood_of_flows_is_refused_beyond_the_limit_and_harms_none_that_there_is() {
    let flows = 3;
    let mut driver = driver(Limits { flows, ..ROOMY });
    for n in 0..1000 {
        driver.syn(n, u32::from(n), 7);
        driver.send(n, 10_000 + u32::from(n), 0, 0);
    }
    assert_eq!(
        driver.refused,
        BTreeMap::from([("too_many_flows", 2 * 997)])
    );
    driver.until(11_000);
    for (n, (name, packets)) in (0..).zip(driver.files()) {
        assert_eq!(name, named(n, 0));
        assert_eq!(packets, [u32::from(n), 10_000 + u32::from(n)]);
    }
    assert_eq!(driver.files().len(), flows);
    driver.syn(5, 5, 8);
    assert_eq!(driver.opened, 4);
    driver.until(22_000);
    assert!(driver.is_clean());
}

#[test]
fn a_flood_of_flows_stays_within_the_memory() {
    let mut driver = driver(Limits {
        memory: 64 << 10,
        flows: usize::MAX,
    });
    for n in 0..2000 {
        driver.syn(n, u32::from(n), 7);
        assert!(driver.table.bytes() <= 64 << 10);
    }
    let refused = driver.refused["too_many_flows"];
    assert!(refused > 1900, "{refused}");
    driver.until(11_000);
    assert_eq!(driver.files().len() as u64, 2000 - refused);
    assert!(driver.is_clean());
}

/// All packets of the driver come in.
#[test]
fn the_direction_is_that_of_the_first_packet() {
    for (wanted, opened) in [(Wanted::Incoming, 1), (Wanted::Outgoing, 0)] {
        let mut driver = TableDriver::of_datagrams(ROOMY, wanted, names(false));
        driver.syn(1, 1, 7);
        driver.reply(1, 2, 0, 0);
        assert_eq!(driver.opened, opened);
        let refused = driver.refused.get("unwanted_direction").copied();
        assert_eq!(refused.unwrap_or(0), 2 * (1 - opened));
        // Of the flow whose first packet this host did not see, nobody knows who began it.
        driver.send(2, 3, 0, 0);
        assert_eq!(driver.opened, opened);
        driver.until(11_000);
        assert!(driver.is_clean());
    }
}

#[test]
fn where_addresses_are_hidden_a_name_does_not_follow_from_them() {
    let (server, client) = ends(1);
    let other = packet_headers_common::Endpoint::v4([192, 0, 2, 99], client.port());
    let name = |hides, from| names(hides).of([from, server], WallNanos(5), 0);
    assert_eq!(name(true, client), name(true, other));
    assert_ne!(name(false, client), name(false, other));
    assert_ne!(
        name(true, client),
        names(true).of([client, server], WallNanos(6), 0)
    );
}
