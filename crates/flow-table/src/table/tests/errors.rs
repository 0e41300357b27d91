//! ICMP errors about a connection are in its file, and that is all: anybody can forge them.

use packet_headers_common::record::TCP_ACK;

use super::driver::{ROOMY, TableDriver};

/// A connection with a name and a packet, number 1.
fn captured() -> TableDriver {
    let mut driver = TableDriver::new(ROOMY);
    driver.syn(1, 1, 7);
    driver.open(1, "a");
    driver
}

#[test]
fn they_are_in_the_file_in_the_order_of_time() {
    let mut driver = captured();
    driver.until(100);
    driver.error(1, 2);
    driver.until(200);
    driver.data(1, 3);
    driver.close(1, "a");
    driver.until(2000);
    assert_eq!(driver.files(), [("a", &[1, 2, 3][..])]);
    assert!(driver.is_clean());
}

#[test]
fn one_about_a_connection_without_a_name_waits_for_it_as_well() {
    let mut driver = TableDriver::new(ROOMY);
    driver.syn(1, 1, 7);
    driver.error(1, 2);
    driver.until(3000);
    driver.open(1, "a");
    driver.close(1, "a");
    driver.until(5000);
    assert_eq!(driver.files(), [("a", &[1, 2][..])]);
    // And goes with it.
    driver.syn(2, 3, 7);
    driver.error(2, 4);
    driver.until(12_000);
    assert_eq!(driver.discarded["unnamed"], 2);
    assert!(driver.is_clean());
}

#[test]
fn one_about_a_connection_that_is_not_known_begins_none() {
    let mut driver = TableDriver::new(ROOMY);
    for n in 0..100 {
        driver.error(n, n.into());
    }
    assert_eq!(driver.refused["icmp_unknown"], 100);
    assert_eq!(driver.table.stats().begun, 0);
    assert!(driver.is_clean());
}

#[test]
fn they_keep_no_connection_alive_and_end_none() {
    let mut driver = captured();
    // Silent for ten seconds.
    for second in 1..12 {
        driver.until(second * 1000 - 500);
        driver.error(1, 10);
    }
    assert_eq!(driver.published.len(), 1);
    assert_eq!(driver.refused["after_flowtimeout"], 1);

    let mut driver = captured();
    driver.error(1, 2);
    driver.until(5000);
    driver.data(1, 3);
    driver.close(1, "a");
    driver.until(5900);
    driver.error(1, 4);
    assert_eq!(driver.published.len(), 0);
    // A second after its last packet.
    driver.until(6100);
    assert_eq!(driver.files(), [("a", &[1, 2, 3, 4][..])]);
    assert!(driver.is_clean());
}

#[test]
fn a_flood_of_them_is_bounded_for_each_connection() {
    let mut driver = captured();
    driver.send(2, 500, TCP_ACK, 0);
    driver.open(2, "b");
    for number in 0..100 {
        driver.error(1, 2 + number);
    }
    assert_eq!(driver.refused["icmp_limit"], 68);
    driver.error(2, 501);
    // One more each second.
    driver.until(5000);
    for number in 0..100 {
        driver.error(1, 200 + number);
    }
    assert_eq!(driver.refused["icmp_limit"], 68 + 95);
    driver.close(1, "a");
    driver.close(2, "b");
    driver.until(8000);
    let lengths = driver.files().into_iter().map(|(_, numbers)| numbers.len());
    assert_eq!(lengths.collect::<Vec<_>>(), [1 + 32 + 5, 2]);
}

#[test]
fn where_they_pass_says_nothing_of_where_packets_are_captured() {
    let mut driver = captured();
    driver.interface = 2;
    driver.error(1, 2);
    // A copy.
    driver.interface = 3;
    driver.error(1, 9);
    // The packets' interface is the first one, still, and another copy of theirs is one.
    driver.data(1, 9);
    driver.interface = 1;
    driver.data(1, 3);
    driver.close(1, "a");
    driver.until(3000);
    assert_eq!(driver.files(), [("a", &[1, 2, 3][..])]);
    assert_eq!(driver.refused["duplicate"], 2);
}
