//! Which place has which connection.

use packet_headers_common::flow_entry::{self, PLACES, REST_NS};
use packet_headers_common::{FlowEntry, FlowHash, FlowKey, PrimaryTap, Token};

use crate::memory::{Memory, Shown};

/// A shard's part of the table. Nobody else puts entries into it, or takes them out.
///
/// What it knows beside the table takes 20 bytes for each place that was ever used, by pages: memory is
/// touched as connections come.
#[derive(Debug)]
pub struct Entries<M> {
    memory: M,
    hash: FlowHash,
    /// The shard's first place.
    begin: u32,
    /// Its buckets: a power of two.
    buckets: u32,
    used: usize,
    /// Of each place: its last token, or 0 if it has had none.
    tokens: Vec<u32>,
    /// Of each place: the socket's cookie of its connection.
    cookies: Vec<u64>,
    /// Of each place: [`USED`], or from when on it can be used, in boot nanoseconds.
    free_from: Vec<u64>,
}

/// A connection has the place.
const USED: u64 = u64::MAX;

impl<M: Memory> Entries<M> {
    /// The part of one shard, of a table that has so many buckets for each: a power of two.
    #[must_use]
    pub fn new(memory: M, hash: FlowHash, shard: u32, buckets: u32) -> Self {
        let places = buckets as usize * PLACES;
        Self {
            memory,
            hash,
            begin: shard * buckets * PLACES as u32,
            buckets,
            used: 0,
            tokens: vec![0; places],
            cookies: vec![0; places],
            free_from: vec![0; places],
        }
    }

    /// How many connections have a place.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.used
    }

    /// Whether none has.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Gives the connection of this socket a place, and shows it to the programs; it takes over the
    /// place of a connection with the same four-tuple, if one has any. The token, or `None` when the
    /// bucket has no place.
    ///
    /// `now_ns` is `CLOCK_BOOTTIME` in nanoseconds.
    pub fn admit(&mut self, now_ns: u64, cookie: u64, entry: &Shown) -> Option<Token> {
        let bucket = self.bucket(&entry.key);
        let mut deadline_ns = entry.deadline_ns;
        if deadline_ns == FlowEntry::REPLACED {
            deadline_ns = 0;
        }
        let entry = Shown {
            deadline_ns,
            ..*entry
        };
        let older = self.find_key(&entry.key);
        let free = bucket
            .clone()
            .find(|&place| self.free_from[place] <= now_ns);
        let token = free.map(|place| self.put(place, cookie, &entry));
        // Now, so that programs find one of the two. One that has looked at the new place too early and at
        // the old one too late finds none: its packet is a candidate, whose connection is found by its
        // four-tuple. The older place is not `place`, which was free.
        if let Some(older) = older {
            self.take_out(older, now_ns);
        }
        token
    }

    /// The entry of the connection of this socket.
    #[must_use]
    pub fn find(&self, key: &FlowKey, cookie: u64) -> Option<Token> {
        let is_it = |&place: &usize| self.cookies[place] == cookie && self.has(place, key);
        let place = self.bucket(key).find(is_it)?;
        Some(Token(self.tokens[place]))
    }

    /// What the programs have found for this four-tuple, if a connection has a place.
    #[must_use]
    pub fn primary_tap(&self, key: &FlowKey) -> Option<[PrimaryTap; 2]> {
        let place = self.find_key(key)?;
        Some(self.memory.primary_tap(self.slot(place)))
    }

    /// The capture of an entry's connection is over. Nothing happens when the entry is gone.
    pub fn retire(&mut self, token: Token) {
        if let Some(place) = self.place(token) {
            self.memory.retire(self.slot(place));
        }
    }

    /// Takes an entry out. Nothing happens when it is gone.
    pub fn release(&mut self, now_ns: u64, token: Token) {
        if let Some(place) = self.place(token) {
            self.take_out(place, now_ns);
        }
    }

    fn put(&mut self, place: usize, cookie: u64, entry: &Shown) -> Token {
        let slot = self.slot(place);
        let token = match Token(self.tokens[place]) {
            Token::NONE => Token::first(slot),
            last => last.next(),
        };
        self.tokens[place] = token.0;
        self.cookies[place] = cookie;
        self.free_from[place] = USED;
        self.used += 1;
        self.memory.show(slot, entry, token);
        token
    }

    fn take_out(&mut self, place: usize, now_ns: u64) {
        self.memory.hide(self.slot(place));
        self.free_from[place] = now_ns.saturating_add(REST_NS);
        self.used -= 1;
    }

    /// The places where a connection can be.
    fn bucket(&self, key: &FlowKey) -> std::ops::Range<usize> {
        let bucket = flow_entry::bucket(self.hash.of(key), 0, self.buckets) as usize;
        bucket * PLACES..(bucket + 1) * PLACES
    }

    /// The place that a connection with this four-tuple has. There is at most one.
    fn find_key(&self, key: &FlowKey) -> Option<usize> {
        self.bucket(key).find(|&place| self.has(place, key))
    }

    fn has(&self, place: usize, key: &FlowKey) -> bool {
        self.free_from[place] == USED && self.memory.key(self.slot(place)) == *key
    }

    /// The place of the entry that has this token now.
    fn place(&self, token: Token) -> Option<usize> {
        let place = token.slot().checked_sub(self.begin)? as usize;
        let has_it = *self.tokens.get(place)? == token.0 && self.free_from[place] == USED;
        has_it.then_some(place)
    }

    fn slot(&self, place: usize) -> u32 {
        self.begin + place as u32
    }
}
