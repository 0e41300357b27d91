//! One connection: who its ends are, how it began and how it ended, and what its packets say.

use std::net::SocketAddr;

use crate::{
    icmp::{Icmp, IcmpError},
    judgment::Judgment,
    loss::Path,
    rtt::elapsed,
    segment::{Flags, Segment},
    sequence::place,
    side::{Other, Side, reach},
    words::{BeganBy, Ended, Handshake},
};

/// Ports below are those of services.
const SERVICES: u16 = 1024;

/// After how much silence an open connection is believed to be gone when its four-tuple is used for another
/// one: nanoseconds.
const SILENCE: u64 = 1_000_000_000;

/// The figures of one connection, from its packets in the order in which they were captured.
///
/// It takes some ten kilobytes at most for each end, however long the connection is: 128 unacknowledged packets,
/// 128 timestamps, 64 holes, 16 retransmissions and a histogram of round-trip times; what does not fit is counted.
/// One of a few packets takes less than three.
#[derive(Debug, Clone)]
pub struct Connection {
    pub(crate) ends: [SocketAddr; 2],
    pub(crate) sides: [Side; 2],
    /// Which of the two began it, and how that is known.
    pub(crate) client: usize,
    pub(crate) began_by: BeganBy,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) handshake: Handshake,
    /// Who sent a RST, if nothing new came from there since.
    pub(crate) reset_by: Option<usize>,
    /// Who sent the first FIN or RST.
    pub(crate) closed_by: Option<usize>,
    /// What ICMP errors said of it.
    pub(crate) icmp: Icmp,
}

impl Connection {
    /// A connection of which this is the first packet.
    #[must_use]
    pub fn new(first: &Segment) -> Self {
        Self::begin(first).0
    }

    /// A connection of which this is the first packet, and what that was.
    #[must_use]
    pub fn begin(first: &Segment) -> (Self, Judgment) {
        let mut connection = Self {
            ends: [first.source, first.destination],
            sides: [Side::default(), Side::default()],
            client: 0,
            began_by: BeganBy::Unknown,
            start: first.time,
            end: first.time,
            handshake: Handshake::None,
            reset_by: None,
            closed_by: None,
            icmp: Icmp::NONE,
        };
        let [source, destination] = connection.ends.map(|end| end.port());
        if (source < SERVICES) != (destination < SERVICES) {
            connection.client = usize::from(source < SERVICES);
            connection.began_by = BeganBy::Ports;
        }
        let judgment = connection.judge(first);
        (connection, judgment)
    }

    /// Adds a packet. It must be between the two ends; whether it belongs to this connection, and not to the
    /// next one between them, is what [`Self::is_succeeded_by`] says.
    pub fn add(&mut self, segment: &Segment) {
        self.judge(segment);
    }

    /// Adds an ICMP error that quotes one of its packets. It changes nothing but what the row says of such
    /// errors: neither packet nor time. Returns which end sent the packet that is quoted: 0 for the end that sent
    /// the connection's first packet, 1 for the other.
    pub fn add_error(&mut self, error: &IcmpError) -> usize {
        self.icmp.add(error);
        usize::from(error.ends().0 != self.ends[0])
    }

    /// Adds a packet as [`Self::add`] does, and tells what it was.
    pub fn judge(&mut self, segment: &Segment) -> Judgment {
        self.start = self.start.min(segment.time);
        self.end = self.end.max(segment.time);
        let from = self.index(segment);
        let window = self.sides[from].window.last;
        let (other, reach) = (self.other(1 - from), reach(self.window(from)));
        let [first, second] = &mut self.sides;
        let (sender, receiver) = if from == 0 {
            (first, second)
        } else {
            (second, first)
        };
        let mut judgment = Judgment {
            from,
            ..Judgment::default()
        };
        if !sender.sent(segment, other, &mut judgment) {
            return judgment;
        }
        if segment.flags.of(Flags::ACK | Flags::RST) == Flags::ACK {
            let outcome = receiver.acknowledged(segment, window, reach);
            sender.counts.duplicate_acks += u64::from(outcome.duplicate);
            sender.counts.dsacks += u64::from(outcome.twice);
            (judgment.is_duplicate_ack, judgment.is_dsack) = (outcome.duplicate, outcome.twice);
            judgment.acknowledges = outcome.number;
            (judgment.rtt, judgment.ts_rtt) = (outcome.rtt, outcome.ts_rtt);
        }
        if segment.flags.any(Flags::SYN | Flags::FIN | Flags::RST)
            || self.handshake != Handshake::Complete
        {
            self.note_flags(from, segment);
        }
        if segment.payload > 0 && self.reset_by == Some(from) {
            self.reset_by = None;
        }
        judgment
    }

    /// Whether this packet begins another connection between the same ends: a SYN with another sequence
    /// number, where
    ///
    /// - both ends have closed this connection, or one has reset it, or the one that sends the SYN has
    ///   closed its direction,
    /// - or this connection has not got beyond SYNs,
    /// - or nothing was heard of it for a second.
    ///
    /// Otherwise it is forged, or comes from a host that has forgotten this connection: the other end will not
    /// accept it (RFC 5961 4). A SYN with ACK, where no SYN was captured, counts like a SYN.
    #[must_use]
    pub fn is_succeeded_by(&self, segment: &Segment) -> bool {
        if !segment.is_syn() && !segment.is_syn_ack() {
            return false;
        }
        let from = self.index(segment);
        let (sender, other) = (&self.sides[from], &self.sides[1 - from]);
        let Some(seen) = &sender.seen else {
            return false;
        };
        let known = match sender.syn {
            Some(syn) => syn.sequence == segment.sequence,
            None => place(segment.sequence, seen.next()) + 1 == seen.low(),
        };
        let answers = segment.is_syn_ack()
            && other
                .syn
                .is_some_and(|syn| syn.sequence.wrapping_add(1) == segment.acknowledgment);
        if known || answers {
            return false;
        }
        self.ended() == Ended::Reset
            || sender.fin.is_some()
            || !self.sides.iter().any(Side::is_beyond_syn)
            || elapsed(self.end, segment.time).is_some_and(|silence| silence >= SILENCE)
    }

    /// Its two ends, the sender of its first packet first.
    #[must_use]
    pub fn ends(&self) -> [SocketAddr; 2] {
        self.ends
    }

    /// Which of the ends is the client, as far as is known by now.
    #[must_use]
    pub fn client(&self) -> usize {
        self.client
    }

    /// The places from an end's first sequence number, which is its SYN's if that was captured, to behind its
    /// last one, as far as is known by now.
    #[must_use]
    pub fn places(&self, end: usize) -> Option<(u64, u64)> {
        let seen = self.sides.get(end)?.seen.as_ref()?;
        Some((seen.low(), seen.next()))
    }

    /// How many of an end's sequence numbers are in flight now, once the other end has acknowledged anything.
    #[must_use]
    pub fn in_flight(&self, end: usize) -> Option<u64> {
        let side = self.sides.get(end)?;
        side.heard.acknowledged?;
        Some(side.flight.now())
    }

    /// The window that a packet announces, in bytes, where it is known how it is scaled. A RST announces none.
    #[must_use]
    pub fn window_of(&self, segment: &Segment) -> Option<u64> {
        let window = u64::from(segment.window);
        match segment.flags.of(Flags::SYN | Flags::RST) {
            0 => Some(window << self.scale(self.index(segment))?),
            Flags::SYN => Some(window),
            _ => None,
        }
    }

    /// Which end sent a packet.
    fn index(&self, segment: &Segment) -> usize {
        usize::from(segment.source != self.ends[0])
    }

    /// Whether it has ended as far as its packets say: both ends have sent FIN, or one RST. More packets may
    /// follow.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.ended(), Ended::Closed | Ended::Reset)
    }

    /// How it ended.
    pub(crate) fn ended(&self) -> Ended {
        let closed = self.sides.iter().filter(|side| side.fin.is_some()).count();
        match (closed, self.reset_by) {
            (2, _) => Ended::Closed,
            (_, Some(_)) => Ended::Reset,
            (1, None) => Ended::HalfClosed,
            _ => Ended::Open,
        }
    }

    /// By how much an end's windows are scaled, if that is known (RFC 7323 2.2).
    pub(crate) fn scale(&self, side: usize) -> Option<u8> {
        let own = self.sides[side].syn?.window_scale;
        let other = self.sides[1 - side].syn?.window_scale;
        Some(own.filter(|_| other.is_some()).unwrap_or(0))
    }

    /// The largest window that an end announced, in bytes; where it has only sent a SYN, that one's.
    fn window(&self, side: usize) -> Option<u64> {
        let scale = self.scale(side)?;
        let window = &self.sides[side].window;
        let range = window.range(scale);
        range
            .map(|(_, largest)| largest)
            .or(window.last.map(u64::from))
    }

    /// What of an end is needed to judge what the other one sends.
    fn other(&self, side: usize) -> Other {
        let [own, sender] = [side, 1 - side].map(|side| self.sides[side].handshake);
        Other {
            closed: self.sides[side].window.is_zero(),
            mss: self.sides[side].syn.and_then(|syn| syn.mss),
            reach: reach(self.window(side)),
            path: Path {
                to_sender: own.unwrap_or(0),
                whole: own
                    .zip(sender)
                    .map(|(own, sender)| own.saturating_add(sender)),
            },
        }
    }

    /// How much memory it has besides its own size: for tests.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.sides.iter().map(Side::heap_bytes).sum()
    }

    fn note_flags(&mut self, from: usize, segment: &Segment) {
        if segment.is_syn() {
            self.begins(from, BeganBy::Syn);
            self.handshake = self.handshake.max(Handshake::Syn);
        } else if segment.is_syn_ack() {
            self.begins(1 - from, BeganBy::SynAck);
            self.handshake = self.handshake.max(Handshake::SynAck);
        } else if self.handshake == Handshake::SynAck && from == self.client {
            let asked = self.sides[1 - from].syn.map(|syn| syn.sequence);
            let accepted = segment.flags.of(Flags::ACK | Flags::RST) == Flags::ACK
                && asked.is_some_and(|asked| segment.acknowledgment != asked);
            if accepted {
                self.handshake = Handshake::Complete;
            }
        }
        if segment.flags.any(Flags::RST) {
            self.reset_by = Some(from);
        }
        if segment.flags.any(Flags::FIN | Flags::RST) {
            self.closed_by.get_or_insert(from);
        }
    }

    /// `side` began the connection, if nothing better is known.
    fn begins(&mut self, side: usize, how: BeganBy) {
        if how < self.began_by {
            self.began_by = how;
            self.client = side;
        }
    }
}
