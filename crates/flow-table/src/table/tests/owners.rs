//! Whose a connection is.

use std::sync::Arc;

use ::model::Owner;
use packet_headers_common::Role;

use super::driver::{ROOMY, TableDriver};

fn owner(pid: u32) -> Arc<Owner> {
    Arc::new(Owner {
        uid: 33,
        pid: Some(pid),
        process: None,
        cgroup: None,
    })
}

/// The process that each file says.
fn pids(table: &TableDriver) -> Vec<(&str, Option<u32>)> {
    let of = |owner: &Option<Arc<Owner>>| owner.as_ref().and_then(|owner| owner.pid);
    let owners = table.owners.iter();
    owners
        .map(|(name, owner)| (name.as_str(), of(owner)))
        .collect()
}

#[test]
fn who_closes_a_connection_has_it_and_before_that_who_opened_it() {
    let mut table = TableDriver::new(ROOMY);
    for (n, name) in [(1, "closed"), (2, "closed_untold"), (3, "open")] {
        table.owner = Some(owner(1));
        table.open(n, name);
        table.data(n, n.into());
        table.owner = (n == 1).then(|| owner(2));
        if n < 3 {
            table.close(n, name);
        }
    }
    table.until(60_000);
    table.shut_down();
    let expected = [
        ("closed", Some(2)),
        ("closed_untold", Some(1)),
        ("open", Some(1)),
    ];
    assert_eq!(pids(&table), expected);
}

#[test]
fn of_two_sources_the_one_that_knows_is_believed_and_the_second_socket_brings_its_own() {
    let mut table = TableDriver::new(ROOMY);
    table.open_untold(1, "told_twice");
    table.owner = Some(owner(7));
    table.open(1, "told_twice");
    table.data(1, 1);
    // The other socket of the next connection is on this host too, and its name wins.
    table.owner = Some(owner(8));
    table.open_as(2, "connecting", table.now, Role::Connecting);
    table.data(2, 2);
    table.owner = Some(owner(9));
    table.open_as(2, "accepting", table.now, Role::Accepting);
    table.shut_down();
    assert_eq!(
        pids(&table),
        [("accepting", Some(9)), ("told_twice", Some(7))]
    );
}

#[test]
fn who_closes_the_socket_after_the_connection_has_ended_has_it_while_its_file_lingers() {
    let mut table = TableDriver::new(ROOMY);
    table.owner = Some(owner(1));
    table.open(1, "in_time");
    table.open(2, "late");
    table.owner = None;
    for (n, name) in [(1, "in_time"), (2, "late")] {
        table.data(n, n.into());
        table.close(n, name);
    }
    table.left(1, "in_time", owner(2));
    table.until(60_000);
    table.left(2, "late", owner(2));
    assert_eq!(pids(&table), [("in_time", Some(2)), ("late", Some(1))]);
    assert!(table.issues.is_empty(), "{:?}", table.issues);
}
