//! Every interleaving of a shard that gives places away and a program that looks, by loom.
//!
//! Places do not rest here: what the token alone holds must hold.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use packet_headers_common::flow_entry::REST_NS;
use packet_headers_common::{Endpoint, FlowHash, FlowKey, PrimaryTap, Token};

use crate::{Entries, Memory, Shown};

/// One place. Of the key, two words: with more, there are more interleavings than anyone can wait for.
#[derive(Debug)]
struct Place {
    key: [AtomicU32; 2],
    deadline_ns: AtomicU64,
    token: AtomicU32,
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
        }))
    }

    /// A program: the token under which it finds a connection, and its deadline.
    ///
    /// Its loads are in order: those of the entry follow from the token, and the last one is, as places
    /// rest, as good as in order, see `packet-headers-ebpf/src/entries.rs`.
    fn find(&self, connection: u32) -> Option<(u32, u64)> {
        let token = self.0.token.load(Ordering::Acquire);
        if token == 0 {
            return None;
        }
        let words = [0, 1].map(|word: usize| self.0.key[word].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let again = self.0.token.load(Ordering::Relaxed);
        let deadline_ns = self.0.deadline_ns.load(Ordering::Relaxed);
        (words == [connection; 2] && again == token).then_some((token, deadline_ns))
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
        self.0.token.store(0, Ordering::Relaxed);
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

#[test]
fn whoever_finds_a_connection_has_its_own_token() {
    for connection in [1, 2] {
        loom::model(move || {
            let world = World::new();
            let programs = world.clone();
            let program = loom::thread::spawn(move || programs.find(connection));
            let mut entries = Entries::new(world, FlowHash::seeded(1), 0, 1);
            let one = entries.admit(0, 1, &shown(1)).expect("a place");
            entries.release(0, one);
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
