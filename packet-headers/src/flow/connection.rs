//! One connection, from its first packet to the end of its file.

use std::time::Duration;

use packet_headers_common::record::{TCP_FIN, TCP_RST};
use packet_headers_common::{
    Direction, Endpoint, FlowKey, LinkType, Packet, PrimaryTap, Role, TapPoint,
};
use smallvec::SmallVec;

use super::uuid::FlowUuid;
use crate::accounts::Discard;
use crate::clock::{BootNanos, WallNanos};
use crate::events::Open;
use crate::store::block::Block;
use crate::store::layout::FlowFile;

/// How long things last.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How long packets wait for their connection's name.
    pub uuid_wait: Duration,
    /// How long a connection is captured, from its first packet on.
    pub capture: Duration,
    /// How long a connection may be silent before its file is finished.
    pub idle: Duration,
    /// How long a closed connection may be silent before its file is finished.
    pub linger: Duration,
    /// How long a packet of a named connection may be in memory only.
    pub spill: Duration,
}

/// How long we remember a connection whose file is finished but whose Close has not come, after its
/// last packet. Afterwards its packets would be candidates again, and find no name.
const DONE_MEMORY: Duration = Duration::from_secs(300);

/// [`Connection::fins`] when both ends have sent theirs.
const BOTH_FINS: u8 = 0b11;

/// Identifies a connection within one table; never used again.
pub(super) type Serial = u64;

/// One connection of a four-tuple. The same four-tuple can be used again and again: each use is an
/// incarnation of it (RFC 9293, 3.4.1), and each has its own name and file.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) serial: Serial,
    /// When its first packet passed, or when it was opened if that was first.
    pub(super) start: BootNanos,
    /// When its last packet passed.
    pub(super) last: BootNanos,
    /// Who sent the SYN, and its sequence number, when we saw it.
    first_syn: Option<(Endpoint, u32)>,
    /// Where its packets are taken, by direction: from the lower end, from the higher end.
    primary_tap: [PrimaryTap; 2],
    /// Which ends sent their FIN: bit 0 the lower one, bit 1 the higher one. One number: a processor
    /// waits when it reads as one what it has just written in parts.
    fins: u8,
    /// When both ends had sent their FIN, or one its RST.
    ended: Option<BootNanos>,
    /// Packets that came so far, kept or not, and their bytes on the wire.
    seen: u64,
    wire_bytes: u64,
    /// Whether the lower end is this host's, by the direction of the first packet.
    low_is_here: Option<bool>,
    pub(super) block: Block,
    /// Since when there is a packet in the block, once the connection is named.
    pub(super) held_since: Option<BootNanos>,
    /// Whether some of its records are in a file already.
    pub(super) spilled: bool,
    link_type: Option<LinkType>,
    pub(super) state: State,
}

#[derive(Debug)]
pub(super) enum State {
    /// Nobody has named it yet.
    Candidate,
    /// It is being captured.
    Named(Named),
    /// Its file is finished, but the connection is not known to be closed.
    Done(Done),
}

/// What a name brings.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) uuid: FlowUuid,
    pub(super) opened: WallNanos,
    pub(super) opened_at: BootNanos,
    pub(super) role: Option<Role>,
    /// Whether this host's end is the lower one of the key.
    pub(super) local_is_low: bool,
    /// The socket's cookie, or 0.
    pub(super) cookie: u64,
    pub(super) closed: Option<BootNanos>,
    /// For when the table's timer is set.
    pub(super) armed: BootNanos,
}

/// What is left of a connection whose file is finished.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) uuid: FlowUuid,
    /// The socket's cookie, or 0.
    pub(super) cookie: u64,
    /// What its further packets are discarded for.
    pub(super) reason: Discard,
    pub(super) closed: Option<BootNanos>,
    pub(super) armed: BootNanos,
}

impl Connection {
    pub(super) fn new(serial: Serial, start: BootNanos) -> Self {
        Self {
            serial,
            start,
            last: start,
            first_syn: None,
            primary_tap: [PrimaryTap::UNKNOWN; 2],
            fins: 0,
            ended: None,
            seen: 0,
            wire_bytes: 0,
            low_is_here: None,
            block: Block::default(),
            held_since: None,
            spilled: false,
            link_type: None,
            state: State::Candidate,
        }
    }

    /// Whether this packet begins another connection of the same four-tuple: a SYN that is not a
    /// repetition of this one's own.
    pub(super) fn is_succeeded_by(&self, packet: &Packet<'_>) -> bool {
        packet.is_first_syn()
            && match self.first_syn {
                Some(own) => own != (packet.source, packet.sequence),
                // Opened before its first packet came out of the ring: the SYN may be its own.
                None => self.seen > 0,
            }
    }

    /// Takes note of a packet; whether it can be kept in this connection's file.
    pub(super) fn note(&mut self, packet: &Packet<'_>, key: &FlowKey) -> Result<(), Discard> {
        let now = BootNanos(packet.boot_ns);
        let side = usize::from(!key.is_low(&packet.source));
        let point = TapPoint::new(packet.ifindex, packet.direction);
        let tap = &mut self.primary_tap[side];
        if packet.at_primary_tap {
            *tap = PrimaryTap::new(point, now.0);
        } else if !tap.accepts(point, now.0) {
            return Err(Discard::Duplicate);
        }
        if packet.is_first_syn() && self.first_syn.is_none() {
            self.first_syn = Some((packet.source, packet.sequence));
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
        self.link_type.get_or_insert(packet.link_type);
        Ok(())
    }

    /// Who sent the SYN, when we saw it.
    pub(super) fn begun_by(&self) -> Option<Endpoint> {
        self.first_syn.map(|(end, _)| end)
    }

    /// Whether an Open of this time can be this candidate's: it began before that, or we never saw
    /// how it began.
    pub(super) fn can_be_opened_at(&self, at: BootNanos) -> bool {
        matches!(self.state, State::Candidate) && (self.start <= at || self.first_syn.is_none())
    }

    /// Whether there is anything to write.
    pub(super) fn has_packets(&self) -> bool {
        self.spilled || !self.block.is_empty()
    }

    /// Where its packets belong.
    pub(super) fn file(&self, key: &FlowKey, named: &Named) -> FlowFile {
        let (low, high) = key.ends();
        let (local, remote) = if named.local_is_low {
            (low, high)
        } else {
            (high, low)
        };
        FlowFile {
            local,
            remote,
            uuid: named.uuid.clone(),
            opened: named.opened,
            link_type: self.link_type.unwrap_or(LinkType::Ethernet),
        }
    }

    /// Its name, once it has one.
    pub(super) fn uuid(&self) -> Option<&FlowUuid> {
        match &self.state {
            State::Candidate => None,
            State::Named(Named { uuid, .. }) | State::Done(Done { uuid, .. }) => Some(uuid),
        }
    }

    /// Whether an Open speaks of the other socket of this connection, rather than of a later one.
    pub(super) fn has_other_end(&self, open: &Open, within: Duration) -> bool {
        match &self.state {
            State::Named(named) => {
                named.closed.is_none() && open.at <= named.opened_at.after(within)
            }
            State::Candidate | State::Done(_) => false,
        }
    }

    /// When to look at it again: when it is over, or when its packets have to be written.
    pub(super) fn deadline(&self, timing: &Timing) -> BootNanos {
        let end = self.end(timing);
        let spill = self.held_since.map(|since| since.after(timing.spill));
        spill.map_or(end, |spill| spill.min(end))
    }

    /// When this state of it is over, if nothing comes any more.
    pub(super) fn end(&self, timing: &Timing) -> BootNanos {
        let quiet_since = |closed: &BootNanos| self.last.max(*closed).after(timing.linger);
        match &self.state {
            State::Candidate => self.start.after(timing.uuid_wait),
            State::Named(named) => {
                let capture = self.start.after(timing.capture);
                let silence = match &named.closed.or(self.ended) {
                    Some(closed) => quiet_since(closed),
                    None => self.last.after(timing.idle),
                };
                capture.min(silence)
            }
            State::Done(done) => match &done.closed {
                Some(closed) => quiet_since(closed),
                None => self.last.after(DONE_MEMORY),
            },
        }
    }

    /// Whether its packets say that it has ended; the socket may be there still.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Whether the lower end is this host's, as far as we know.
    pub(super) fn low_is_here(&self) -> bool {
        match &self.state {
            State::Named(named) => named.local_is_low,
            State::Candidate | State::Done(_) => self.low_is_here.unwrap_or_default(),
        }
    }

    /// Packets that came so far, kept or not, and their bytes on the wire.
    pub(super) const fn traffic(&self) -> (u64, u64) {
        (self.seen, self.wire_bytes)
    }

    /// Whether it is captured still, though it has ended.
    pub(super) fn lingers(&self) -> bool {
        match &self.state {
            State::Named(named) => named.closed.is_some() || self.has_ended(),
            State::Candidate | State::Done(_) => false,
        }
    }

    /// When the socket was closed, if it was.
    pub(super) fn closed(&self) -> Option<BootNanos> {
        match &self.state {
            State::Candidate => None,
            State::Named(Named { closed, .. }) | State::Done(Done { closed, .. }) => *closed,
        }
    }
}

/// All connections of one four-tuple, in the order in which they began: nearly always one.
pub(super) type Incarnations = SmallVec<[Box<Connection>; 1]>;
