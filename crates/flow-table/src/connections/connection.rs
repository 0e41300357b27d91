//! One connection, from its first packet to the end of its file: its data, and what follows from it.
//! Only [`Connections`](super::Connections) changes it.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use capture_files::{Chunk, FlowMeta, Job, Layout, PacketBuffer};
use model::{BootNanos, Close, DiscardReason, FlowUuid, Open, Owner, Timing, WallClock, WallNanos};
use packet_headers_common::record::{TCP_FIN, TCP_RST};
use packet_headers_common::{
    Direction, Endpoint, FlowKey, Packet, PrimaryTap, Role, SocketTotals, TapPoint,
};

use super::errors::Errors;
use super::queue::Links;
use super::{Id, NotKept};

/// How long a finished connection is remembered after its last packet when its Close never comes.
/// Afterwards its packets would be candidates again, and find no name.
const FINISHED_MEMORY: Duration = Duration::from_secs(300);

/// The value of [`Connection::fins`] once both ends have sent a FIN.
const BOTH_FINS: u8 = 0b11;

/// One connection. The same four-tuple can be used again and again: each use is an *incarnation*
/// (RFC 9293, 3.4.1), a connection with a name and a file of its own.
///
/// In the order of its fields: each packet reads or changes the first ones, which lie in few cache lines
/// together. Among thousands of connections, lines are what a packet waits for.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Connection {
    /// The token of its entry in the kernel's table of flows, or 0.
    pub(super) entry: u32,
    /// The ends that have sent a FIN: bit 0 is the lower one, bit 1 the higher one. One number, to
    /// avoid a store-forwarding stall (two stores, one wider load).
    fins: u8,
    /// Whether the lower end is this host's, by the direction of the first packet.
    low_is_here: Option<bool>,
    /// Whether some of its packets are in a file already.
    pub(super) spilled: bool,
    /// Until when it is captured.
    until: BootNanos,
    /// When its last packet passed.
    pub(super) last: BootNanos,
    /// Packets so far, kept or not, and their bytes on the wire.
    pub(super) seen: u64,
    wire_bytes: u64,
    /// Its primary taps, by direction: of packets from the lower end, and from the higher end.
    primary_tap: [PrimaryTap; 2],
    /// When both ends had sent their FIN, or one its RST.
    ended: Option<BootNanos>,
    /// Since when the buffer has had packets, while the connection is being captured.
    pub(super) held_since: Option<BootNanos>,
    /// The clock that dates its packets: that of the first one.
    pub(super) clock: Option<WallClock>,
    pub(super) buffer: PacketBuffer,
    /// The connections of the same four-tuple that began before and after it.
    pub(super) younger: Option<Id>,
    pub(super) older: Option<Id>,
    pub(super) state: State,
    /// Its neighbours in its queue.
    pub(super) links: Links,
    pub(super) key: FlowKey,
    /// When its first packet passed or it was opened, whichever was first.
    pub(super) start: BootNanos,
    /// Identifies the connection outside of the table. Never reused.
    pub(super) serial: u64,
    /// The end that sent the SYN, and its sequence number, if the SYN was seen.
    first_syn: Option<(Endpoint, u32)>,
    /// The ICMP errors about it, if there were any.
    errors: Option<Box<Errors>>,
}

/// The state of a connection, with the data that only this state has.
#[derive(Debug)]
pub(super) enum State {
    /// It has no name yet.
    Candidate,
    /// Its packets go into its file.
    Capturing(Capture),
    /// Its file is finished, but its socket is not known to be closed.
    Finished(Finished),
}

/// What one connection gives to another one to which its packets belong.
#[derive(Debug)]
pub(super) struct Taken {
    packets: PacketBuffer,
    clock: Option<WallClock>,
    start: BootNanos,
    last: BootNanos,
    seen: u64,
    wire_bytes: u64,
}

/// The data of a connection that is being captured.
#[derive(Debug)]
pub(super) struct Capture {
    pub(super) uuid: FlowUuid,
    opened: WallNanos,
    opened_at: BootNanos,
    pub(super) role: Option<Role>,
    /// Whether this host's end is the lower one of the key.
    local_is_low: bool,
    /// The socket's cookie, or 0.
    pub(super) cookie: u64,
    pub(super) closed: Option<BootNanos>,
    /// What the kernel knew of it then.
    pub(super) totals: Option<Box<SocketTotals>>,
    /// Whose it is: of whoever opened it and, once it is closed, of whoever closed it.
    pub(super) owner: Option<Arc<Owner>>,
    /// When its timer expires.
    pub(super) armed: BootNanos,
}

/// The data of a connection whose file is finished.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) uuid: FlowUuid,
    /// The socket's cookie, or 0.
    pub(super) cookie: u64,
    /// Why its further packets are discarded.
    pub(super) reason: DiscardReason,
    pub(super) closed: Option<BootNanos>,
    /// What the kernel knew of it then.
    pub(super) totals: Option<Box<SocketTotals>>,
    /// Whose it is: of whoever opened it and, once it is closed, of whoever closed it.
    pub(super) owner: Option<Arc<Owner>>,
    /// When its timer expires.
    pub(super) armed: BootNanos,
}

/// The state of a connection, as operators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionState {
    /// It has no name yet, and its packets wait for it.
    Candidate,
    /// Its packets go into its file.
    Capturing,
    /// It has ended; its file waits for the last packets.
    Lingering,
    /// Its file is finished; its socket is not known to be closed.
    Finished,
}

impl ConnectionState {
    /// Every state, in the order in which a connection passes them.
    pub const ALL: [Self; 4] = [
        Self::Candidate,
        Self::Capturing,
        Self::Lingering,
        Self::Finished,
    ];

    /// The name of the state.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Capturing => "capturing",
            Self::Lingering => "lingering",
            Self::Finished => "finished",
        }
    }
}

impl State {
    #[inline]
    const fn is_capturing(&self) -> bool {
        matches!(self, Self::Capturing(_))
    }
}

impl Capture {
    pub(super) fn new(open: Open, key: &FlowKey) -> Self {
        Self {
            opened: open.opened,
            opened_at: open.at,
            role: open.role,
            local_is_low: key.is_low(&open.local),
            cookie: open.cookie,
            uuid: open.uuid,
            closed: None,
            totals: None,
            owner: open.owner,
            armed: BootNanos(0),
        }
    }

    /// Takes over the name of the connection's other socket, and what its Open says.
    pub(super) fn rename(&mut self, open: Open, key: &FlowKey) {
        self.uuid = open.uuid;
        self.role = open.role;
        self.local_is_low = key.is_low(&open.local);
        self.cookie = open.cookie;
        self.owner = open.owner;
    }
}

impl Connection {
    pub(super) fn new(
        key: FlowKey,
        serial: u64,
        (start, until): (BootNanos, BootNanos),
        layout: Layout,
    ) -> Self {
        Self {
            key,
            serial,
            start,
            until,
            last: start,
            first_syn: None,
            primary_tap: [PrimaryTap::UNKNOWN; 2],
            fins: 0,
            ended: None,
            seen: 0,
            wire_bytes: 0,
            low_is_here: None,
            buffer: PacketBuffer::new(layout),
            clock: None,
            held_since: None,
            spilled: false,
            state: State::Candidate,
            entry: 0,
            links: Links::default(),
            older: None,
            younger: None,
            errors: None,
        }
    }

    /// Notes a packet, and keeps it in memory unless there is a reason not to.
    ///
    /// # Errors
    /// Why the packet is not kept.
    #[inline]
    pub(super) fn keep(
        &mut self,
        packet: &Packet<'_>,
        (wall, clock): (WallNanos, &WallClock),
    ) -> Result<(), NotKept> {
        self.note(packet).map_err(NotKept::Discarded)?;
        let now = BootNanos(packet.boot_ns);
        match &self.state {
            State::Candidate => {}
            State::Capturing(_) if now >= self.until => {
                return Err(NotKept::IsOver);
            }
            State::Capturing(_) => {
                self.held_since.get_or_insert(now);
            }
            State::Finished(finished) => return Err(NotKept::Discarded(finished.reason)),
        }
        let ours = *self.clock.get_or_insert(*clock);
        self.buffer.push(packet, ours.redated(wall, clock));
        Ok(())
    }

    /// Keeps an ICMP error in memory that quotes one of its packets, unless there is a reason not to. Nothing
    /// else changes: neither when it was last active nor how it ends.
    ///
    /// # Errors
    /// Why the error is not kept.
    pub(super) fn keep_error(
        &mut self,
        packet: &Packet<'_>,
        (wall, clock): (WallNanos, &WallClock),
    ) -> Result<(), DiscardReason> {
        let now = BootNanos(packet.boot_ns);
        match &self.state {
            State::Candidate | State::Capturing(_) if now < self.until => {}
            State::Candidate | State::Capturing(_) => return Err(DiscardReason::AfterCapture),
            State::Finished(finished) => return Err(finished.reason),
        }
        self.errors.get_or_insert_default().take(packet)?;
        if self.is_capturing() {
            self.held_since.get_or_insert(now);
        }
        let ours = *self.clock.get_or_insert(*clock);
        self.buffer.push(packet, ours.redated(wall, clock));
        Ok(())
    }

    /// Notes a packet. Returns whether it belongs in this connection's file.
    #[inline]
    fn note(&mut self, packet: &Packet<'_>) -> Result<(), DiscardReason> {
        let now = BootNanos(packet.boot_ns);
        let side = usize::from(!packet.from_low);
        let point = TapPoint::new(packet.ifindex, packet.direction);
        let tap = &mut self.primary_tap[side];
        if packet.at_primary_tap {
            *tap = PrimaryTap::new(point, now.0);
        } else if !tap.accepts(point, now.0) {
            return Err(DiscardReason::Duplicate);
        }
        if packet.is_first_syn() && self.first_syn.is_none() {
            self.first_syn = Some((packet.source(), packet.sequence()));
        }
        self.fins |= u8::from(packet.tcp_flags & TCP_FIN != 0) << side;
        if self.fins == BOTH_FINS || packet.tcp_flags & TCP_RST != 0 {
            self.ended.get_or_insert(now);
        }
        self.seen += 1;
        self.wire_bytes += u64::from(packet.wire_len);
        let sent = packet.direction == Direction::Egress;
        self.low_is_here.get_or_insert(sent == (side == 0));
        self.last = self.last.max(now);
        Ok(())
    }

    /// Reads some of what the next packet changes, so that the processor has it then. Nothing waits for
    /// what is read.
    #[inline]
    pub(super) fn fetch(&self) {
        black_box((self.last, self.held_since, self.state.is_capturing()));
        self.buffer.fetch();
    }

    /// Gives its packets away.
    pub(super) fn take(&mut self) -> Taken {
        let layout = self.buffer.layout();
        Taken {
            packets: std::mem::replace(&mut self.buffer, PacketBuffer::new(layout)),
            clock: self.clock,
            start: self.start,
            last: self.last,
            seen: self.seen,
            wire_bytes: self.wire_bytes,
        }
    }

    /// Takes over the packets of another one, which may have been dated by another clock, and what
    /// is known by them.
    pub(super) fn absorb(&mut self, taken: &Taken) {
        if let Some(theirs) = taken.clock {
            let ours = *self.clock.get_or_insert(theirs);
            self.buffer
                .absorb(&taken.packets, &|at| ours.redated(at, &theirs));
        }
        self.last = self.last.max(taken.last);
        self.seen += taken.seen;
        self.wire_bytes += taken.wire_bytes;
        if !self.buffer.is_empty() {
            self.held_since.get_or_insert(taken.start);
        }
    }

    /// Its four-tuple.
    pub(crate) const fn key(&self) -> FlowKey {
        self.key
    }

    /// Identifies it outside of the table.
    pub(crate) const fn serial(&self) -> u64 {
        self.serial
    }

    /// When its first packet passed or it was opened, whichever was first.
    pub(crate) const fn start(&self) -> BootNanos {
        self.start
    }

    /// Until when it is captured.
    pub(crate) const fn until(&self) -> BootNanos {
        self.until
    }

    /// When its last packet passed.
    pub(crate) const fn last(&self) -> BootNanos {
        self.last
    }

    /// Its state, as operators see it.
    pub(crate) const fn state(&self) -> ConnectionState {
        self.state_if(self.has_ended())
    }

    /// Its state, given whether its packets say that it has ended.
    pub(super) const fn state_if(&self, has_ended: bool) -> ConnectionState {
        match &self.state {
            State::Candidate => ConnectionState::Candidate,
            State::Capturing(capture) if capture.closed.is_some() || has_ended => {
                ConnectionState::Lingering
            }
            State::Capturing(_) => ConnectionState::Capturing,
            State::Finished(_) => ConnectionState::Finished,
        }
    }

    /// Whether it has no name yet.
    pub(crate) const fn is_candidate(&self) -> bool {
        matches!(self.state, State::Candidate)
    }

    /// Whether its packets still go to its file.
    pub(crate) const fn is_capturing(&self) -> bool {
        self.state.is_capturing()
    }

    /// Whether this packet begins another connection of the same four-tuple: a SYN that is not a
    /// retransmission of this connection's own.
    #[inline]
    pub(crate) fn is_succeeded_by(&self, packet: &Packet<'_>) -> bool {
        packet.is_first_syn()
            && match self.first_syn {
                Some(own) => own != (packet.source(), packet.sequence()),
                // It was opened before its first packet came out of the ring: the SYN may be its own.
                None => self.seen > 0,
            }
    }

    /// The end that sent the SYN, if the SYN was seen.
    pub(crate) fn begun_by(&self) -> Option<Endpoint> {
        self.first_syn.map(|(end, _)| end)
    }

    /// Whether an Open of this time can be this candidate's: it began before that time, or its
    /// beginning was not seen.
    pub(crate) fn can_be_opened_at(&self, at: BootNanos) -> bool {
        self.is_candidate() && (self.start <= at || self.first_syn.is_none())
    }

    /// Whether an Open is about the other socket of this connection, not about a later connection.
    pub(crate) fn has_other_end(&self, open: &Open, within: Duration) -> bool {
        match &self.state {
            State::Capturing(capture) => {
                capture.closed.is_none() && open.at <= capture.opened_at.after(within)
            }
            State::Candidate | State::Finished(_) => false,
        }
    }

    /// Which end this host's socket is, if the source knows.
    pub(crate) const fn role(&self) -> Option<Role> {
        match &self.state {
            State::Capturing(capture) => capture.role,
            State::Candidate | State::Finished(_) => None,
        }
    }

    /// Its name, once it has one.
    pub(crate) const fn uuid(&self) -> Option<&FlowUuid> {
        match &self.state {
            State::Candidate => None,
            State::Capturing(Capture { uuid, .. }) | State::Finished(Finished { uuid, .. }) => {
                Some(uuid)
            }
        }
    }

    /// The socket's cookie, or 0.
    pub(crate) const fn cookie(&self) -> u64 {
        match &self.state {
            State::Candidate => 0,
            State::Capturing(Capture { cookie, .. }) | State::Finished(Finished { cookie, .. }) => {
                *cookie
            }
        }
    }

    /// When the socket was closed, if it was.
    pub(crate) const fn closed(&self) -> Option<BootNanos> {
        match &self.state {
            State::Candidate => None,
            State::Capturing(Capture { closed, .. }) | State::Finished(Finished { closed, .. }) => {
                *closed
            }
        }
    }

    /// What the kernel knew of it when its socket was closed.
    pub(crate) fn totals(&self) -> Option<&SocketTotals> {
        match &self.state {
            State::Candidate => None,
            State::Capturing(Capture { totals, .. }) | State::Finished(Finished { totals, .. }) => {
                totals.as_deref()
            }
        }
    }

    /// Whose it is, if that is known.
    pub(crate) const fn owner(&self) -> Option<&Arc<Owner>> {
        match &self.state {
            State::Candidate => None,
            State::Capturing(Capture { owner, .. }) | State::Finished(Finished { owner, .. }) => {
                owner.as_ref()
            }
        }
    }

    /// When it was opened, by the wall clock, while it is being captured.
    pub(crate) const fn opened(&self) -> Option<WallNanos> {
        match &self.state {
            State::Capturing(capture) => Some(capture.opened),
            State::Candidate | State::Finished(_) => None,
        }
    }

    /// When its timer expires. A candidate has no timer.
    pub(super) const fn armed(&self) -> Option<BootNanos> {
        match &self.state {
            State::Candidate => None,
            State::Capturing(Capture { armed, .. }) | State::Finished(Finished { armed, .. }) => {
                Some(*armed)
            }
        }
    }

    pub(super) const fn arm(&mut self, at: BootNanos) {
        match &mut self.state {
            State::Candidate => {}
            State::Capturing(Capture { armed, .. }) | State::Finished(Finished { armed, .. }) => {
                *armed = at;
            }
        }
    }

    pub(super) fn close(&mut self, close: Close) {
        match &mut self.state {
            State::Candidate => {}
            State::Capturing(Capture {
                closed,
                totals,
                owner,
                ..
            })
            | State::Finished(Finished {
                closed,
                totals,
                owner,
                ..
            }) => {
                closed.get_or_insert(close.at);
                if totals.is_none() {
                    *totals = close.totals;
                }
                if close.owner.is_some() {
                    *owner = close.owner;
                }
            }
        }
    }

    /// Whose it is, from now on.
    pub(super) fn belongs_to(&mut self, whose: Arc<Owner>) {
        match &mut self.state {
            State::Candidate => {}
            State::Capturing(Capture { owner, .. }) | State::Finished(Finished { owner, .. }) => {
                *owner = Some(whose);
            }
        }
    }

    /// Whether its packets say that it has ended. Its socket may still be open.
    pub(crate) const fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Whether it has packets, in memory or in its file.
    pub(crate) fn has_packets(&self) -> bool {
        self.spilled || !self.buffer.is_empty()
    }

    /// How many packets are in memory.
    pub(crate) const fn buffered(&self) -> u64 {
        self.buffer.packets()
    }

    /// Packets so far, kept or not, and their bytes on the wire.
    pub(crate) const fn traffic(&self) -> (u64, u64) {
        (self.seen, self.wire_bytes)
    }

    /// When to look at it again: when it ends, or when its packets must be written.
    pub(crate) fn deadline(&self, timing: &Timing) -> BootNanos {
        let end = self.end(timing);
        let spill = self.held_since.map(|since| since.after(timing.spill));
        spill.map_or(end, |spill| spill.min(end))
    }

    /// When its present state ends, if nothing more happens.
    pub(crate) fn end(&self, timing: &Timing) -> BootNanos {
        let quiet_since = |closed: BootNanos| self.last.max(closed).after(timing.linger);
        match &self.state {
            State::Candidate => self.start.after(timing.uuid_wait),
            State::Capturing(capture) => {
                let silence = match capture.closed.or(self.ended) {
                    Some(closed) => quiet_since(closed),
                    None => self.last.after(timing.idle),
                };
                silence.min(self.until)
            }
            State::Finished(finished) => match finished.closed {
                Some(closed) => quiet_since(closed),
                None => self.last.after(FINISHED_MEMORY),
            },
        }
    }

    /// Whether the lower end is this host's, as far as we know.
    const fn low_is_here(&self) -> bool {
        match (&self.state, self.low_is_here) {
            (State::Capturing(capture), _) => capture.local_is_low,
            (_, Some(here)) => here,
            (_, None) => false,
        }
    }

    /// This host's end and the other one, as far as we know.
    pub(crate) const fn local_and_remote(&self) -> (Endpoint, Endpoint) {
        let (low, high) = self.key.ends();
        if self.low_is_here() {
            (low, high)
        } else {
            (high, low)
        }
    }

    /// Packets for its file.
    pub(super) const fn job(&self, meta: FlowMeta, chunk: Chunk) -> Job {
        Job {
            flow: self.serial,
            meta,
            chunk,
            last: false,
            totals: None,
            owner: None,
        }
    }

    /// Its last packets.
    pub(super) fn last_job(&self, meta: FlowMeta, chunk: Chunk) -> Job {
        Job {
            last: true,
            totals: self.totals().copied().map(Box::new),
            owner: self.owner().cloned(),
            ..self.job(meta, chunk)
        }
    }

    /// The data of its capture, while it is being captured.
    pub(super) fn meta(&self) -> Option<FlowMeta> {
        let State::Capturing(capture) = &self.state else {
            return None;
        };
        let (local, remote) = self.local_and_remote();
        Some(FlowMeta {
            local,
            remote,
            uuid: capture.uuid.clone(),
            opened: capture.opened,
        })
    }
}
