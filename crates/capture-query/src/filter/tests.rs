use super::*;
use crate::condition::tests::row;

fn filter(change: impl FnOnce(&mut Filter)) -> bool {
    let mut filter = Filter::default();
    change(&mut filter);
    filter.takes(&row())
}

#[test]
fn either_end_may_be_the_one_that_is_meant() {
    let address = |nets: &[&str]| {
        let nets = nets.iter().map(|net| net.parse().unwrap()).collect();
        filter(|filter| filter.addresses = nets)
    };
    assert!(address(&[]));
    assert!(address(&["192.0.2.1/32"]));
    assert!(address(&["198.51.100.0/24", "192.0.2.2/32"]));
    assert!(!address(&["198.51.100.0/24"]));
    assert!(filter(|filter| filter.ports = vec![1, 443]));
    assert!(filter(|filter| filter.ports = vec![50_000]));
    assert!(!filter(|filter| filter.ports = vec![80]));
}

#[test]
fn an_ipv4_address_in_ipv6_is_found_by_either() {
    let end = |address: &str| -> SocketAddr { format!("[{address}]:1").parse().unwrap() };
    let ends = (end("::ffff:192.0.2.1"), end("2001:db8::1"));
    for (net, found) in [
        ("192.0.2.0/24", true),
        ("::ffff:0:0/96", true),
        ("198.51.100.0/24", false),
    ] {
        let filter = Filter {
            addresses: vec![net.parse().unwrap()],
            ..Filter::default()
        };
        assert_eq!(filter.takes_ends(ends), found, "{net}");
    }
}

#[test]
fn the_end_of_a_time_does_not_count_and_its_beginning_does() {
    let start = row().start_time.0;
    for (since, until, found) in [
        (Some(start), None, true),
        (Some(start + 1), None, false),
        (None, Some(start + 1), true),
        (None, Some(start), false),
    ] {
        let found_it = filter(|filter| (filter.since, filter.until) = (since, until));
        assert_eq!(found_it, found, "{since:?} {until:?}");
    }
}

#[test]
fn what_is_not_known_is_not_at_least_anything() {
    assert!(filter(|filter| filter.min_retransmissions = Some(0)));
    assert!(!filter(|filter| filter.min_retransmissions = Some(1)));
    assert!(!filter(|filter| filter.min_rtt_us = Some(0)));
    assert!(!filter(|filter| filter.min_bytes = Some(1)));
}

#[test]
fn an_owner_is_chosen_at_either_end_and_nobody_by_none() {
    let uid = |uid| WantedOwners {
        uids: vec![uid],
        ..WantedOwners::default()
    };
    for at in [0, 1] {
        let mut row = row();
        let ends = [
            (row.client_ip, row.client_port),
            (row.server_ip, row.server_port),
        ];
        let mut ends = ends.map(SocketAddr::from);
        ends.rotate_left(at);
        let takes = |row: &Row, owners| {
            let filter = Filter {
                owners,
                ..Filter::default()
            };
            assert_eq!(filter.is_of_ends(), filter.owners.is_everybody());
            filter.takes(row)
        };
        assert!(takes(&row, WantedOwners::default()) && !takes(&row, uid(33)));
        let owner = model::Owner {
            uid: 33,
            pid: None,
            process: Some("nginx".into()),
            cgroup: Some("/system.slice/nginx.service".into()),
        };
        assert!(row.set_owner(ends, &owner));
        assert!(takes(&row, WantedOwners::default()));
        assert!(takes(&row, uid(33)) && !takes(&row, uid(0)));
        let cgroup = |path: &str| WantedOwners {
            cgroups: vec![path.parse().unwrap()],
            ..uid(33)
        };
        assert!(takes(&row, cgroup("/system.slice")) && !takes(&row, cgroup("/user.slice")));
    }
}
