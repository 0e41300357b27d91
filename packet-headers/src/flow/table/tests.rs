//! Time is moved by hand: milliseconds since an arbitrary beginning.

mod bench;
mod limits;
mod model;

use std::collections::BTreeSet;

use packet_headers_common::Role;
use proptest::prelude::*;

use self::bench::{Bench, ROOMY};
use super::*;

#[test]
fn packets_before_the_open_are_in_the_file() {
    let mut bench = Bench::new(ROOMY);
    bench.syn(1, 1, 7);
    bench.until(4000);
    bench.data(1, 2);
    bench.open(1, "a");
    bench.data(1, 3);
    bench.close(1, "a");
    bench.until(6000);
    assert_eq!(bench.files(), [("a", &[1, 2, 3][..])]);
    assert!(bench.is_clean());
}

#[test]
fn packets_that_nobody_names_are_discarded_after_the_wait() {
    let mut bench = Bench::new(ROOMY);
    bench.syn(1, 1, 7);
    bench.until(4980);
    assert_eq!(bench.discarded.get("unnamed"), None);
    bench.data(1, 2);
    bench.until(5000);
    assert_eq!(bench.discarded["unnamed"], 2);
    assert!(bench.is_clean());
}

#[test]
fn what_comes_after_the_close_is_in_the_file_until_it_is_quiet() {
    let mut bench = Bench::new(ROOMY);
    bench.open(1, "a");
    bench.syn(1, 1, 7);
    bench.close(1, "a");
    bench.until(900);
    bench.data(1, 2);
    bench.until(1880);
    assert_eq!(bench.files(), []);
    bench.until(1900);
    assert_eq!(bench.files(), [("a", &[1, 2][..])]);
    assert_eq!((bench.opened, bench.closed), (1, 1));
    assert!(bench.is_clean());
}

#[test]
fn no_packet_is_in_memory_only_for_longer_than_the_spill_interval() {
    let mut bench = Bench::new(ROOMY);
    // The first two wait for their name; between some there is a pause.
    bench.data(1, 0);
    let mut sent = vec![0];
    for number in 1..45 {
        bench.until(bench.now + 100 * u64::from(number % 13));
        bench.data(1, number);
        sent.push(bench.now);
        if number == 2 {
            bench.open(1, "a");
        }
        let written: Vec<_> = bench.growing.values().flatten().copied().collect();
        let due = |&(_, at): &(usize, &u64)| at + 2000 + 20 <= bench.now;
        let due = sent.iter().enumerate().filter(due).count();
        assert!(
            written.len() >= due,
            "{written:?} of {due} at {}",
            bench.now
        );
    }
    assert!(bench.growing.values().flatten().count() > 30);
    assert_eq!(bench.files(), []);
}

#[test]
fn a_packet_after_everything_was_written_is_written_in_time_as_well() {
    let mut bench = Bench::new(ROOMY);
    bench.open(1, "a");
    bench.data(1, 1);
    bench.until(3000);
    bench.data(1, 2);
    bench.until(5000);
    assert!(bench.growing.values().eq([&[1, 2]]), "{:?}", bench.growing);
    assert_eq!(bench.files(), []);
}

#[test]
fn a_flow_ends_at_its_captureduration_and_the_rest_is_counted() {
    let mut bench = Bench::new(ROOMY);
    bench.open(1, "a");
    for number in 0..40 {
        bench.data(1, number);
        bench.until(u64::from(number + 1) * 1000);
    }
    let first_thirty: Vec<u32> = (0..30).collect();
    assert_eq!(bench.files(), [("a", &first_thirty[..])]);
    assert_eq!(bench.refused["after_captureduration"], 10);
    bench.close(1, "a");
    bench.until(42_000);
    assert!(bench.is_clean());
}

#[test]
fn a_silent_flow_ends_at_its_timeout_once() {
    let mut bench = Bench::new(ROOMY);
    bench.open(1, "a");
    bench.data(1, 1);
    bench.until(9000);
    bench.data(1, 2);
    bench.until(18_980);
    assert_eq!(bench.files(), []);
    bench.until(19_000);
    assert_eq!(bench.files(), [("a", &[1, 2][..])]);
    bench.data(1, 3);
    assert_eq!(bench.refused["after_flowtimeout"], 1);
    bench.until(400_000);
    assert_eq!(bench.files().len(), 1);
    assert!(bench.is_clean());
}

#[test]
fn a_new_syn_on_an_old_four_tuple_is_a_new_file() {
    // However late the events are told, each file has its own connection's packets.
    for told_late in [false, true] {
        let mut bench = Bench::new(ROOMY);
        bench.syn(1, 1, 7);
        if !told_late {
            bench.open(1, "a");
        }
        bench.data(1, 2);
        if !told_late {
            bench.close(1, "a");
        }
        bench.until(100);
        bench.syn(1, 3, 8);
        bench.data(1, 4);
        if told_late {
            bench.open_as(1, "a", 0, Role::Accepting);
            bench.close(1, "a");
        }
        bench.open(1, "b");
        bench.close(1, "b");
        bench.until(2000);
        let mut files = bench.files();
        files.sort();
        assert_eq!(files, [("a", &[1, 2][..]), ("b", &[3, 4][..])]);
        assert!(bench.is_clean());
    }
}

#[test]
fn only_the_later_of_two_connections_is_announced() {
    let mut bench = Bench::new(ROOMY);
    bench.syn(1, 1, 7);
    bench.until(100);
    bench.syn(1, 2, 8);
    bench.until(120);
    bench.open(1, "b");
    bench.close(1, "b");
    bench.until(6000);
    assert_eq!(bench.files(), [("b", &[2][..])]);
    assert_eq!(bench.discarded["unnamed"], 1);
    assert!(bench.is_clean());
}

#[test]
fn a_repeated_syn_is_no_new_connection() {
    let mut bench = Bench::new(ROOMY);
    bench.syn(1, 1, 7);
    bench.syn(1, 2, 7);
    bench.open(1, "a");
    bench.syn(1, 3, 7);
    bench.close(1, "a");
    bench.until(2000);
    assert_eq!(bench.files(), [("a", &[1, 2, 3][..])]);
}

#[test]
fn a_forged_syn_does_not_take_a_live_connection_its_file() {
    let mut bench = Bench::new(ROOMY);
    bench.syn(1, 1, 7);
    bench.open(1, "a");
    bench.syn(1, 2, 666);
    bench.data(1, 3);
    bench.until(6000);
    bench.data(1, 4);
    bench.close(1, "a");
    bench.until(8000);
    assert_eq!(bench.files(), [("a", &[1, 2, 3, 4][..])]);
    assert!(bench.is_clean());
}

#[test]
fn an_open_before_its_first_packet_takes_its_own_syn() {
    let mut bench = Bench::new(ROOMY);
    bench.open(1, "a");
    bench.syn(1, 1, 7);
    bench.data(1, 2);
    bench.close(1, "a");
    bench.until(2000);
    assert_eq!(bench.files(), [("a", &[1, 2][..])]);
}

#[test]
fn of_two_local_sockets_the_accepting_one_names_the_file() {
    for first in [Role::Connecting, Role::Accepting] {
        let mut bench = Bench::new(ROOMY);
        bench.syn(1, 1, 7);
        for role in [first, other(first)] {
            let name = if role == Role::Accepting {
                "accepting"
            } else {
                "connecting"
            };
            bench.open_as(1, name, 0, role);
        }
        bench.data(1, 2);
        bench.close(1, "connecting");
        bench.close(1, "accepting");
        bench.until(2000);
        assert_eq!(bench.files(), [("accepting", &[1, 2][..])]);
        assert_eq!((bench.opened, bench.closed), (1, 1));
        assert_eq!(
            bench.issues,
            [EventIssue::SecondSocket, EventIssue::UnknownClose]
        );
        assert!(bench.is_clean());
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
    let mut bench = Bench::new(ROOMY);
    bench.open(1, "a");
    bench.close(1, "a");
    bench.until(2000);
    assert_eq!(bench.files(), []);
    assert_eq!(bench.empty, 1);
    assert!(bench.is_clean());
}

#[test]
fn the_oldest_candidates_go_first_when_memory_runs_out() {
    let limits = Limits {
        memory: 256 * 1024,
        flows: usize::MAX,
    };
    let mut bench = Bench::new(limits);
    for n in 0..1000 {
        bench.syn(n, n.into(), 7);
        assert!(bench.table.bytes() <= limits.memory);
    }
    let lost = bench.discarded["candidate_memory"];
    assert!(lost > 0 && lost < 1000);
    bench.open(999, "youngest");
    bench.close(999, "youngest");
    bench.until(6000);
    assert_eq!(bench.files(), [("youngest", &[999][..])]);
    assert_eq!(bench.discarded["unnamed"], 999 - lost);
    assert!(bench.is_clean());
}

#[test]
fn a_long_flow_is_spilled_and_none_of_it_is_lost() {
    let mut bench = Bench::new(ROOMY);
    bench.open(1, "a");
    for number in 0..10_000 {
        bench.data(1, number);
        if number % 100 == 0 {
            bench.until(bench.now + 20);
        }
        assert!(bench.table.bytes() <= 4 * 64 * 1024);
    }
    let spilled = bench.growing.values().map(Vec::len).sum::<usize>();
    assert!(spilled > 8000, "{spilled}");
    bench.shut_down();
    let all: Vec<u32> = (0..10_000).collect();
    assert_eq!(bench.files(), [("a", &all[..])]);
    assert!(bench.is_clean());
}

#[test]
fn a_stop_finishes_every_named_flow_and_counts_the_others() {
    let mut bench = Bench::new(ROOMY);
    bench.open(1, "a");
    bench.data(1, 1);
    bench.data(2, 2);
    bench.shut_down();
    assert_eq!(bench.files(), [("a", &[1][..])]);
    assert_eq!(bench.discarded["unnamed"], 1);
    assert!(bench.is_clean());
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
        let mut bench = Bench::new(limits);
        let mut owner = Vec::new();
        for step in steps {
            let number = owner.len() as u32;
            match step {
                Step::Syn(n, isn) => {
                    owner.push(n);
                    bench.syn(n, number, isn);
                }
                Step::Data(n) => {
                    owner.push(n);
                    bench.data(n, number);
                }
                Step::Open(n, name, accepting, ago) => {
                    let role = if accepting { Role::Accepting } else { Role::Connecting };
                    let ms = bench.now.saturating_sub(ago);
                    bench.open_as(n, &format!("{n}_{name}"), ms, role);
                }
                Step::Close(n, name) => bench.close(n, &format!("{n}_{name}")),
                Step::Wait(ms) => bench.until(bench.now + ms),
            }
            prop_assert!(bench.table.candidate_bytes <= memory / 4);
            prop_assert!(bench.table.bytes() <= memory);
            prop_assert_eq!(bench.table.census(), bench.counted());
        }
        bench.shut_down();
        prop_assert!(bench.growing.is_empty());
        let mut seen = BTreeSet::new();
        for (name, packets) in &bench.published {
            let n: u16 = name[..1].parse().unwrap();
            prop_assert!(packets.is_sorted());
            for &number in packets {
                prop_assert!(seen.insert(number), "packet {number} is in two files");
                prop_assert_eq!(owner[number as usize], n);
            }
        }
        let discarded: u64 = bench.discarded.values().sum();
        prop_assert_eq!(bench.held, seen.len() as u64 + discarded);
        let refused: u64 = bench.refused.values().sum();
        prop_assert_eq!(owner.len() as u64, bench.held + refused);
        // Connections that are done wait for their Close, and nothing else is left.
        bench.until(bench.now + 400_000);
        prop_assert!(bench.is_clean());
    }
}
