//! All connections of a table, and the only code that changes them.
//!
//! A connection is changed by a transition: it [begins](Connections::begin) as a candidate,
//! [keeps](Connections::keep) packets, is [named](Connections::name), is
//! [spilled](Connections::spill), is [finished](Connections::finish) and is
//! [forgotten](Connections::forget). Each transition goes through [`Connections::change`], which
//! updates counts, bytes and queues. So no update can be forgotten, and no other code can get them
//! wrong: the rules have no access to the fields.
//!
//! Each transition touches a bounded number of connections: the one that changes, and its neighbours
//! in a queue or among the incarnations of its four-tuple.

use std::collections::BTreeSet;
use std::sync::Arc;

use capture_files::{Job, Layout};
use hashbrown::HashMap;
use model::{BootNanos, Close, DiscardReason, FlowUuid, Open, Owner, Timing, WallClock, WallNanos};
use packet_headers_common::{FlowKey, Packet};
use slab::Slab;

use self::by_entry::ByEntry;
pub(crate) use self::connection::Connection;
pub use self::connection::ConnectionState;
use self::connection::{Capture, Finished, State};
use self::queue::Queue;

mod by_entry;
mod connection;
mod errors;
mod queue;
#[cfg(test)]
mod touches;

/// Bytes of memory that a connection takes on top of its packets: itself, its entries in the indexes,
/// and what their growth may waste.
pub(crate) const OVERHEAD: usize = 1024;

/// The slot of a connection. Valid until the connection is forgotten, which removes its ID from every
/// index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(u32);

impl Id {
    const fn slot(self) -> usize {
        self.0 as usize
    }
}

/// The connections of one four-tuple.
#[derive(Debug, Clone, Copy)]
struct Incarnations {
    youngest: Id,
    oldest: Id,
    number: u32,
}

/// The effect of a kept packet on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Whether its timer may be too late now: it has ended, or has packets to be written again.
    pub(crate) hurries: bool,
    /// Whether its buffer takes more memory.
    pub(crate) grew: bool,
    /// Whether its buffer must be spilled.
    pub(crate) is_full: bool,
}

impl Kept {
    /// Whether there is anything to be done about it.
    #[inline]
    pub(crate) const fn needs_more(self) -> bool {
        self.hurries || self.grew || self.is_full
    }
}

/// Why a packet is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotKept {
    /// It is discarded for this reason.
    Discarded(DiscardReason),
    /// The connection has been captured for `--captureduration`, and must be finished.
    IsOver,
}

/// All connections, with indexes, queues and totals.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    slots: Slab<Box<Connection>>,
    by_key: HashMap<FlowKey, Incarnations>,
    by_name: HashMap<FlowUuid, Id>,
    by_entry: ByEntry,
    /// The named connections, by when to look at them.
    timers: BTreeSet<(BootNanos, Id)>,
    queues: [Queue; QueueName::COUNT],
    totals: Totals,
    next_serial: u64,
    /// How packets of new connections are laid out in memory.
    pub(crate) layout: Layout,
    #[cfg(test)]
    touches: touches::Touches,
}

/// The totals over all connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Totals {
    /// Numbers of connections by [`ConnectionState`].
    numbers: [usize; ConnectionState::ALL.len()],
    /// Bytes of candidates' packets.
    candidates: usize,
    /// Bytes of all other connections' packets.
    others: usize,
}

/// The queues in which connections wait. A connection is in at most one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueueName {
    /// Candidates, in the order in which they began.
    Candidates,
    /// Captured connections that have never had a packet, in the order in which they were opened.
    Packetless,
    /// Connections that have packets to be written, those that have waited longest first.
    Buffering,
    /// Connections with a finished file, in the order in which these were finished.
    Finished,
}

impl QueueName {
    const COUNT: usize = 4;
}

/// A connection's part of the totals, and the queue that it belongs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    state: ConnectionState,
    capacity: usize,
    queue: Option<QueueName>,
}

/// What a packet can change of a connection's standing.
#[derive(Debug, Clone, Copy)]
struct Glance {
    has_ended: bool,
    is_empty: bool,
    is_packetless: bool,
    capacity: usize,
}

impl Glance {
    #[inline]
    fn at(connection: &Connection) -> Self {
        Self {
            has_ended: connection.has_ended(),
            is_empty: connection.buffer.is_empty(),
            is_packetless: connection.seen == 0,
            capacity: connection.buffer.capacity(),
        }
    }
}

impl Standing {
    fn of(connection: &Connection) -> Self {
        Self::at(connection, Glance::at(connection))
    }

    /// The standing of a connection when it looked like this.
    fn at(connection: &Connection, glance: Glance) -> Self {
        let state = connection.state_if(glance.has_ended);
        let queue = match state {
            ConnectionState::Candidate => Some(QueueName::Candidates),
            ConnectionState::Finished => Some(QueueName::Finished),
            ConnectionState::Capturing | ConnectionState::Lingering => {
                if !glance.is_empty {
                    Some(QueueName::Buffering)
                } else if glance.is_packetless {
                    Some(QueueName::Packetless)
                } else {
                    None
                }
            }
        };
        Self {
            state,
            capacity: glance.capacity,
            queue,
        }
    }
}

impl Totals {
    fn add(&mut self, standing: Standing) {
        self.numbers[standing.state as usize] += 1;
        *self.bytes_of(standing.state) += standing.capacity;
    }

    fn remove(&mut self, standing: Standing) {
        self.numbers[standing.state as usize] -= 1;
        *self.bytes_of(standing.state) -= standing.capacity;
    }

    const fn bytes_of(&mut self, state: ConnectionState) -> &mut usize {
        match state {
            ConnectionState::Candidate => &mut self.candidates,
            ConnectionState::Capturing | ConnectionState::Lingering | ConnectionState::Finished => {
                &mut self.others
            }
        }
    }
}

/// Queries.
impl Connections {
    /// A connection.
    #[inline]
    pub(crate) fn get(&self, id: Id) -> &Connection {
        self.touch();
        &self.slots[id.slot()]
    }

    /// The youngest connection of a four-tuple, to which its packets belong.
    #[inline]
    pub(crate) fn youngest(&self, key: &FlowKey) -> Option<Id> {
        self.by_key.get(key).map(|known| known.youngest)
    }

    /// The connection to which a packet belongs, if it does not begin one.
    #[inline]
    pub(crate) fn of(&self, packet: &Packet<'_>) -> Option<Id> {
        let known = self.at_entry(packet.entry);
        known.or_else(|| self.youngest(&packet.key()))
    }

    /// The connection that has this entry of the kernel's table, if it is the youngest of its
    /// four-tuple.
    #[inline]
    fn at_entry(&self, entry: u32) -> Option<Id> {
        let id = self.by_entry.get(entry)?;
        let connection = self.slots.get(id.slot())?;
        (connection.entry == entry && connection.younger.is_none()).then_some(id)
    }

    /// Reads what the next packet of this entry changes, and does not wait for it.
    #[inline]
    pub(crate) fn fetch(&self, entry: u32) {
        let id = self.by_entry.get(entry);
        if let Some(connection) = id.and_then(|id| self.slots.get(id.slot())) {
            connection.fetch();
        }
    }

    /// The connections of a four-tuple, youngest first.
    pub(crate) fn incarnations(&self, key: &FlowKey) -> impl Iterator<Item = (Id, &Connection)> {
        let youngest = self.youngest(key);
        let known = youngest.map(|id| (id, self.get(id)));
        std::iter::successors(known, |(_, younger)| {
            younger.older.map(|id| (id, self.get(id)))
        })
    }

    /// The oldest candidate of a four-tuple, and how many connections it has.
    pub(crate) fn oldest_candidate(&self, key: &FlowKey) -> Option<Id> {
        let mut next = self.by_key.get(key).map(|known| known.oldest);
        while let Some(id) = next {
            let connection = self.get(id);
            if connection.is_candidate() {
                return Some(id);
            }
            next = connection.younger;
        }
        None
    }

    /// How many connections of a four-tuple there are.
    pub(crate) fn number_of(&self, key: &FlowKey) -> u32 {
        self.by_key.get(key).map_or(0, |known| known.number)
    }

    /// The connection that began before it on the same four-tuple.
    pub(crate) fn before(&self, id: Id) -> Option<Id> {
        self.get(id).older
    }

    /// The connection with this name.
    pub(crate) fn named(&self, uuid: &FlowUuid) -> Option<Id> {
        self.by_name.get(uuid).copied()
    }

    /// The connection at the head of a queue, which has waited longest.
    pub(crate) fn first(&self, queue: QueueName) -> Option<Id> {
        self.queues[queue as usize].first()
    }

    /// The connection whose timer expires next, and when.
    pub(crate) fn next_timer(&self) -> Option<(BootNanos, Id)> {
        self.timers.first().copied()
    }

    /// How many connections are in a state.
    pub(crate) const fn number(&self, state: ConnectionState) -> usize {
        self.totals.numbers[state as usize]
    }

    /// How many connections have a name.
    pub(crate) const fn number_named(&self) -> usize {
        self.number_captured() + self.number(ConnectionState::Finished)
    }

    /// How many connections are being captured.
    pub(crate) const fn number_captured(&self) -> usize {
        self.number(ConnectionState::Capturing) + self.number(ConnectionState::Lingering)
    }

    /// Bytes of memory that candidates and their packets take.
    pub(crate) const fn candidate_bytes(&self) -> usize {
        self.totals.candidates + self.number(ConnectionState::Candidate) * OVERHEAD
    }

    /// Bytes of memory that packets of named connections take.
    pub(crate) const fn buffered_bytes(&self) -> usize {
        self.totals.others
    }

    /// Bytes of memory that all connections and their packets take.
    pub(crate) const fn bytes(&self) -> usize {
        self.candidate_bytes() + self.buffered_bytes() + self.number_named() * OVERHEAD
    }

    /// The connections in the next `most` slots from `place` on, some of which may be empty. `None`
    /// after the last slot.
    pub(crate) fn places(
        &self,
        place: usize,
        most: usize,
    ) -> Option<impl Iterator<Item = &Connection>> {
        let end = self.slots.capacity().min(place + most);
        let places = (place < end).then_some(place..end)?;
        Some(places.filter_map(|place| {
            self.touch();
            self.slots.get(place).map(|connection| &**connection)
        }))
    }

    /// Counts a look at a connection.
    #[inline]
    fn touch(&self) {
        #[cfg(test)]
        self.touches.add();
    }
}

/// Transitions.
impl Connections {
    /// A connection begins, as a candidate and as the youngest of its four-tuple. It is to be captured
    /// `until` then.
    pub(crate) fn begin(&mut self, key: FlowKey, start: BootNanos, until: BootNanos) -> Id {
        let before = self.youngest(&key);
        self.insert(key, (start, until), before)
    }

    /// A connection begins that was opened before its first packet came. It is older than those of its
    /// four-tuple that began later.
    pub(crate) fn begin_opened(&mut self, key: FlowKey, start: BootNanos, until: BootNanos) -> Id {
        let mut incarnations = self.incarnations(&key);
        let before = incarnations.find(|(_, connection)| connection.start <= start);
        let before = before.map(|(id, _)| id);
        drop(incarnations);
        self.insert(key, (start, until), before)
    }

    /// Adds a new candidate after `before` to the connections of its four-tuple, or as the oldest.
    fn insert(&mut self, key: FlowKey, captured: (BootNanos, BootNanos), before: Option<Id>) -> Id {
        self.touch();
        let connection = Connection::new(key, self.next_serial, captured, self.layout);
        let mut connection = Box::new(connection);
        self.next_serial += 1;
        let oldest = self.by_key.get(&key).map(|known| known.oldest);
        connection.older = before;
        connection.younger = match before {
            Some(before) => self.slots[before.slot()].younger,
            None => oldest,
        };
        let (older, younger) = (connection.older, connection.younger);
        let standing = Standing::of(&connection);
        let id = Id(u32::try_from(self.slots.insert(connection)).unwrap_or(u32::MAX));
        if let Some(older) = older {
            self.slots[older.slot()].younger = Some(id);
        }
        if let Some(younger) = younger {
            self.slots[younger.slot()].older = Some(id);
        }
        let known = self.by_key.entry(key).or_insert(Incarnations {
            youngest: id,
            oldest: id,
            number: 0,
        });
        known.number += 1;
        if younger.is_none() {
            known.youngest = id;
        }
        if older.is_none() {
            known.oldest = id;
        }
        self.enter(id, standing);
        id
    }

    /// A packet of its four-tuple came: it is kept in memory, unless there is a reason not to. `full`
    /// is the length in bytes at which a buffer is spilled.
    ///
    /// # Errors
    /// Why the packet is not kept.
    #[inline]
    pub(crate) fn keep(
        &mut self,
        id: Id,
        packet: &Packet<'_>,
        at: (WallNanos, &WallClock),
        full: usize,
    ) -> Result<Kept, NotKept> {
        self.kept(id, full, |connection| connection.keep(packet, at))
    }

    /// An ICMP error that quotes a packet of its four-tuple came: as [`Self::keep`], but the connection is as it
    /// was.
    ///
    /// # Errors
    /// Why the error is not kept.
    pub(crate) fn keep_error(
        &mut self,
        id: Id,
        packet: &Packet<'_>,
        at: (WallNanos, &WallClock),
        full: usize,
    ) -> Result<Kept, DiscardReason> {
        self.kept(id, full, |connection| connection.keep_error(packet, at))
    }

    /// Keeps what `keep` does. `full` as for [`Self::keep`].
    #[inline]
    fn kept<E>(
        &mut self,
        id: Id,
        full: usize,
        keep: impl FnOnce(&mut Connection) -> Result<(), E>,
    ) -> Result<Kept, E> {
        self.touch();
        let connection = &mut *self.slots[id.slot()];
        let before = Glance::at(connection);
        let result = keep(connection);
        let ends = before.has_ended != connection.has_ended();
        let grew = before.capacity != connection.buffer.capacity();
        let is_captured = connection.is_capturing();
        let kept = Kept {
            hurries: is_captured && (ends || before.is_empty),
            grew,
            is_full: is_captured && connection.buffer.is_full(full),
        };
        // Nearly always a packet changes nothing else.
        if ends || grew || before.is_empty {
            let standings = (Standing::at(connection, before), Standing::of(connection));
            self.adjust(id, standings);
        }
        result.map(|()| kept)
    }

    /// A candidate gets its name, and is captured from then on.
    pub(crate) fn name(&mut self, id: Id, open: Open, timing: &Timing) {
        self.by_name.insert(open.uuid.clone(), id);
        self.change(id, |connection| {
            connection.state = State::Capturing(Capture::new(open, &connection.key));
            connection.held_since = (!connection.buffer.is_empty()).then_some(connection.start);
        });
        self.set_timer(id, timing);
    }

    /// A captured connection has got this entry of the kernel's table: that of a four-tuple, with this
    /// cookie.
    pub(crate) fn bind(&mut self, key: &FlowKey, cookie: u64, entry: u32) {
        let mut incarnations = self.incarnations(key);
        let meant = incarnations.find(|(_, it)| it.is_capturing() && it.cookie() == cookie);
        let meant = meant.map(|(id, _)| id);
        drop(incarnations);
        if let Some(id) = meant {
            self.slots[id.slot()].entry = entry;
            self.by_entry.set(entry, id);
        }
    }

    /// A connection that is being captured takes the name of its other socket.
    pub(crate) fn rename(&mut self, id: Id, open: Open) {
        let before = self.get(id).uuid().cloned();
        if let Some(before) = before {
            self.by_name.remove(&before);
        }
        self.by_name.insert(open.uuid.clone(), id);
        self.change(id, |connection| {
            if let State::Capturing(capture) = &mut connection.state {
                capture.rename(open, &connection.key);
            }
        });
    }

    /// Its socket was closed, and this is what the kernel knew of it, as far as it was told. Of several
    /// times and totals, the first count; of several owners, the last.
    pub(crate) fn close(&mut self, id: Id, close: Close, timing: &Timing) {
        self.change(id, |connection| connection.close(close));
        self.set_timer(id, timing);
    }

    /// Whose a connection is that has a name already.
    pub(crate) fn belongs_to(&mut self, id: Id, owner: Arc<Owner>) {
        self.change(id, |connection| connection.belongs_to(owner));
    }

    /// Takes packets that are to be written out of a captured connection: all of them, or only those
    /// that no late packet can precede any more. `None` if there are none.
    pub(crate) fn spill(&mut self, id: Id, all: bool) -> Option<Job> {
        self.change(id, |connection| {
            let meta = connection.meta()?;
            if connection.buffer.is_empty() {
                return None;
            }
            let chunk = if all {
                connection.buffer.take()
            } else {
                connection.buffer.spill()
            };
            connection.spilled = true;
            let more = !connection.buffer.is_empty();
            connection.held_since = more.then_some(connection.last);
            Some(connection.job(meta, chunk))
        })
    }

    /// Moves a candidate's packets to a connection that is being captured.
    pub(crate) fn absorb(&mut self, candidate: Id, into: Id) {
        let taken = self.change(candidate, Connection::take);
        self.change(into, |connection| connection.absorb(&taken));
    }

    /// Finishes the file of a connection that is being captured. Further packets are discarded for
    /// this reason. Returns its last packets, or `None` if it never had any. The caller must then
    /// [forget](Self::forget) it or [set its timer](Self::set_timer) again.
    pub(crate) fn finish(&mut self, id: Id, reason: DiscardReason) -> Option<Job> {
        self.change(id, |connection| {
            let meta = connection.meta();
            let State::Capturing(capture) = &mut connection.state else {
                return None;
            };
            let finished = Finished {
                uuid: capture.uuid.clone(),
                cookie: capture.cookie,
                reason,
                closed: capture.closed,
                totals: capture.totals.take(),
                owner: capture.owner.take(),
                armed: capture.armed,
            };
            let has_packets = connection.has_packets();
            connection.state = State::Finished(finished);
            connection.held_since = None;
            let chunk = connection.buffer.take();
            has_packets
                .then_some(meta)
                .flatten()
                .map(|meta| connection.last_job(meta, chunk))
        })
    }

    /// Forgets a connection, with the packets that it has in memory.
    pub(crate) fn forget(&mut self, id: Id) {
        self.touch();
        let connection = self.get(id);
        self.leave(id, Standing::of(connection));
        if let Some(armed) = self.get(id).armed() {
            self.timers.remove(&(armed, id));
        }
        let connection = self.slots.remove(id.slot());
        if let Some(uuid) = connection.uuid() {
            self.by_name.remove(uuid);
        }
        self.unlink(&connection);
    }

    /// Removes a forgotten connection from those of its four-tuple.
    fn unlink(&mut self, connection: &Connection) {
        let (older, younger) = (connection.older, connection.younger);
        if let Some(older) = older {
            self.slots[older.slot()].younger = younger;
        }
        if let Some(younger) = younger {
            self.slots[younger.slot()].older = older;
        }
        let Some(known) = self.by_key.get_mut(&connection.key) else {
            return;
        };
        known.number -= 1;
        match (older, younger) {
            (None, None) => drop(self.by_key.remove(&connection.key)),
            (Some(older), None) => known.youngest = older,
            (None, Some(younger)) => known.oldest = younger,
            (Some(_), Some(_)) => {}
        }
    }

    /// Sets a connection's timer to the time to look at it again.
    pub(crate) fn set_timer(&mut self, id: Id, timing: &Timing) {
        let connection = self.get(id);
        let (at, armed) = (connection.deadline(timing), connection.armed());
        let Some(armed) = armed else {
            return;
        };
        // The timer of a connection that has just been named is 0, and not in the set yet.
        self.timers.remove(&(armed, id));
        self.timers.insert((at, id));
        self.slots[id.slot()].arm(at);
    }

    /// Changes a connection, and updates indexes, queues and totals accordingly.
    #[inline]
    fn change<T>(&mut self, id: Id, how: impl FnOnce(&mut Connection) -> T) -> T {
        self.touch();
        let connection = &mut self.slots[id.slot()];
        let before = Standing::of(connection);
        let result = how(connection);
        let after = Standing::of(connection);
        if before != after {
            self.adjust(id, (before, after));
        }
        result
    }

    #[cold]
    fn adjust(&mut self, id: Id, (before, after): (Standing, Standing)) {
        self.totals.remove(before);
        self.totals.add(after);
        if before.queue != after.queue {
            if let Some(queue) = before.queue {
                self.queues[queue as usize].leave(&mut self.slots, id);
            }
            if let Some(queue) = after.queue {
                self.queues[queue as usize].join(&mut self.slots, id);
            }
        }
    }

    fn enter(&mut self, id: Id, standing: Standing) {
        self.totals.add(standing);
        if let Some(queue) = standing.queue {
            self.queues[queue as usize].join(&mut self.slots, id);
        }
    }

    fn leave(&mut self, id: Id, standing: Standing) {
        self.totals.remove(standing);
        if let Some(queue) = standing.queue {
            self.queues[queue as usize].leave(&mut self.slots, id);
        }
    }
}

#[cfg(test)]
impl Connections {
    /// Whether nothing is left: no connection, no name, no timer, no byte.
    pub(crate) fn is_clean(&self) -> bool {
        self.slots.is_empty()
            && self.by_key.is_empty()
            && self.by_name.is_empty()
            && self.timers.is_empty()
            && self.queues.iter().all(|queue| queue.first().is_none())
            && self.totals == Totals::default()
    }

    /// How many connections are in a state, counted by a walk over all of them.
    pub(crate) fn count(&self, state: ConnectionState) -> usize {
        let all = self.slots.iter();
        all.filter(|(_, connection)| connection.state() == state)
            .count()
    }

    /// Asserts that indexes, queues, timers and totals agree with a walk over all connections.
    pub(crate) fn check(&self) {
        let mut totals = Totals::default();
        let mut queued = [0; QueueName::COUNT];
        let (mut named, mut armed) = (0, 0);
        for (slot, connection) in &self.slots {
            let (id, standing) = (Id(slot as u32), Standing::of(connection));
            totals.add(standing);
            if let Some(queue) = standing.queue {
                queued[queue as usize] += 1;
            }
            if let Some(uuid) = connection.uuid() {
                named += 1;
                assert_eq!(self.by_name.get(uuid), Some(&id));
            }
            if let Some(at) = connection.armed() {
                armed += 1;
                assert!(self.timers.contains(&(at, id)));
            }
            let younger = connection.younger;
            assert_eq!(
                younger.map(|it| self.slots[it.slot()].older),
                younger.map(|_| Some(id))
            );
            let is_youngest = self.by_key[&connection.key].youngest == id;
            assert_eq!(is_youngest, younger.is_none());
        }
        assert_eq!(totals, self.totals);
        assert_eq!((named, armed), (self.by_name.len(), self.timers.len()));
        for (queue, number) in self.queues.iter().zip(queued) {
            let mut walked = 0;
            let mut next = queue.first();
            while let Some(id) = next {
                walked += 1;
                next = self.slots[id.slot()].links.behind();
            }
            assert_eq!(walked, number);
        }
        let linked: u32 = self.by_key.values().map(|known| known.number).sum();
        assert_eq!(linked as usize, self.slots.len());
    }
}
