//! One end of a connection: what it sent, and what became of it.

use crate::{
    counts::Counts,
    flight::Flight,
    holes::{Covered, Seen},
    judgment::{Judgment, PacketKind},
    loss::{Arrival, Heard, Loss, Path, is_duplicate, is_late},
    rate::Rate,
    rtt::{Probe, RoundTrips},
    segment::{Flags, Segment},
    sequence::{FARTHEST, first_place, place, precedes},
    syn::Syn,
    window::Window,
};

/// The least reach of an end whose windows are known: what a capture lost may be many windows long.
const LEAST_REACH: u64 = 1 << 20;

/// One end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Side {
    pub(crate) counts: Counts,
    pub(crate) syn: Option<Syn>,
    /// Nanoseconds until the other end answered the SYN.
    pub(crate) handshake: Option<u64>,
    pub(crate) window: Window,
    pub(crate) loss: Loss,
    pub(crate) trips: RoundTrips,
    pub(crate) flight: Flight,
    pub(crate) rate: Rate,
    pub(crate) seen: Option<Seen>,
    pub(crate) heard: Heard,
    /// When the other end had acknowledged all payload there was.
    pub(crate) all_acknowledged: Option<i64>,
    /// Whether it closed: the number of its FIN.
    pub(crate) fin: Option<u64>,
    /// Where a stray packet ended.
    stray_end: Option<u32>,
}

/// What of the other end is needed to judge a packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Other {
    /// Whether its window is closed.
    pub(crate) closed: bool,
    /// The largest payload of a segment that it accepts.
    pub(crate) mss: Option<u16>,
    /// How far ahead of what is known a sequence number may be.
    pub(crate) reach: u64,
    pub(crate) path: Path,
}

/// How far a sequence number may be from what is known, given the largest window, if that is known.
pub(crate) fn reach(window: Option<u64>) -> u64 {
    window.map_or(FARTHEST, |window| (4 * window).clamp(LEAST_REACH, FARTHEST))
}

impl Side {
    /// This end sent a packet. Returns whether it is believed, and not taken for one that is forged or of another
    /// connection, and says in `judgment` what its numbers were.
    pub(crate) fn sent(
        &mut self,
        segment: &Segment,
        other: Other,
        judgment: &mut Judgment,
    ) -> bool {
        self.counts.add(segment, other.mss);
        let Some(start) = self.locate(segment, other.reach) else {
            self.counts.stray += 1;
            judgment.kind = PacketKind::Stray;
            return false;
        };
        if segment.is_syn() || segment.is_syn_ack() {
            self.note_syn(segment, start, other.path);
        }
        self.window.announced(segment);
        let timestamp = segment.timestamp();
        judgment.range = (start, start + segment.numbers());
        if self.is_probe(segment, start, other.closed) {
            judgment.kind = PacketKind::Probe;
        } else if segment.numbers() > 0 {
            (judgment.kind, judgment.new_bytes) = self.carried(segment, judgment.range, other.path);
        }
        self.trips.sent_timestamp(timestamp, segment.time);
        true
    }

    /// Where its sequence numbers begin, if that is near enough to what is known.
    fn locate(&mut self, segment: &Segment, reach: u64) -> Option<u64> {
        let timestamp = segment.timestamp();
        let first = (segment.time, timestamp);
        let Some(seen) = &mut self.seen else {
            let start = first_place(segment.sequence);
            // The number of a RST may be 0, or one that the other end made up (RFC 9293 3.5.2).
            if !segment.flags.any(Flags::RST) {
                self.seen = Some(Seen::new(start, first));
            }
            return Some(start);
        };
        let start = place(segment.sequence, seen.next());
        if segment.flags.any(Flags::SYN) {
            let asked = Seen::next(seen) - seen.low() <= 1;
            if seen.may_begin_at(start, reach) {
                return Some(start);
            }
            // It asks again with another number, unless it has sent more than that.
            return asked.then(|| self.start_anew(start, first));
        }
        if start.abs_diff(seen.next()) <= reach && u64::from(segment.payload) <= reach {
            self.stray_end = None;
            return Some(start);
        }
        // One that goes on where the last stray one ended is none: much is missing before the two.
        let end = segment.sequence.wrapping_add(segment.payload);
        if segment.payload > 0 && self.stray_end.replace(end) == Some(segment.sequence) {
            if start < seen.next() {
                return Some(self.start_anew(start, first));
            }
            self.trips.forget();
            self.stray_end = None;
            return Some(start);
        }
        None
    }

    /// All numbers so far say nothing of those that begin at `start`, which it returns.
    fn start_anew(&mut self, start: u64, first: (i64, Option<u32>)) -> u64 {
        let missing = self.seen.as_ref().map_or(0, Seen::missing);
        self.seen = Some(Seen::after(missing, start, first));
        self.heard = Heard::default();
        self.trips.forget();
        self.loss.forget();
        (self.fin, self.stray_end) = (None, None);
        start
    }

    fn note_syn(&mut self, segment: &Segment, start: u64, path: Path) {
        let before = self.trips.probe_at(start);
        if before.is_some_and(|before| is_duplicate(Probe::of(segment, start), before, path)) {
            return;
        }
        match &mut self.syn {
            Some(syn) if syn.sequence == segment.sequence => syn.sent_again(segment),
            // Of another number, nothing was answered.
            syn => {
                *syn = Some(Syn::of(segment));
                self.handshake = None;
            }
        }
    }

    /// Whether it only asks whether the other end is there (RFC 9293 3.8.4), or ready to receive (3.8.6.1).
    fn is_probe(&mut self, segment: &Segment, start: u64, closed: bool) -> bool {
        let Some(seen) = &self.seen else { return false };
        let next = seen.next();
        let last = start + 1 == next && segment.payload <= 1;
        if !last || segment.flags.any(Flags::SYN | Flags::FIN | Flags::RST) {
            return false;
        }
        let acknowledged = self.heard.acknowledged;
        if closed && (acknowledged == Some(start) || acknowledged == Some(next)) {
            self.counts.window_probes += 1;
        } else if acknowledged == Some(next) {
            self.counts.keep_alives += 1;
        } else {
            return false;
        }
        true
    }

    /// This end sent something that takes the sequence numbers of `range`. Returns what it was, and how many bytes
    /// of payload were new.
    fn carried(&mut self, segment: &Segment, range: (u64, u64), path: Path) -> (PacketKind, u64) {
        let Some(seen) = &mut self.seen else {
            return (PacketKind::Bare, 0);
        };
        let now = segment.time;
        let timestamp = segment.timestamp();
        if segment.flags.any(Flags::FIN) {
            self.fin = Some(range.1 - 1);
        }
        let covered = seen.cover(range, now, timestamp);
        if segment.flags.any(Flags::SYN) {
            seen.begin();
        }
        let next = seen.next();
        let payload = u64::from(segment.payload);
        let last_payload = self.rate.times().map(|(_, last)| last);
        let new_bytes = payload - covered.again.min(payload);
        if payload > 0 {
            self.rate.came(new_bytes, now);
        }
        let packet = Probe::of(segment, range.0);
        let kind = if covered.again == 0 && covered.hole.is_none() {
            self.trips.sent(packet);
            PacketKind::New
        } else {
            let arrival = self.arrival(packet, covered, path);
            if arrival != Arrival::Duplicate {
                let sent = self.trips.probe_at(range.0).map(|probe| probe.sent);
                let sent = sent.or(last_payload);
                let known = (self.heard, next, path);
                let kind = self.loss.came((arrival, range), segment, sent, known);
                self.trips.sent_again(packet);
                kind
            } else {
                self.counts.duplicates += 1;
                PacketKind::Duplicate
            }
        };
        if let Some(acknowledged) = self.heard.acknowledged {
            self.flight.becomes(next.saturating_sub(acknowledged), now);
        }
        (kind, new_bytes)
    }

    /// What a packet is that does not only have new numbers behind all others.
    fn arrival(&self, packet: Probe, covered: Covered, path: Path) -> Arrival {
        if let (Some(hole), 0) = (covered.hole, covered.again) {
            return if is_late(hole, packet, self.trips.newest_timestamp(), path) {
                Arrival::Late
            } else {
                Arrival::Upstream
            };
        }
        let older = |other: Option<u32>| {
            let both = packet.timestamp.zip(other);
            both.is_some_and(|(own, other)| precedes(own, other))
        };
        match self.trips.probe_at(packet.start) {
            Some(before) if is_duplicate(packet, before, path) => Arrival::Duplicate,
            Some(before) if older(before.timestamp) => Arrival::Overtaken,
            None if older(self.trips.newest_timestamp()) => Arrival::Overtaken,
            _ => Arrival::Again,
        }
    }

    /// The other end acknowledges something of this end. `window` is the one that it announced before, and
    /// `reach` how far from what is known a number may be.
    pub(crate) fn acknowledged(
        &mut self,
        segment: &Segment,
        window: Option<u16>,
        reach: u64,
    ) -> Acknowledged {
        let mut outcome = Acknowledged::default();
        let now = segment.time;
        let first = first_place(segment.acknowledgment);
        let seen = self
            .seen
            .get_or_insert_with(|| Seen::new(first, (now, None)));
        let number = place(segment.acknowledgment, seen.next());
        if number.abs_diff(seen.next()) > reach {
            return outcome;
        }
        seen.pass_over(number, now, None);
        let next = seen.next();
        let before = self.heard.acknowledged.unwrap_or(seen.low());
        if let (Some(syn), None) = (self.syn, self.handshake) {
            self.handshake = syn.answered_after(segment);
        }
        if number > before {
            outcome.rtt = self
                .trips
                .acknowledged((before, number), self.heard.sacked, now);
            if let Some(timestamps) = segment.options.timestamps {
                outcome.ts_rtt = self.trips.echoed(timestamps.echo, now);
            }
            self.heard.duplicates = 0;
            self.heard.acknowledged = Some(number);
            let end = self.fin.unwrap_or(next);
            if before < end && end <= number {
                self.all_acknowledged = Some(now);
            }
            self.flight.becomes(next - number, now);
        } else if self.heard.acknowledged.is_none() {
            self.heard.acknowledged = Some(number);
        } else if number == before && is_duplicate_ack(segment, window) && next > number {
            self.heard.duplicates = self.heard.duplicates.saturating_add(1);
            outcome.duplicate = true;
        }
        outcome.number = Some(number);
        outcome.twice = self.sacked(segment, number);
        self.heard.at = Some(now);
        outcome
    }

    /// Takes the blocks of a SACK option; returns whether one says that something arrived twice.
    fn sacked(&mut self, segment: &Segment, number: u64) -> bool {
        let next = self.seen.as_ref().map_or(0, Seen::next);
        let blocks = segment.options.sack_blocks().iter();
        let mut blocks = blocks.map(|edges| edges.map(|edge| place(edge, number)));
        let Some([left, right]) = blocks.next().filter(|[left, right]| left < right) else {
            return false;
        };
        let second = blocks.next();
        let within = second.is_some_and(|second| second[0] <= left && right <= second[1]);
        let twice = right <= number || within;
        if twice {
            self.loss.arrived_twice((left, right));
        }
        let rights = [(!twice).then_some(right), second.map(|second| second[1])];
        let rights = rights
            .into_iter()
            .flatten()
            .chain(blocks.map(|block| block[1]));
        let highest = rights.filter(|right| *right <= next).max();
        self.heard.sacked = self.heard.sacked.max(highest.unwrap_or(0));
        twice
    }

    /// Bytes of payload that are acknowledged: without the SYN and the FIN.
    pub(crate) fn acknowledged_bytes(&self) -> Option<u64> {
        let (acknowledged, seen) = (self.heard.acknowledged?, self.seen.as_ref()?);
        let syn = u64::from(
            self.syn
                .is_some_and(|syn| place(syn.sequence, seen.low()) == seen.low()),
        );
        let fin = u64::from(self.fin.is_some_and(|fin| fin < acknowledged));
        Some(acknowledged.saturating_sub(seen.low() + syn + fin))
    }

    /// Whether it has sent more than a SYN.
    pub(crate) fn is_beyond_syn(&self) -> bool {
        self.seen
            .as_ref()
            .is_some_and(|seen| seen.next() - seen.low() > 1)
    }

    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        let seen = self.seen.as_ref().map_or(0, Seen::heap_bytes);
        seen + self.trips.heap_bytes() + self.loss.heap_bytes()
    }
}

/// What an acknowledgment was.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Acknowledged {
    /// A duplicate one (RFC 5681 2).
    pub(crate) duplicate: bool,
    /// It reports a duplicate (RFC 2883).
    pub(crate) twice: bool,
    /// What it acknowledges, if that is believed.
    pub(crate) number: Option<u64>,
    /// The round-trip times that it measures, by sequence and by timestamps: nanoseconds.
    pub(crate) rtt: Option<u64>,
    pub(crate) ts_rtt: Option<u64>,
}

/// What RFC 5681 2 asks of a duplicate acknowledgment, but for what is acknowledged.
fn is_duplicate_ack(segment: &Segment, window: Option<u16>) -> bool {
    segment.payload == 0
        && !segment.flags.any(Flags::SYN | Flags::FIN | Flags::RST)
        && window == Some(segment.window)
}
