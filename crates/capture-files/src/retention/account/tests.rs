//! The account by itself: what goes, what is refused, and what free space has to do with it.

use std::collections::BTreeSet;

use super::*;

const BLOCK: u64 = 4096;

const fn day(day: i8) -> Date {
    jiff::civil::date(2026, 11, day)
}

const TOMORROW: Date = day(24);

fn entry(number: u64) -> Entry {
    Entry {
        modified: number,
        name: format!("host_1_{number:016X}.pcap").into_bytes(),
        blocks: 8,
    }
}

fn account(limits: RetentionLimits) -> Account {
    let mut account = Account::new(limits);
    account.list(&BTreeSet::new());
    account.all_counted();
    account
}

const fn usage(bytes: u64, files: u64) -> Usage {
    Usage { bytes, files }
}

/// The numbers of the files that are taken.
fn taken(account: &mut Account, excess: Usage) -> Vec<u64> {
    let taken = account.take(excess, TOMORROW).into_iter();
    taken
        .flat_map(|(_, entries)| entries.into_iter().map(|it| it.modified))
        .collect()
}

#[test]
fn blocks_of_growing_and_published_files_add_up() {
    let mut account = account(RetentionLimits {
        disk: Some(3 * BLOCK),
        ..RetentionLimits::default()
    });
    account.grew(Usage::default(), Usage::file(2 * BLOCK));
    assert_eq!(account.total(), usage(2 * BLOCK, 1));
    account.grew(Usage::file(2 * BLOCK), Usage::file(3 * BLOCK));
    assert_eq!(account.excess(Usage::default()), Usage::default());
    assert_eq!(account.excess(usage(BLOCK, 1)).bytes, BLOCK);
    account.grew(Usage::file(3 * BLOCK), Usage::default());
    account.published(day(23), &entry(1));
    assert_eq!(account.total(), usage(BLOCK, 1));
}

#[test]
fn before_everything_is_counted_nothing_goes_and_little_is_written() {
    let mut account = Account::new(RetentionLimits {
        disk: Some(SLACK * 10 * BLOCK),
        ..RetentionLimits::default()
    });
    account.published(day(20), &entry(1));
    for _ in 0..10 {
        assert_eq!(account.excess(usage(BLOCK, 1)), Usage::default());
        assert_eq!(account.refusal(usage(BLOCK, 1)), None);
        account.grew(Usage::default(), Usage::file(BLOCK));
    }
    assert_eq!(account.refusal(usage(BLOCK, 1)), Some(Limit::Disk));
    account.all_counted();
    assert_eq!(account.refusal(usage(BLOCK, 1)), None);
}

/// An account of a filesystem of which ten blocks and ten inodes are to stay free.
fn with_floor(free: u64) -> Account {
    let mut account = account(RetentionLimits {
        free: 5,
        ..RetentionLimits::default()
    });
    account.set_floor(usage(10 * BLOCK, 10));
    account.measured(usage(free * BLOCK, 1000));
    account
}

#[test]
fn below_the_floor_old_files_go_and_then_new_ones_are_refused() {
    let mut account = with_floor(12);
    for number in 1..=2 {
        account.grew(Usage::default(), Usage::file(BLOCK));
        account.grew(Usage::file(BLOCK), Usage::default());
        account.published(day(23), &entry(number));
    }
    let more = usage(BLOCK, 1);
    assert_eq!(account.excess(Usage::default()), Usage::default());
    assert_eq!(account.excess(more).bytes, BLOCK);
    let excess = account.excess(more);
    assert_eq!(taken(&mut account, excess), [1]);
    assert_eq!(account.excess(more), Usage::default());
    // Others take what is left.
    account.measured(usage(2 * BLOCK, 1000));
    let excess = account.excess(more);
    assert_eq!(taken(&mut account, excess), [2]);
    assert_eq!(account.refusal(more), Some(Limit::Free));
    account.measured(usage(20 * BLOCK, 1000));
    assert_eq!(account.refusal(more), None);
}

#[test]
fn inodes_are_as_scarce_as_space() {
    let mut account = with_floor(1000);
    account.published(day(23), &entry(1));
    account.measured(usage(1000 * BLOCK, 10));
    let excess = account.excess(usage(BLOCK, 1));
    assert_eq!(excess, usage(0, 1));
    assert_eq!(taken(&mut account, excess), [1]);
    account.measured(usage(1000 * BLOCK, 5));
    assert_eq!(account.refusal(usage(BLOCK, 1)), Some(Limit::Free));
}

#[test]
fn where_removing_does_not_help_it_ends() {
    let mut account = with_floor(20);
    for number in 0..1000 {
        account.published(day(23), &entry(number));
    }
    let mut went = 0;
    for _minute in 0..100 {
        for _ in 0..50 {
            // A snapshot keeps every block, and others take what is left.
            account.measured(usage(2 * BLOCK, 1000));
            let excess = account.excess(Usage::default());
            if !excess.is_nothing() {
                went += taken(&mut account, excess).len();
            }
        }
        account.try_again();
    }
    assert_eq!(went, 3 * 8, "three times what was lacking");
    assert_eq!(account.refusal(usage(BLOCK, 1)), Some(Limit::Free));
}

#[test]
fn where_removing_helps_it_goes_on_though_others_write() {
    let mut account = with_floor(20);
    for number in 0..1000 {
        account.published(day(23), &entry(number));
    }
    let mut free = 2;
    let mut went = 0;
    for _ in 0..50 {
        account.measured(usage(free * BLOCK, 1000));
        let excess = account.excess(Usage::default());
        if !excess.is_nothing() {
            let gone = taken(&mut account, excess).len() as u64;
            went += gone;
            // Others take half of it at once.
            free += gone / 2;
        }
    }
    assert!(free >= 9 && went > 10, "{free} {went}");
}

#[test]
fn days_go_in_order_and_those_of_the_future_first() {
    let mut account = account(RetentionLimits::default());
    account.set_floor(usage(0, 1000));
    for (number, date) in [(1, day(23)), (2, day(20)), (3, day(28)), (4, day(24))] {
        account.published(date, &entry(number));
    }
    let mut order = Vec::new();
    for _ in 0..4 {
        order.extend(taken(&mut account, usage(0, 1)));
    }
    assert_eq!(order, [3, 2, 1, 4]);
}

#[test]
fn what_is_taken_while_a_directory_is_read_is_not_taken_again() {
    let mut account = Account::new(RetentionLimits::default());
    account.list(&BTreeSet::from([day(20)]));
    // Nothing is known of it, so it has to be read before anything can go.
    assert_eq!(account.take(usage(0, 1), TOMORROW), None);
    assert_eq!(account.to_scan(TOMORROW, false), Some(day(20)));
    account.begin_scan(day(20));
    let mut oldest = Oldest::within(MOST);
    for number in 1..=3 {
        oldest.add(&entry(number));
    }
    let found = |names| Found {
        usage: usage(3 * BLOCK, 3),
        names,
    };
    account.end_scan(day(20), Some(found(Some(oldest))));
    account.all_counted();
    assert_eq!(account.total(), usage(3 * BLOCK, 3));
    account.begin_scan(day(20));
    assert_eq!(taken(&mut account, usage(0, 1)), [1]);
    account.published(day(20), &entry(4));
    // The first was seen before it was removed, the last was not seen.
    let mut oldest = Oldest::within(MOST);
    for number in 1..=3 {
        oldest.add(&entry(number));
    }
    account.end_scan(day(20), Some(found(Some(oldest))));
    assert_eq!(account.total(), usage(3 * BLOCK, 3));
    assert_eq!(taken(&mut account, usage(0, 9)), [2, 3]);
    // There is one more, whose name has to be found.
    assert_eq!(account.to_scan(TOMORROW, false), Some(day(20)));
}

#[test]
fn a_limit_that_somebody_may_reach_within_a_while_is_told_from_one_that_nobody_can() {
    const GIB: u64 = 1 << 30;
    let gets_near = |disk: Option<u64>, free: u64, floor: u64| {
        let mut account = account(RetentionLimits {
            disk,
            ..RetentionLimits::default()
        });
        account.set_floor(usage(floor, 0));
        account.measured(usage(free, 1 << 40));
        assert!(!account.is_near());
        account.gets_near(Duration::from_secs(4))
    };
    assert!(!gets_near(None, 30 * GIB, 0));
    assert!(gets_near(Some(GIB), 30 * GIB, 0));
    assert!(!gets_near(Some(1000 * GIB), 30 * GIB, 0));
    assert!(!gets_near(None, 30 * GIB, GIB));
    assert!(gets_near(None, 12 * GIB, GIB));
}

/// So many files are removed one by one, the oldest first; how many files are looked at for that, each time
/// that the directory is read.
fn looked_at(files: u64) -> u64 {
    let mut account = Account::new(RetentionLimits::default());
    account.list(&BTreeSet::from([day(20)]));
    let (mut first, mut looked) = (0, 0);
    while first < files {
        let gone = taken(&mut account, usage(0, 1));
        if gone.is_empty() {
            assert_eq!(account.to_scan(TOMORROW, false), Some(day(20)), "{first}");
            account.begin_scan(day(20));
            let mut oldest = Oldest::within(MOST);
            for number in first..files {
                oldest.add(&entry(number));
            }
            let (left, names) = (files - first, Some(oldest));
            let usage = usage(left * BLOCK, left);
            account.end_scan(day(20), Some(Found { usage, names }));
            looked += left;
        } else {
            assert_eq!(gone, [first]);
            first += 1;
        }
    }
    looked
}

#[test]
fn for_a_removal_among_a_million_files_few_more_are_looked_at_than_among_a_thousand() {
    assert_eq!(looked_at(1000), 1000);
    let million = looked_at(1_000_000);
    assert!(million <= 2_000_000, "{million}");
}
