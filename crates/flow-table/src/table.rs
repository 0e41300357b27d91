//! The table's public interface: what goes in, and what comes out.

use capture_files::Layout;
use model::{BootNanos, DiscardReason, FlowEvent, Protocol, Timing, WallClock, WallNanos, Wanted};
use packet_headers_common::{FlowKey, Packet};

use crate::action::Action;
use crate::connections::{ConnectionState, Id, Kept, NotKept, QueueName};
use crate::datagram_names::DatagramNames;
use crate::datagrams::Datagrams;
use crate::rules::{datagrams, ending, memory, naming, time};
use crate::state::{Limits, State};
use crate::stats::{TableCounts, TableStats};

/// The most connections of one four-tuple that are known at once. Each SYN with another sequence
/// number begins one, so anybody can make many. One more replaces the oldest candidate.
const MOST_INCARNATIONS: u32 = 64;

/// The connections of one shard.
#[derive(Debug)]
pub struct FlowTable {
    pub(crate) state: State,
    /// The length in bytes at which a buffer is spilled, so that the buffers of all connections fit.
    buffer_size: usize,
}

impl FlowTable {
    /// An empty table.
    #[must_use]
    pub fn new(timing: Timing, limits: Limits, wanted: Wanted) -> Self {
        Self {
            state: State::new(timing, limits, wanted),
            buffer_size: memory::LONGEST_BUFFER,
        }
    }

    /// Lays packets out as their files need it: as for plain pcap files, unless this is called, before
    /// the first packet comes.
    #[must_use]
    pub const fn with_layout(mut self, layout: Layout) -> Self {
        self.state.connections.layout = layout;
        self
    }

    /// Has a table of UDP flows, which are named by their first packets. [`Timing::idle`] is for how long a flow
    /// may be silent. Of events, only a Close is for it, by the name that a connection of the socket would have.
    #[must_use]
    pub fn of_datagrams(mut self, names: DatagramNames) -> Self {
        self.state.datagrams = Some(Datagrams::new(names));
        self
    }

    /// What its flows are of.
    pub(crate) const fn protocol(&self) -> Protocol {
        match self.state.datagrams {
            Some(_) => Protocol::Udp,
            None => Protocol::Tcp,
        }
    }

    /// Replaces the durations: for connections that begin, and for each that is there from its next
    /// packet or timer on. For how long a connection is captured is said when it begins.
    pub const fn set_timing(&mut self, timing: Timing) {
        self.state.timing = timing;
    }

    /// Other filters came into force at `since`, and these connections are wanted from then on. One
    /// that was established later, whose SYN the former filters left out, is refused: its file would
    /// lack its beginning.
    pub const fn set_wanted(&mut self, wanted: Wanted, since: BootNanos) {
        self.state.wanted = wanted;
        self.state.refiltered = Some(since);
    }

    /// The actions since the last call, in order.
    pub fn actions(&mut self) -> impl Iterator<Item = Action> + '_ {
        self.state.actions.drain(..)
    }

    /// What happened since the last call.
    pub fn take_counts(&mut self) -> TableCounts {
        std::mem::take(&mut self.state.counts)
    }

    /// The numbers of connections by state and outcome.
    #[must_use]
    pub fn stats(&self) -> TableStats {
        let number = |state| self.state.connections.number(state) as u64;
        TableStats {
            candidates: number(ConnectionState::Candidate),
            capturing: number(ConnectionState::Capturing),
            lingering: number(ConnectionState::Lingering),
            finished: number(ConnectionState::Finished),
            bytes: self.bytes() as u64,
            ..self.state.stats
        }
    }

    /// Bytes of memory that connections and their packets take.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.state.connections.bytes()
    }

    /// A packet passed at `wall` by a clock. On `Ok` it is held, and later comes out in a chunk or as
    /// a discard. All packets of a connection are dated by the clock of its first packet, so that
    /// their times are in order whenever somebody sets the time.
    ///
    /// # Errors
    /// Why it is not.
    pub fn on_packet(
        &mut self,
        packet: &Packet<'_>,
        wall: WallNanos,
        clock: &WallClock,
    ) -> Result<(), DiscardReason> {
        if packet.is_icmp_error() {
            return self.on_icmp_error(packet, (wall, clock));
        }
        let id = match self.state.connections.of(packet) {
            Some(id) if !self.is_succeeded(id, packet) => id,
            _ => self.begin(packet, wall)?,
        };
        let kept = match self
            .state
            .connections
            .keep(id, packet, (wall, clock), self.buffer_size)
        {
            Ok(kept) => kept,
            Err(NotKept::Discarded(reason)) => return Err(reason),
            Err(NotKept::IsOver) => return Err(self.finish(id)),
        };
        if kept.needs_more() {
            self.follow_up(id, kept, BootNanos(packet.boot_ns));
        }
        Ok(())
    }

    /// An ICMP error passed that quotes a packet. It is kept with the packets of the connection, of which it
    /// changes nothing, and begins none: anybody can forge it.
    #[cold]
    fn on_icmp_error(
        &mut self,
        packet: &Packet<'_>,
        at: (WallNanos, &WallClock),
    ) -> Result<(), DiscardReason> {
        let connections = &mut self.state.connections;
        let id = connections.of(packet).ok_or(DiscardReason::UnknownQuote)?;
        let kept = connections.keep_error(id, packet, at, self.buffer_size)?;
        if kept.needs_more() {
            self.follow_up(id, kept, BootNanos(packet.boot_ns));
        }
        Ok(())
    }

    /// Does what a kept packet makes necessary. It may end this connection, or any other.
    fn follow_up(&mut self, id: Id, kept: Kept, now: BootNanos) {
        if kept.is_full {
            memory::spill(&mut self.state, id);
        }
        if kept.hurries {
            time::look_at(&mut self.state, id, now);
        }
        if kept.grew {
            memory::keep_within(&mut self.state);
        }
    }

    /// Has what the next packet of this entry changes come nearer to the processor.
    #[inline]
    pub(crate) fn fetch(&self, entry: u32) {
        self.state.connections.fetch(entry);
    }

    /// The kernel has given this entry of its table to the connection that a [`Hint::Admit`] was
    /// about. Packets with it are found without their key from now on.
    ///
    /// [`Hint::Admit`]: crate::Hint::Admit
    pub fn bind(&mut self, key: &FlowKey, cookie: u64, entry: u32) {
        self.state.connections.bind(key, cookie, entry);
    }

    /// How many connections there are whose packets are kept.
    pub(crate) const fn number_of_connections(&self) -> usize {
        let connections = &self.state.connections;
        connections.number(ConnectionState::Candidate) + connections.number_captured()
    }

    /// Whether this packet begins another connection of the same four-tuple.
    #[inline]
    fn is_succeeded(&self, id: Id, packet: &Packet<'_>) -> bool {
        let connection = self.state.connections.get(id);
        // A flow of datagrams that is being captured goes on, even if the kernel has forgotten it meanwhile.
        connection.is_succeeded_by(packet)
            && (self.state.datagrams.is_none() || !connection.is_capturing())
    }

    /// A packet of this time begins a connection.
    #[cold]
    fn begin(&mut self, packet: &Packet<'_>, wall: WallNanos) -> Result<Id, DiscardReason> {
        let (key, start) = (packet.key(), BootNanos(packet.boot_ns));
        let opening = datagrams::opening(&mut self.state, packet, wall)?;
        if self.state.connections.number_of(&key) >= MOST_INCARNATIONS
            && let Some(oldest) = self.state.connections.oldest_candidate(&key)
        {
            ending::give_up(&mut self.state, oldest, DiscardReason::CandidateMemory);
        }
        self.state.stats.begun += 1;
        let until = start.after(self.state.timing.capture);
        let id = self.state.connections.begin(key, start, until);
        if let Some(opening) = opening {
            datagrams::name(&mut self.state, id, opening);
        }
        Ok(id)
    }

    /// Finishes a connection that has been captured for `--captureduration`.
    #[cold]
    fn finish(&mut self, id: Id) -> DiscardReason {
        let reason = DiscardReason::AfterCapture;
        ending::finish(&mut self.state, id, Some(reason));
        reason
    }

    /// A connection began or ended.
    pub fn on_event(&mut self, event: FlowEvent) {
        match event {
            FlowEvent::Open(open) => naming::on_open(&mut self.state, open),
            FlowEvent::Close(close) => naming::on_close(&mut self.state, close),
            FlowEvent::Left(left) => naming::on_left(&mut self.state, left),
        }
    }

    /// Time has passed. One call does a bounded part of what is due, and returns whether there is
    /// more.
    pub fn tick(&mut self, now: BootNanos) -> bool {
        self.buffer_size = memory::buffer_size(&self.state);
        let more = time::tick(&mut self.state, now);
        // The packets of a candidate that was given up may have gone to another connection.
        memory::keep_within(&mut self.state);
        more
    }

    /// No more packets will come: gives up candidates, then finishes connections that are captured.
    /// One call does a bounded part of that, and returns whether there is more.
    pub fn shut_down(&mut self) -> bool {
        for _ in 0..time::MOST {
            if let Some(candidate) = self.state.connections.first(QueueName::Candidates) {
                ending::give_up(&mut self.state, candidate, DiscardReason::Unnamed);
            } else if let Some(finished) = self.state.connections.first(QueueName::Finished) {
                // No hint is needed: the kernel's maps go away with the daemon.
                self.state.connections.forget(finished);
            } else if let Some((_, captured)) = self.state.connections.next_timer() {
                ending::finish(&mut self.state, captured, None);
            } else {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
