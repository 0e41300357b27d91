//! What a list of connections says.

use model::BootNanos;
use packet_headers_common::record::{TCP_ACK, TCP_SYN};

use super::driver::{ROOMY, TableDriver, ends};
use crate::{ConnectionState, Listing, ListingWalk};

fn list(driver: &TableDriver, limit: usize) -> Listing {
    let mut walk = ListingWalk::new(limit);
    let now = BootNanos(driver.now * 1_000_000);
    loop {
        if let Some(listing) = driver.table.list(&mut walk, now) {
            return listing;
        }
    }
}

#[test]
fn the_most_recently_active_ones_are_listed_in_order() {
    let mut driver = TableDriver::new(ROOMY);
    for n in 0..100 {
        driver.syn(n, 1, 7);
        driver.open(n, &format!("{n}"));
        driver.until(driver.now + 20);
    }
    // The oldest one is active again.
    driver.data(0, 2);
    let listing = list(&driver, 3);
    let names: Vec<_> = listing
        .flows
        .iter()
        .map(|flow| flow.uuid.as_ref())
        .collect();
    let names: Vec<_> = names
        .into_iter()
        .flatten()
        .map(::model::FlowUuid::as_str)
        .collect();
    assert_eq!((listing.total, names), (100, vec!["0", "99", "98"]));
    assert_eq!(listing.flows[0].packets, 2);
    assert_eq!(list(&driver, 1000).flows.len(), 100);
    assert_eq!(list(&driver, 0).flows, []);
}

#[test]
fn each_state_is_named() {
    let mut driver = TableDriver::new(ROOMY);
    driver.syn(1, 1, 7);
    driver.open(1, "finished");
    driver.until(11_000);
    driver.syn(2, 1, 7);
    driver.open(2, "lingering");
    driver.close(2, "lingering");
    driver.until(11_020);
    driver.syn(3, 1, 7);
    driver.open(3, "capturing");
    driver.until(11_040);
    driver.syn(4, 1, 7);
    let states: Vec<_> = list(&driver, 9)
        .flows
        .iter()
        .map(|flow| flow.state)
        .collect();
    assert_eq!(
        states,
        [
            ConnectionState::ALL[0],
            ConnectionState::ALL[1],
            ConnectionState::ALL[2],
            ConnectionState::ALL[3]
        ]
    );
}

#[test]
fn the_local_end_of_a_candidate_is_where_its_first_packet_went() {
    for (from_server, local) in [(false, 0), (true, 1)] {
        let mut driver = TableDriver::new(ROOMY);
        // Every packet of these tests comes in.
        if from_server {
            driver.reply(1, 1, TCP_SYN | TCP_ACK, 7);
        } else {
            driver.syn(1, 1, 7);
        }
        let (server, client) = ends(1);
        let flow = list(&driver, 1).flows.remove(0);
        let expected = [server, client];
        assert_eq!(
            (flow.local, flow.remote),
            (expected[local], expected[1 - local])
        );
    }
}
