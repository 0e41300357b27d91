//! Random histories against a plain model.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use packet_headers_common::flow_entry::{PLACES, REST_NS};
use packet_headers_common::{
    Direction, Endpoint, FlowEntry, FlowHash, FlowKey, PrimaryTap, TapPoint, Token,
};
use proptest::prelude::*;

use crate::{Entries, Memory, Shown};

/// What programs see: the entry of each slot, with its token.
#[derive(Debug, Default, Clone)]
struct Slots(Rc<RefCell<BTreeMap<u32, (Token, Shown)>>>);

impl Memory for Slots {
    fn show(&self, slot: u32, entry: &Shown, token: Token) {
        let before = self.0.borrow_mut().insert(slot, (token, *entry));
        assert_eq!(before, None, "slot {slot} was not empty");
        assert_eq!(token.slot(), slot);
    }

    fn hide(&self, slot: u32) {
        let before = self.0.borrow_mut().remove(&slot);
        assert!(before.is_some(), "slot {slot} was empty");
    }

    fn retire(&self, slot: u32) {
        let mut slots = self.0.borrow_mut();
        let (_, entry) = slots.get_mut(&slot).expect("an entry");
        if entry.deadline_ns != FlowEntry::REPLACED {
            entry.deadline_ns = 0;
        }
    }

    fn key(&self, slot: u32) -> FlowKey {
        self.0.borrow()[&slot].1.key
    }

    fn primary_tap(&self, slot: u32) -> [PrimaryTap; 2] {
        self.0.borrow()[&slot].1.primary_tap
    }
}

impl Slots {
    fn of(&self, key: &FlowKey) -> Vec<(Token, Shown)> {
        let slots = self.0.borrow();
        let of_key = slots.values().filter(|(_, entry)| entry.key == *key);
        of_key.copied().collect()
    }
}

fn key(port: u16) -> FlowKey {
    let client = Endpoint::v4([10, 0, 0, 1], port);
    FlowKey::new(client, Endpoint::v4([10, 0, 0, 2], 443))
}

fn shown(key: FlowKey, deadline_ns: u64) -> Shown {
    let tap = PrimaryTap::new(TapPoint::new(3, Direction::Egress), 5 << 30);
    Shown {
        key,
        deadline_ns,
        primary_tap: [tap, PrimaryTap::UNKNOWN],
    }
}

fn entries(slots: &Slots, shard: u32, buckets: u32) -> Entries<Slots> {
    Entries::new(slots.clone(), FlowHash::seeded(3), shard, buckets)
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Admit(u16, u64),
    Retire(u16, u64),
    Release(u16, u64),
    /// A program sees a SYN of the connection, once its capture is over.
    Replace(u16),
    Pass(u64),
}

/// Few connections of few sockets, for few places.
fn step() -> impl Strategy<Value = Step> {
    let connection = (0..12u16, 0..3u64);
    prop_oneof![
        4 => connection.clone().prop_map(|(port, cookie)| Step::Admit(port, cookie)),
        1 => connection.clone().prop_map(|(port, cookie)| Step::Retire(port, cookie)),
        3 => connection.prop_map(|(port, cookie)| Step::Release(port, cookie)),
        1 => (0..12u16).prop_map(Step::Replace),
        2 => (0..2 * REST_NS).prop_map(Step::Pass),
    ]
}

/// What a shard means by its calls: for each four-tuple, the socket and the token of the connection that
/// has a place. And when each slot was left.
#[derive(Debug, Default)]
struct Model {
    placed: BTreeMap<u16, (u64, Token)>,
    left: BTreeMap<u32, u64>,
    last: BTreeMap<u32, Token>,
}

impl Model {
    fn leave(&mut self, port: u16, now: u64) {
        if let Some((_, token)) = self.placed.remove(&port) {
            self.left.insert(token.slot(), now);
        }
    }

    fn take(&mut self, port: u16, cookie: u64, token: Token, now: u64) {
        let slot = token.slot();
        if let Some(left) = self.left.get(&slot) {
            assert!(now >= left + REST_NS, "slot {slot} has not rested");
        }
        let in_order = match self.last.insert(slot, token) {
            None => Token::first(slot),
            Some(last) => last.next(),
        };
        assert_eq!(token, in_order);
        self.leave(port, now);
        self.placed.insert(port, (cookie, token));
    }
}

proptest! {
    #[test]
    fn a_shard_s_part_is_what_its_calls_say(
        steps in proptest::collection::vec(step(), 1..200),
        buckets in prop_oneof![Just(1u32), Just(2), Just(4)],
        shard in 0u32..3,
    ) {
        let slots = Slots::default();
        let mut entries = entries(&slots, shard, buckets);
        let (mut model, mut now) = (Model::default(), 0);
        for step in steps {
            match step {
                Step::Admit(port, cookie) => {
                    let entry = shown(key(port), 10 + u64::from(port));
                    match entries.admit(now, cookie, &entry) {
                        Some(token) => {
                            model.take(port, cookie, token, now);
                            prop_assert_eq!(slots.of(&key(port)), vec![(token, entry)]);
                        }
                        None => model.leave(port, now),
                    }
                }
                Step::Retire(port, cookie) => {
                    if let Some(token) = entries.find(&key(port), cookie) {
                        let before = slots.of(&key(port))[0].1.deadline_ns;
                        entries.retire(token);
                        let after = slots.of(&key(port))[0].1.deadline_ns;
                        let replaced = before == FlowEntry::REPLACED;
                        prop_assert_eq!(after, if replaced { before } else { 0 });
                    }
                }
                Step::Release(port, cookie) => {
                    if let Some(token) = entries.find(&key(port), cookie) {
                        entries.release(now, token);
                        model.leave(port, now);
                        // It is gone: nothing more happens.
                        entries.release(now, token);
                        entries.retire(token);
                    }
                }
                Step::Replace(port) => {
                    let mut slots = slots.0.borrow_mut();
                    let mut entries = slots.values_mut();
                    if let Some((_, entry)) = entries.find(|(_, entry)| entry.key == key(port)) {
                        entry.deadline_ns = FlowEntry::REPLACED;
                    }
                }
                Step::Pass(ns) => now += ns,
            }
            prop_assert_eq!(entries.len(), model.placed.len());
            prop_assert_eq!(entries.is_empty(), model.placed.is_empty());
            prop_assert_eq!(slots.0.borrow().len(), model.placed.len());
            for port in 0..12 {
                for cookie in 0..3 {
                    let placed = model.placed.get(&port).filter(|(of, _)| *of == cookie);
                    let token = placed.map(|(_, token)| *token);
                    prop_assert_eq!(entries.find(&key(port), cookie), token);
                }
                let taps = entries.primary_tap(&key(port));
                prop_assert_eq!(taps.is_some(), model.placed.contains_key(&port));
            }
        }
        let places = shard * buckets * PLACES as u32..(shard + 1) * buckets * PLACES as u32;
        prop_assert!(model.last.keys().all(|slot| places.contains(slot)));
    }

    #[test]
    fn a_token_that_somebody_invents_does_no_harm(token: u32, now: u64) {
        let slots = Slots::default();
        let mut entries = entries(&slots, 1, 2);
        let real = entries.admit(0, 7, &shown(key(1), 5)).expect("a place");
        prop_assume!(token != real.0);
        entries.retire(Token(token));
        entries.release(now, Token(token));
        prop_assert_eq!(slots.of(&key(1)), vec![(real, shown(key(1), 5))]);
    }
}

#[test]
fn the_token_of_a_place_s_former_connection_does_no_harm() {
    let slots = Slots::default();
    let mut entries = entries(&slots, 0, 1);
    let former = entries.admit(0, 7, &shown(key(1), 5)).expect("a place");
    entries.release(0, former);
    let entry = shown(key(2), 5);
    let present = entries.admit(REST_NS, 7, &entry).expect("a place");
    assert_eq!(present.slot(), former.slot());
    entries.retire(former);
    entries.release(REST_NS, former);
    assert_eq!(slots.of(&key(2)), [(present, entry)]);
}

#[test]
fn a_place_rests_to_the_nanosecond() {
    let slots = Slots::default();
    let mut entries = entries(&slots, 0, 1);
    let mut placed = (0..4).map(|port| entries.admit(0, 0, &shown(key(port), 5)));
    let first = placed.next().flatten().expect("a place");
    assert_eq!(placed.flatten().count(), 3);
    entries.release(1000, first);
    let late = shown(key(9), 5);
    assert_eq!(entries.admit(1000 + REST_NS - 1, 0, &late), None);
    let token = entries.admit(1000 + REST_NS, 0, &late).expect("a place");
    assert_eq!(token.slot(), first.slot());
}

#[test]
fn every_place_of_a_bucket_is_used_before_there_is_none() {
    let slots = Slots::default();
    let mut entries = entries(&slots, 0, 1);
    let placed: Vec<_> = (0..6)
        .map(|port| entries.admit(0, 0, &shown(key(port), 5)).is_some())
        .collect();
    assert_eq!(placed, [true, true, true, true, false, false]);
}

/// There is no place for it, but nobody may find the older one any more.
#[test]
fn a_connection_without_a_place_ends_the_older_one_of_its_four_tuple() {
    let slots = Slots::default();
    let mut entries = entries(&slots, 0, 1);
    for port in 0..4 {
        assert!(entries.admit(0, 0, &shown(key(port), 5)).is_some());
    }
    assert_eq!(entries.admit(0, 1, &shown(key(2), 5)), None);
    assert_eq!(slots.of(&key(2)), []);
    assert_eq!(entries.find(&key(2), 0), None);
}

#[test]
fn no_deadline_looks_as_if_the_connection_were_replaced() {
    let slots = Slots::default();
    let mut entries = entries(&slots, 0, 1);
    let entry = shown(key(1), FlowEntry::REPLACED);
    entries.admit(0, 0, &entry).expect("a place");
    assert_eq!(slots.of(&key(1))[0].1.deadline_ns, 0);
}

#[test]
fn tokens_come_again_only_after_all_others_of_the_place() {
    for slot in [0, 1, (1 << 18) - 1] {
        let first = Token::first(slot);
        let mut token = first;
        for passed in 1.. {
            token = token.next();
            assert_eq!(
                (token.slot(), token.place()),
                (slot, slot as usize % PLACES)
            );
            assert_ne!(token, Token::NONE);
            if token == first {
                assert_eq!(passed, (1 << 14) - 1);
                break;
            }
        }
    }
}
