//! Every interleaving of a shard that gives places away and a program that looks, by loom.
//!
//! Two things keep a program from taking one connection's entry for another's, and each is tried without the
//! other: its second look at the token, with places that do not rest; and the rest, with a second look that
//! comes as early as a processor may have it.

use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use loom::sync::{Arc, Mutex};

use packet_headers_common::flow_entry::REST_NS;
use packet_headers_common::{Endpoint, FlowHash, FlowKey, PrimaryTap, Token};

use crate::{Entries, Memory, Shown};

/// One place. Of the key, two words: with more, there are more interleavings than anyone can wait for.
#[derive(Debug)]
struct Place {
    key: [AtomicU32; 2],
    deadline_ns: AtomicU64,
    token: AtomicU32,
    /// Locked while a program looks. A place rests for longer than a program runs: who lets it rest locks
    /// this once.
    running: Mutex<()>,
}

/// The first place of a bucket; the others stay empty.
#[derive(Debug, Clone)]
struct World(Arc<Place>);

fn key(number: u32) -> FlowKey {
    let client = Endpoint::v4([10, 0, 0, number as u8], number as u16);
    FlowKey::new(client, Endpoint::v4([192, 0, 2, 2], 443))
}

/// Both words of the key are the number of the connection.
fn number(key: &FlowKey) -> u32 {
    key.ends().0.port().into()
}

impl World {
    fn new() -> Self {
        Self(Arc::new(Place {
            key: [0, 0].map(AtomicU32::new),
            deadline_ns: AtomicU64::new(0),
            token: AtomicU32::new(0),
            running: Mutex::new(()),
        }))
    }

    /// A program whose loads are in order: the token under which it finds a connection, and its deadline.
    fn find(&self, connection: u32) -> Option<(u32, u64)> {
        let token = self.0.token.load(Ordering::Acquire);
        if token == 0 {
            return None;
        }
        let words = self.words();
        fence(Ordering::Acquire);
        let again = self.0.token.load(Ordering::Relaxed);
        let deadline_ns = self.0.deadline_ns.load(Ordering::Relaxed);
        (words == [connection; 2] && again == token).then_some((token, deadline_ns))
    }

    /// A program on a processor that loads in any order: only what lies where the token says is loaded
    /// behind it, for which loom has nothing weaker than to acquire. The second look comes right away.
    fn find_out_of_order(&self, connection: u32) -> Option<(u32, u64)> {
        let _running = self.0.running.lock().unwrap();
        let token = self.0.token.load(Ordering::Acquire);
        let again = self.0.token.load(Ordering::Relaxed);
        if token == 0 {
            return None;
        }
        let deadline_ns = self.0.deadline_ns.load(Ordering::Relaxed);
        (self.words() == [connection; 2] && again == token).then_some((token, deadline_ns))
    }

    fn words(&self) -> [u32; 2] {
        [0, 1].map(|word: usize| self.0.key[word].load(Ordering::Relaxed))
    }

    /// Waits for as long as a place rests: for longer than the program that may be looking.
    fn rest(&self) {
        drop(self.0.running.lock().unwrap());
    }
}

impl Memory for World {
    fn show(&self, slot: u32, entry: &Shown, token: Token) {
        assert_eq!(slot, 0);
        fence(Ordering::Release);
        for word in &self.0.key {
            word.store(number(&entry.key), Ordering::Relaxed);
        }
        self.0
            .deadline_ns
            .store(entry.deadline_ns, Ordering::Relaxed);
        self.0.token.store(token.0, Ordering::Release);
    }

    fn hide(&self, _slot: u32) {
        self.0.token.store(0, Ordering::Release);
    }

    fn retire(&self, _slot: u32) {
        self.0.deadline_ns.store(0, Ordering::Relaxed);
    }

    fn key(&self, _slot: u32) -> FlowKey {
        key(self.0.key[0].load(Ordering::Relaxed))
    }

    fn primary_tap(&self, _slot: u32) -> [PrimaryTap; 2] {
        [PrimaryTap::UNKNOWN; 2]
    }
}

/// The connection `number`, whose deadline tells its number too.
fn shown(number: u32) -> Shown {
    Shown {
        key: key(number),
        deadline_ns: 100 + u64::from(number),
        primary_tap: [PrimaryTap::UNKNOWN; 2],
    }
}

/// One place has a connection, and then another one, while a program looks for either.
fn look(find: fn(&World, u32) -> Option<(u32, u64)>, rest: fn(&World)) {
    for connection in [1, 2] {
        loom::model(move || {
            let world = World::new();
            let programs = world.clone();
            let program = loom::thread::spawn(move || find(&programs, connection));
            let mut entries = Entries::new(world.clone(), FlowHash::seeded(1), 0, 1);
            let one = entries.admit(0, 1, &shown(1)).expect("a place");
            entries.release(0, one);
            rest(&world);
            let two = entries.admit(REST_NS, 2, &shown(2)).expect("a place");
            assert_eq!(one.slot(), two.slot());
            let own = [one, two][connection as usize - 1];
            if let Some((token, deadline_ns)) = program.join().expect("a program") {
                assert_eq!(token, own.0);
                // It may have been found just before its place was taken.
                let numbers = [connection, 2].map(|number| 100 + u64::from(number));
                assert!(numbers.contains(&deadline_ns), "{deadline_ns}");
            }
        });
    }
}

#[test]
fn whoever_finds_a_connection_has_its_own_token() {
    look(World::find, |_| ());
}

#[test]
fn a_second_look_may_come_early_where_places_rest() {
    look(World::find_out_of_order, World::rest);
}
