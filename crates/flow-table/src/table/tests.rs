//! Time is moved by hand: milliseconds since an arbitrary beginning.

mod datagrams;
mod driver;
mod errors;
mod limits;
mod listing;
mod model;
mod owners;
mod touches;

use std::collections::BTreeSet;
use std::time::Duration;

use packet_headers_common::{FlowKey, LinkType, Role, Token};
use proptest::prelude::*;

use self::driver::{ROOMY, TIMING, TableDriver, at, cookie, totals_of};
use super::*;
use ::model::EventIssue;

#[test]
fn packets_before_the_open_are_in_the_file() {
    let mut driver = TableDriver::new(ROOMY);
    driver.syn(1, 1, 7);
    driver.until(4000);
    driver.data(1, 2);
    driver.open(1, "a");
    driver.data(1, 3);
    driver.close(1, "a");
    driver.until(6000);
    assert_eq!(driver.files(), [("a", &[1, 2, 3][..])]);
    assert!(driver.is_clean());
}

#[test]
fn what_the_kernel_knew_is_in_the_end_of_the_file_and_counted_once() {
    let mut driver = TableDriver::new(ROOMY);
    driver.syn(1, 1, 7);
    driver.open(1, "a");
    driver.close(1, "a");
    driver.close(1, "a");
    driver.until(2000);
    assert_eq!(driver.files(), [("a", &[1][..])]);
    assert_eq!(driver.with_totals, ["a"]);
    assert_eq!(
        (&driver.totals[..], driver.closed),
        (&[totals_of("a")][..], 1)
    );
    // Nobody asked for it.
    driver.close(2, "refused");
    assert_eq!(driver.totals.len(), 1);
    assert!(driver.is_clean());
}

#[test]
fn of_two_sources_the_one_that_knows_totals_is_believed_about_them() {
    for kernel_first in [true, false] {
        let mut driver = TableDriver::new(ROOMY);
        driver.syn(1, 1, 7);
        driver.open(1, "a");
        for kernels in [kernel_first, !kernel_first] {
            if kernels {
                driver.close(1, "a");
            } else {
                driver.close_untold(1, "a");
            }
            driver.until(driver.now + 100);
        }
        driver.until(3000);
        assert_eq!(driver.with_totals, ["a"]);
        assert_eq!(
            (&driver.totals[..], driver.closed),
            (&[totals_of("a")][..], 1)
        );
    }
}

#[test]
fn a_close_after_the_file_and_one_without_packets_are_counted_and_listed() {
    let mut driver = TableDriver::new(ROOMY);
    driver.syn(1, 1, 7);
    driver.open(1, "long");
    for second in 1..32 {
        driver.until(second * 1000);
        driver.data(1, 1 + second as u32);
    }
    assert_eq!(driver.files().len(), 1, "captured for --captureduration");
    driver.close(1, "long");
    driver.open(2, "silent");
    driver.close(2, "silent");
    assert_eq!(driver.totals, [totals_of("long"), totals_of("silent")]);
    assert_eq!(driver.with_totals, Vec::<String>::new());
    let mut walk = crate::ListingWalk::new(10);
    let list = loop {
        let list = driver
            .table
            .list(&mut walk, BootNanos(driver.now * 1_000_000));
        if let Some(list) = list {
            break list;
        }
    };
    let named = |name: &str| {
        let mut flows = list.flows.iter();
        let flow = flows.find(|flow| flow.uuid.as_ref().is_some_and(|it| it.to_string() == name));
        flow.expect("it is listed")
    };
    assert_eq!(named("long").state, ConnectionState::Finished);
    for name in ["long", "silent"] {
        assert_eq!(named(name).totals, Some(totals_of(name)));
    }
    driver.until(40_000);
    assert!(driver.is_clean());
}

#[test]
fn a_packet_that_names_a_place_which_another_connection_has_got_is_found_by_its_four_tuple() {
    let mut driver = TableDriver::new(ROOMY);
    let first = Token::first(5);
    for (client, name, token) in [(1, "a", first), (2, "b", first.next())] {
        driver.open(client, name);
        let (server, client) = driver::ends(client);
        let key = FlowKey::new(server, client);
        driver.table.bind(&key, cookie(name), token.0);
    }
    driver.entry = first.0;
    driver.data(1, 1);
    driver.entry = first.next().0;
    driver.data(2, 2);
    for (client, name) in [(1, "a"), (2, "b")] {
        driver.close(client, name);
    }
    driver.until(3000);
    assert_eq!(driver.files(), [("a", &[1][..]), ("b", &[2])]);
    assert!(driver.is_clean());
}

/// A year in nanoseconds.
const YEAR: i64 = 365 * 24 * 3600 * 1_000_000_000;

#[test]
fn a_file_keeps_the_clock_of_its_beginning_whenever_somebody_sets_the_time() {
    for step in [YEAR, -YEAR, 5_000_000, -5_000_000] {
        let mut driver = TableDriver::new(ROOMY);
        driver.clock = WallClock::apart(2 * YEAR);
        driver.syn(1, 1, 7);
        driver.open(1, "a");
        driver.until(10);
        driver.data(1, 2);
        driver.clock = WallClock::apart(2 * YEAR + step);
        driver.data(1, 3);
        // A spill later, what was written before is in its place.
        driver.until(3000);
        driver.data(1, 4);
        driver.close(1, "a");
        driver.syn(2, 5, 7);
        driver.open(2, "b");
        driver.close(2, "b");
        driver.until(5000);
        let files = [("a", &[1, 2, 3, 4][..]), ("b", &[5][..])];
        assert_eq!(driver.files(), files);
        let times = driver.times.values().map(|time| time.0.cast_signed());
        let since = [0, 10, 10, 3000].map(|ms| 2 * YEAR + ms * 1_000_000);
        let expected = [&since[..], &[2 * YEAR + step + 3_000_000_000]].concat();
        assert_eq!(times.collect::<Vec<_>>(), expected);
        assert!(driver.is_clean());
    }
}

#[test]
fn a_stray_syn_across_a_step_goes_back_to_its_place_in_the_file() {
    let mut driver = TableDriver::new(ROOMY);
    driver.clock = WallClock::apart(2 * YEAR);
    driver.syn(1, 1, 7);
    driver.open(1, "a");
    driver.clock = WallClock::apart(3 * YEAR);
    driver.until(100);
    driver.syn(1, 2, 99);
    driver.until(6000);
    driver.data(1, 3);
    driver.close(1, "a");
    driver.until(8000);
    assert_eq!(driver.files(), [("a", &[1, 2, 3][..])]);
    assert!(
        driver
            .times
            .values()
            .all(|time| time.0.cast_signed() < 3 * YEAR)
    );
    assert!(driver.is_clean());
}

#[test]
fn a_host_that_slept_finishes_what_was_silent_meanwhile_and_loses_nothing() {
    let mut driver = TableDriver::new(ROOMY);
    driver.syn(1, 1, 7);
    driver.open(1, "a");
    driver.until(1000);
    // The boot clock goes on while the host sleeps.
    driver.now += 3_600_000;
    driver.syn(2, 2, 7);
    driver.open(2, "b");
    driver.until(driver.now + 20);
    assert_eq!(driver.files(), [("a", &[1][..])]);
    driver.data(2, 3);
    driver.close(2, "b");
    driver.until(driver.now + 1500);
    assert_eq!(driver.files(), [("a", &[1][..]), ("b", &[2, 3])]);
    driver.shut_down();
    assert!(driver.is_clean());
}

#[test]
fn packets_that_return_to_their_connection_bring_along_what_is_known_by_them() {
    let mut driver = TableDriver::new(Limits { flows: 1, ..ROOMY });
    driver.link_type = LinkType::RawIp;
    driver.until(1000);
    driver.syn(1, 1, 7);
    // By its time it cannot name what began later.
    driver.open_as(1, "a", 500, Role::Accepting);
    driver.until(9000);
    // It has had packets: it is not given up for others.
    driver.open(2, "b");
    assert_eq!(driver.issues, [EventIssue::Refused]);
    driver.shut_down();
    assert_eq!(driver.files(), [("a", &[1][..])]);
    assert_eq!(driver.link_types["a"], LinkType::RawIp);
    assert!(driver.is_clean());
}

#[test]
fn packets_that_nobody_names_are_discarded_after_the_wait() {
    let mut driver = TableDriver::new(ROOMY);
    driver.syn(1, 1, 7);
    driver.until(4980);
    assert_eq!(driver.discarded.get("unnamed"), None);
    driver.data(1, 2);
    driver.until(5000);
    assert_eq!(driver.discarded["unnamed"], 2);
    assert!(driver.is_clean());
}

#[test]
fn what_comes_after_the_close_is_in_the_file_until_it_is_quiet() {
    let mut driver = TableDriver::new(ROOMY);
    driver.open(1, "a");
    driver.syn(1, 1, 7);
    driver.close(1, "a");
    driver.until(900);
    driver.data(1, 2);
    driver.until(1880);
    assert_eq!(driver.files(), []);
    driver.until(1900);
    assert_eq!(driver.files(), [("a", &[1, 2][..])]);
    assert_eq!((driver.opened, driver.closed), (1, 1));
    assert!(driver.is_clean());
}

#[test]
fn a_close_that_two_sources_tell_counts_once() {
    let mut driver = TableDriver::new(ROOMY);
    driver.open(1, "a");
    driver.syn(1, 1, 7);
    driver.close(1, "a");
    driver.until(500);
    driver.close(1, "a");
    driver.until(1000);
    // Told again, it does not delay the end.
    assert_eq!(driver.files(), [("a", &[1][..])]);
    assert_eq!((driver.opened, driver.closed), (1, 1));
    assert!(driver.is_clean());
}

#[test]
fn no_packet_is_in_memory_only_for_longer_than_the_spill_interval() {
    let mut driver = TableDriver::new(ROOMY);
    // The first two wait for their name; between some there is a pause.
    driver.data(1, 0);
    let mut sent = vec![0];
    for number in 1..45 {
        driver.until(driver.now + 100 * u64::from(number % 13));
        driver.data(1, number);
        sent.push(driver.now);
        if number == 2 {
            driver.open(1, "a");
        }
        let written: Vec<_> = driver.growing.values().flatten().copied().collect();
        let due = |&(_, at): &(usize, &u64)| at + 2000 + 20 <= driver.now;
        let due = sent.iter().enumerate().filter(due).count();
        assert!(
            written.len() >= due,
            "{written:?} of {due} at {}",
            driver.now
        );
    }
    assert!(driver.growing.values().flatten().count() > 30);
    assert_eq!(driver.files(), []);
}

#[test]
fn a_packet_after_everything_was_written_is_written_in_time_as_well() {
    let mut driver = TableDriver::new(ROOMY);
    driver.open(1, "a");
    driver.data(1, 1);
    driver.until(3000);
    driver.data(1, 2);
    driver.until(5000);
    assert!(
        driver.growing.values().eq([&[1, 2]]),
        "{:?}",
        driver.growing
    );
    assert_eq!(driver.files(), []);
}

#[test]
fn a_flow_ends_at_its_captureduration_and_the_rest_is_counted() {
    let mut driver = TableDriver::new(ROOMY);
    driver.open(1, "a");
    for number in 0..40 {
        driver.data(1, number);
        driver.until(u64::from(number + 1) * 1000);
    }
    let first_thirty: Vec<u32> = (0..30).collect();
    assert_eq!(driver.files(), [("a", &first_thirty[..])]);
    assert_eq!(driver.refused["after_captureduration"], 10);
    driver.close(1, "a");
    driver.until(42_000);
    assert!(driver.is_clean());
}

#[test]
fn a_silent_flow_ends_at_its_timeout_once() {
    let mut driver = TableDriver::new(ROOMY);
    driver.open(1, "a");
    driver.data(1, 1);
    driver.until(9000);
    driver.data(1, 2);
    driver.until(18_980);
    assert_eq!(driver.files(), []);
    driver.until(19_000);
    assert_eq!(driver.files(), [("a", &[1, 2][..])]);
    driver.data(1, 3);
    assert_eq!(driver.refused["after_flowtimeout"], 1);
    driver.until(400_000);
    assert_eq!(driver.files().len(), 1);
    assert!(driver.is_clean());
}

#[test]
fn durations_that_change_hold_from_the_next_packet_or_timer_on() {
    let mut driver = TableDriver::new(ROOMY);
    for connection in [1, 2] {
        driver.open(connection, if connection == 1 { "a" } else { "b" });
        driver.data(connection, connection.into());
    }
    driver.until(1000);
    driver.table.set_timing(Timing {
        idle: Duration::from_secs(3),
        ..TIMING
    });
    driver.data(1, 3);
    // One begins, one had a packet since, and one has a timer when its packets are spilled.
    driver.open(3, "c");
    driver.data(3, 4);
    driver.until(3980);
    assert!(
        !driver
            .files()
            .iter()
            .any(|(name, _)| ["a", "c"].contains(name))
    );
    driver.until(4020);
    let names: BTreeSet<_> = driver.files().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, BTreeSet::from(["a", "b", "c"]));
    driver.shut_down();
    assert!(driver.is_clean());
}

#[test]
fn a_connection_is_captured_for_as_long_as_was_said_when_it_began() {
    let mut driver = TableDriver::new(ROOMY);
    let lasting = |seconds| Timing {
        capture: Duration::from_secs(seconds),
        idle: Duration::from_secs(100),
        uuid_wait: Duration::from_secs(1),
        ..TIMING
    };
    // One has a packet before it is opened, and one is opened first.
    driver.table.set_timing(lasting(2));
    driver.data(1, 1);
    driver.open(2, "b");
    driver.table.set_timing(lasting(4));
    driver.open(1, "a");
    driver.data(2, 2);
    driver.open(3, "c");
    driver.data(3, 3);
    driver.table.set_timing(lasting(1));
    for (until, finished) in [(1990, 0), (2020, 2), (3990, 2), (4020, 3)] {
        driver.until(until);
        assert_eq!(driver.files().len(), finished, "{until}");
    }
    driver.data(3, 4);
    assert_eq!(driver.refused["after_captureduration"], 1);
    driver.shut_down();
    assert!(driver.is_clean());
}

#[test]
fn a_connection_whose_syn_former_filters_left_out_is_not_captured() {
    let mut driver = TableDriver::new(ROOMY);
    driver.syn(1, 1, 7);
    driver.until(100);
    driver.table.set_wanted(Wanted::All, at(100));
    driver.until(120);
    // Its SYN came before, as the former filters wanted it, too.
    driver.open(1, "a");
    // It began before, and its Open comes late.
    driver.open_as(2, "b", 90, Role::Accepting);
    driver.data(2, 2);
    // Of these, packets were left out; of one, all so far.
    driver.data(3, 3);
    driver.open(3, "c");
    driver.open(4, "d");
    driver.data(4, 4);
    // It began afterwards.
    driver.syn(5, 5, 7);
    driver.open(5, "e");
    driver.shut_down();
    let names: BTreeSet<_> = driver.files().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, BTreeSet::from(["a", "b", "e"]));
    assert_eq!(driver.issues, [EventIssue::Refused; 2]);
    assert_eq!(driver.ignored.len(), 2);
    assert!(driver.is_clean());
}

#[test]
fn later_than_a_syn_waits_its_lack_says_nothing() {
    let mut driver = TableDriver::new(ROOMY);
    driver.table.set_wanted(Wanted::All, at(0));
    let wait = u64::try_from(TIMING.uuid_wait.as_millis()).unwrap();
    driver.until(wait);
    driver.data(1, 1);
    driver.open(1, "a");
    driver.shut_down();
    assert_eq!(driver.files().len(), 1);
}

#[test]
fn the_kernel_has_judged_by_the_direction_that_was_wanted_then() {
    let mut driver = TableDriver::wanting(ROOMY, Wanted::Incoming);
    driver.syn(1, 1, 7);
    driver.syn(2, 2, 7);
    driver.until(100);
    driver.table.set_wanted(Wanted::Outgoing, at(100));
    driver.open_as(1, "a", 90, Role::Accepting);
    driver.open_as(2, "b", 100, Role::Accepting);
    driver.shut_down();
    let files: Vec<_> = driver.files().into_iter().map(|(name, _)| name).collect();
    assert_eq!(files, ["a"]);
}

#[test]
fn a_new_syn_on_an_old_four_tuple_is_a_new_file() {
    // However late the events are told, each file has its own connection's packets.
    for told_late in [false, true] {
        let mut driver = TableDriver::new(ROOMY);
        driver.syn(1, 1, 7);
        if !told_late {
            driver.open(1, "a");
        }
        driver.data(1, 2);
        if !told_late {
            driver.close(1, "a");
        }
        driver.until(100);
        driver.syn(1, 3, 8);
        driver.data(1, 4);
        if told_late {
            driver.open_as(1, "a", 0, Role::Accepting);
            driver.close(1, "a");
        }
        driver.open(1, "b");
        driver.close(1, "b");
        driver.until(2000);
        let mut files = driver.files();
        files.sort();
        assert_eq!(files, [("a", &[1, 2][..]), ("b", &[3, 4][..])]);
        assert!(driver.is_clean());
    }
}

#[test]
fn only_the_later_of_two_connections_is_announced() {
    let mut driver = TableDriver::new(ROOMY);
    driver.syn(1, 1, 7);
    driver.until(100);
    driver.syn(1, 2, 8);
    driver.until(120);
    driver.open(1, "b");
    driver.close(1, "b");
    driver.until(6000);
    assert_eq!(driver.files(), [("b", &[2][..])]);
    assert_eq!(driver.discarded["unnamed"], 1);
    assert!(driver.is_clean());
}

#[test]
fn a_repeated_syn_is_no_new_connection() {
    let mut driver = TableDriver::new(ROOMY);
    driver.syn(1, 1, 7);
    driver.syn(1, 2, 7);
    driver.open(1, "a");
    driver.syn(1, 3, 7);
    driver.close(1, "a");
    driver.until(2000);
    assert_eq!(driver.files(), [("a", &[1, 2, 3][..])]);
}

#[test]
fn a_forged_syn_does_not_take_a_live_connection_its_file() {
    let mut driver = TableDriver::new(ROOMY);
    driver.syn(1, 1, 7);
    driver.open(1, "a");
    driver.syn(1, 2, 666);
    driver.data(1, 3);
    driver.until(6000);
    driver.data(1, 4);
    driver.close(1, "a");
    driver.until(8000);
    assert_eq!(driver.files(), [("a", &[1, 2, 3, 4][..])]);
    assert!(driver.is_clean());
}

#[test]
fn an_open_before_its_first_packet_takes_its_own_syn() {
    let mut driver = TableDriver::new(ROOMY);
    driver.open(1, "a");
    driver.syn(1, 1, 7);
    driver.data(1, 2);
    driver.close(1, "a");
    driver.until(2000);
    assert_eq!(driver.files(), [("a", &[1, 2][..])]);
}

#[test]
fn of_two_local_sockets_the_accepting_one_names_the_file() {
    for first in [Role::Connecting, Role::Accepting] {
        let mut driver = TableDriver::new(ROOMY);
        driver.syn(1, 1, 7);
        for role in [first, other(first)] {
            let name = if role == Role::Accepting {
                "accepting"
            } else {
                "connecting"
            };
            driver.open_as(1, name, 0, role);
        }
        let known: Vec<_> = driver.admitted.values().copied().collect();
        assert_eq!(known, [cookie("accepting")]);
        driver.data(1, 2);
        driver.close(1, "connecting");
        driver.close(1, "accepting");
        driver.until(2000);
        assert_eq!(driver.files(), [("accepting", &[1, 2][..])]);
        assert_eq!((driver.opened, driver.closed), (1, 1));
        assert_eq!(
            driver.issues,
            [EventIssue::SecondSocket, EventIssue::UnknownClose]
        );
        assert!(driver.admitted.is_empty());
        assert!(driver.is_clean());
    }
}

fn other(role: Role) -> Role {
    match role {
        Role::Connecting => Role::Accepting,
        Role::Accepting => Role::Connecting,
    }
}

#[test]
fn a_flow_without_a_packet_has_no_file() {
    let mut driver = TableDriver::new(ROOMY);
    driver.open(1, "a");
    driver.close(1, "a");
    driver.until(2000);
    assert_eq!(driver.files(), []);
    assert_eq!(driver.empty, 1);
    assert!(driver.is_clean());
}

#[test]
fn the_oldest_candidates_go_first_when_memory_runs_out() {
    let limits = Limits {
        memory: 256 * 1024,
        flows: usize::MAX,
    };
    let mut driver = TableDriver::new(limits);
    for n in 0..1000 {
        driver.syn(n, n.into(), 7);
        assert!(driver.table.bytes() <= limits.memory);
    }
    let lost = driver.discarded["candidate_memory"];
    assert!(lost > 0 && lost < 1000);
    driver.open(999, "youngest");
    driver.close(999, "youngest");
    driver.until(6000);
    assert_eq!(driver.files(), [("youngest", &[999][..])]);
    assert_eq!(driver.discarded["unnamed"], 999 - lost);
    assert!(driver.is_clean());
}

#[test]
fn a_long_flow_is_spilled_and_none_of_it_is_lost() {
    let mut driver = TableDriver::new(ROOMY);
    driver.open(1, "a");
    for number in 0..10_000 {
        driver.data(1, number);
        if number % 100 == 0 {
            driver.until(driver.now + 20);
        }
        assert!(driver.table.bytes() <= 4 * 64 * 1024);
    }
    let spilled = driver.growing.values().map(Vec::len).sum::<usize>();
    assert!(spilled > 8000, "{spilled}");
    driver.shut_down();
    let all: Vec<u32> = (0..10_000).collect();
    assert_eq!(driver.files(), [("a", &all[..])]);
    assert!(driver.is_clean());
}

#[test]
fn a_stop_finishes_every_named_flow_and_counts_the_others() {
    let mut driver = TableDriver::new(ROOMY);
    driver.open(1, "a");
    driver.data(1, 1);
    driver.data(2, 2);
    driver.shut_down();
    assert_eq!(driver.files(), [("a", &[1][..])]);
    assert_eq!(driver.discarded["unnamed"], 1);
    assert!(driver.is_clean());
}

/// What can happen to a table.
#[derive(Debug, Clone)]
enum Step {
    Syn(u16, u32),
    Data(u16),
    Open(u16, u8, bool, u64),
    Close(u16, u8),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u16..4, 0u32..3).prop_map(|(n, isn)| Step::Syn(n, isn)),
        8 => (0u16..4).prop_map(Step::Data),
        3 => (0u16..4, 0u8..4, any::<bool>(), 0u64..3000)
            .prop_map(|(n, name, accepting, ago)| Step::Open(n, name, accepting, ago)),
        2 => (0u16..4, 0u8..4).prop_map(|(n, name)| Step::Close(n, name)),
        2 => (0u64..40_000).prop_map(Step::Wait),
        4 => (0u64..200).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever happens in whatever order: each packet comes out exactly once, in a file of its own
    /// four-tuple and in time order, or as a discard.
    #[test]
    fn no_packet_is_in_two_accounts_or_in_the_wrong_file(
        steps in proptest::collection::vec(step(), 1..200),
        memory in 4_000usize..60_000,
        flows in 1usize..5,
    ) {
        let limits = Limits { memory, flows };
        let mut driver = TableDriver::new(limits);
        let mut owner = Vec::new();
        for step in steps {
            let number = owner.len() as u32;
            match step {
                Step::Syn(n, isn) => {
                    owner.push(n);
                    driver.syn(n, number, isn);
                }
                Step::Data(n) => {
                    owner.push(n);
                    driver.data(n, number);
                }
                Step::Open(n, name, accepting, ago) => {
                    let role = if accepting { Role::Accepting } else { Role::Connecting };
                    let ms = driver.now.saturating_sub(ago);
                    driver.open_as(n, &format!("{n}_{name}"), ms, role);
                }
                Step::Close(n, name) => driver.close(n, &format!("{n}_{name}")),
                Step::Wait(ms) => driver.until(driver.now + ms),
            }
            prop_assert!(driver.table.state.connections.candidate_bytes() <= memory / 4);
            prop_assert!(driver.table.bytes() <= memory);
            prop_assert_eq!(driver.table.stats(), driver.counted());
        }
        driver.shut_down();
        prop_assert!(driver.growing.is_empty());
        let mut seen = BTreeSet::new();
        for (name, packets) in &driver.published {
            let n: u16 = name[..1].parse().unwrap();
            prop_assert!(packets.is_sorted());
            for &number in packets {
                prop_assert!(seen.insert(number), "packet {number} is in two files");
                prop_assert_eq!(owner[number as usize], n);
            }
        }
        let discarded: u64 = driver.discarded.values().sum();
        prop_assert_eq!(driver.held, seen.len() as u64 + discarded);
        let refused: u64 = driver.refused.values().sum();
        prop_assert_eq!(owner.len() as u64, driver.held + refused);
        // Connections that are done wait for their Close, and nothing else is left.
        driver.until(driver.now + 400_000);
        prop_assert!(driver.is_clean());
    }
}
