//! The rules: which flow gets which packet, and when a flow's file is finished.
//!
//! Pure: time is an argument, and what is to be done comes out as [`Action`]s. One table belongs to
//! one shard; nothing in it is shared.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use packet_headers_common::{FlowKey, Packet};

use super::census::Census;
use super::connection::{Connection, Done, Incarnations, Named, Serial, State};
use super::memory::{LONGEST_BLOCK, OVERHEAD};
use capture_files::Chunk;
use capture_files::FlowMeta;
use model::{BootNanos, Discard, EventIssue, FlowEvent, FlowUuid, Timing, WallNanos, Wanted};

/// How much there may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of memory for everything that the table holds.
    pub memory: usize,
    /// Named connections at once.
    pub flows: usize,
}

/// What the table wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write these records into the flow's file.
    Spill(Serial, FlowMeta, Chunk),
    /// Write these records, and publish the flow's file.
    Publish(Serial, FlowMeta, Chunk),
    /// Tell the kernel.
    Tell(Hint),
    /// So many packets that were held will be in no file.
    Discard(Discard, u64),
    /// A connection got its name.
    Opened,
    /// A named connection was closed.
    Closed,
    /// A named connection ended without a packet: it has no file.
    Empty,
    /// An event was not what it should be.
    Issue(EventIssue),
}

/// What the kernel is told of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// It has a lane of its own, until then; it belongs to this cookie.
    Admit(FlowKey, BootNanos, u64),
    /// The packets of this cookie's connection can be dropped: its file is finished.
    Retire(FlowKey, u64),
    /// This cookie's connection can be forgotten.
    Release(FlowKey, u64),
    /// Its packets can be dropped: nobody wants it.
    Ignore(FlowKey),
}

impl From<Hint> for Action {
    fn from(hint: Hint) -> Self {
        Self::Tell(hint)
    }
}

/// A candidate of fewer packets is not worth the kernel's attention: a SYN flood makes many.
const WORTH_IGNORING: u64 = 4;

/// The connections of one shard.
#[derive(Debug)]
pub struct FlowTable {
    pub(super) timing: Timing,
    pub(super) limits: Limits,
    pub(super) wanted: Wanted,
    pub(super) flows: HashMap<FlowKey, Incarnations>,
    pub(super) names: HashMap<FlowUuid, FlowKey>,
    /// Candidates in the order in which they began. One that has been named since stays until its
    /// turn comes.
    pub(super) waiting: VecDeque<(FlowKey, Serial)>,
    /// When to look at which named connection.
    pub(super) timers: BTreeMap<(BootNanos, Serial), FlowKey>,
    pub(super) next_serial: Serial,
    /// Bytes of candidates and their packets.
    pub(super) candidate_bytes: usize,
    /// Connections that are being captured.
    pub(super) named: usize,
    /// Connections whose file is finished.
    pub(super) done: usize,
    /// Bytes of packets of named connections.
    pub(super) buffered_bytes: usize,
    /// How long a block may get now, so that the blocks of all flows fit.
    pub(super) block_size: usize,
    pub(super) actions: Vec<Action>,
    /// What is not told by the numbers above.
    pub(super) census: Census,
}

impl FlowTable {
    /// An empty table.
    #[must_use]
    pub fn new(timing: Timing, limits: Limits, wanted: Wanted) -> Self {
        Self {
            timing,
            limits,
            wanted,
            flows: HashMap::new(),
            names: HashMap::new(),
            waiting: VecDeque::new(),
            timers: BTreeMap::new(),
            next_serial: 0,
            candidate_bytes: 0,
            named: 0,
            done: 0,
            buffered_bytes: 0,
            block_size: LONGEST_BLOCK,
            actions: Vec::new(),
            census: Census::default(),
        }
    }

    /// What is to be done since it was asked last, in order.
    pub fn actions(&mut self) -> impl Iterator<Item = Action> + '_ {
        self.actions.drain(..)
    }

    /// A packet passed. `Ok` when it is held: it comes out again in a chunk or a discard.
    ///
    /// # Errors
    /// Why it is not.
    pub fn on_packet(&mut self, packet: &Packet<'_>, wall: WallNanos) -> Result<(), Discard> {
        let now = BootNanos(packet.boot_ns);
        let key = packet.key();
        let incarnations = match self.flows.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Incarnations::new()),
        };
        let begins = incarnations
            .last()
            .is_none_or(|latest| latest.is_succeeded_by(packet));
        if begins {
            let serial = self.next_serial;
            self.next_serial += 1;
            incarnations.push(Box::new(Connection::new(serial, now)));
            self.waiting.push_back((key, serial));
            self.candidate_bytes += OVERHEAD;
            self.census.begun += 1;
            self.census.candidates += 1;
        }
        let Some(connection) = incarnations.last_mut() else {
            return Err(Discard::Unnamed);
        };
        let was_over = connection.has_ended();
        connection.note(packet, &key)?;
        let ends = !was_over && connection.has_ended();
        if ends && connection.lingers() && connection.closed().is_none() {
            self.census.lingering += 1;
        }
        let (serial, before) = (connection.serial, connection.block.capacity());
        let (mut look_again, mut full) = (ends, false);
        match &connection.state {
            State::Done(done) => return Err(done.reason),
            State::Named(_) if now >= connection.start.after(self.timing.capture) => {
                self.finish(key, serial, Some(Discard::AfterCapture));
                return Err(Discard::AfterCapture);
            }
            State::Named(_) => {
                connection.block.push(packet, wall);
                self.buffered_bytes += connection.block.capacity() - before;
                look_again |= connection.held_since.is_none();
                connection.held_since.get_or_insert(now);
                full = connection.block.is_full(self.block_size);
            }
            State::Candidate => {
                connection.block.push(packet, wall);
                self.candidate_bytes += connection.block.capacity() - before;
            }
        }
        let grew = connection.block.capacity() > before;
        if full {
            self.spill(key, serial);
        }
        if look_again {
            // It will be quiet, or has to be written, earlier than its timer says.
            self.on_timer(key, serial, now);
        }
        if grew {
            self.make_room(0);
        }
        Ok(())
    }

    /// A flow began or ended.
    pub fn on_event(&mut self, event: FlowEvent) {
        match event {
            FlowEvent::Open(open) => self.on_open(open),
            FlowEvent::Close(close) => self.on_close(&close),
        }
    }

    /// Time passed.
    pub fn tick(&mut self, now: BootNanos) {
        self.size_blocks();
        while let Some(&(key, serial)) = self.waiting.front() {
            if let Some(candidate) = self.candidate(key, serial) {
                if candidate.start.after(self.timing.uuid_wait) > now {
                    break;
                }
                self.give_up(key, serial, Discard::Unnamed);
            }
            self.waiting.pop_front();
        }
        while let Some(first) = self.timers.first_entry() {
            let &(at, serial) = first.key();
            if at > now {
                break;
            }
            let key = first.remove();
            self.on_timer(key, serial, now);
        }
        // What was given up may have become a named flow's.
        self.make_room(0);
    }

    /// No more packets will come: finishes every named flow, and gives up every candidate.
    pub fn shut_down(&mut self) {
        while let Some((key, serial)) = self.waiting.pop_front() {
            if self.candidate(key, serial).is_some() {
                self.give_up(key, serial, Discard::Unnamed);
            }
        }
        for (key, serial) in self.named() {
            self.finish(key, serial, None);
        }
    }

    /// Finishes a named connection's file. `then` says what becomes of its further packets while
    /// its socket is open; without it, the connection is over.
    pub(super) fn finish(&mut self, key: FlowKey, serial: Serial, then: Option<Discard>) {
        let Some(connection) = find(&mut self.flows, key, serial) else {
            return;
        };
        let State::Named(named) = &connection.state else {
            return;
        };
        let (armed, cookie) = ((named.armed, serial), named.cookie);
        self.census.lingering -= u64::from(connection.lingers());
        let action = if connection.has_packets() {
            let file = connection.file(&key, named);
            self.buffered_bytes -= connection.block.capacity();
            connection.held_since = None;
            Action::Publish(serial, file, connection.block.take())
        } else {
            Action::Empty
        };
        self.actions.push(action);
        self.timers.remove(&armed);
        let Some(reason) = then else {
            return self.forget(key, serial);
        };
        let done = Done {
            uuid: named.uuid.clone(),
            cookie,
            reason,
            closed: named.closed,
            armed: BootNanos(0),
        };
        connection.state = State::Done(done);
        self.named -= 1;
        self.done += 1;
        self.actions.push(Hint::Retire(key, cookie).into());
        let at = connection.deadline(&self.timing);
        self.arm(key, serial, at);
    }

    /// Nobody named a candidate. If its SYN came while an earlier connection of the four-tuple was
    /// being captured, it did not begin another one after all: its packets are that one's.
    pub(super) fn give_up(&mut self, key: FlowKey, serial: Serial, reason: Discard) {
        let Some(incarnations) = self.flows.get_mut(&key) else {
            return;
        };
        let Some(at) = incarnations.iter().position(|c| c.serial == serial) else {
            return;
        };
        let candidate = incarnations.remove(at);
        self.candidate_bytes -= candidate.block.capacity() + OVERHEAD;
        self.census.candidates -= 1;
        let packets = candidate.block.packets();
        let before = at.checked_sub(1).and_then(|at| incarnations.get_mut(at));
        let mut taken_by = None;
        match before {
            Some(earlier) if matches!(earlier.state, State::Named(_)) => {
                let capacity = earlier.block.capacity();
                earlier.block.absorb(&candidate.block);
                earlier.last = earlier.last.max(candidate.last);
                earlier.held_since.get_or_insert(candidate.start);
                taken_by = Some(earlier.serial);
                self.buffered_bytes += earlier.block.capacity() - capacity;
            }
            _ => {
                self.census.gave_up(reason);
                if packets > 0 {
                    self.actions.push(Action::Discard(reason, packets));
                }
            }
        }
        if incarnations.is_empty() {
            self.flows.remove(&key);
            if packets >= WORTH_IGNORING {
                self.actions.push(Hint::Ignore(key).into());
            }
        }
        if let Some(earlier) = taken_by {
            self.rearm(key, earlier);
        }
    }

    /// Removes a connection that is over.
    pub(super) fn forget(&mut self, key: FlowKey, serial: Serial) {
        let Some(incarnations) = self.flows.get_mut(&key) else {
            return;
        };
        if let Some(at) = incarnations.iter().position(|c| c.serial == serial) {
            let connection = incarnations.remove(at);
            match &connection.state {
                State::Candidate => {}
                State::Named(Named { uuid, cookie, .. }) => {
                    self.named -= 1;
                    self.names.remove(uuid);
                    self.actions.push(Hint::Release(key, *cookie).into());
                }
                State::Done(Done { uuid, cookie, .. }) => {
                    self.done -= 1;
                    self.names.remove(uuid);
                    self.actions.push(Hint::Release(key, *cookie).into());
                }
            }
        }
        if incarnations.is_empty() {
            self.flows.remove(&key);
        }
    }

    /// Connections that have a name.
    pub(super) fn named(&self) -> Vec<(FlowKey, Serial)> {
        let timers = self.timers.iter();
        timers.map(|(&(_, serial), &key)| (key, serial)).collect()
    }

    pub(super) fn candidate(&mut self, key: FlowKey, serial: Serial) -> Option<&Connection> {
        let connection = find(&mut self.flows, key, serial)?;
        matches!(connection.state, State::Candidate).then_some(connection)
    }

    pub(super) fn issue(&mut self, issue: EventIssue) {
        self.actions.push(Action::Issue(issue));
    }
}

pub(super) fn find(
    flows: &mut HashMap<FlowKey, Incarnations>,
    key: FlowKey,
    serial: Serial,
) -> Option<&mut Connection> {
    let incarnations = flows.get_mut(&key)?;
    let connection = incarnations.iter_mut().find(|c| c.serial == serial);
    connection.map(|connection| &mut **connection)
}

#[cfg(test)]
mod tests;
