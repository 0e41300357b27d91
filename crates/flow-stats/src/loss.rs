//! What was sent again, and why.

use std::collections::VecDeque;

use crate::{
    holes::Hole,
    judgment::{Cause, PacketKind},
    rtt::{Probe, elapsed},
    segment::Segment,
    sequence::precedes,
};

/// The shortest time after which a sender takes silence for a loss: Linux's `TCP_RTO_MIN`, in nanoseconds.
/// RFC 6298 asks for a second.
const TIMEOUT: u64 = 200_000_000;

/// How late a packet may be and still be taken for a late one, where no round-trip time is known: as tshark.
const LATE: u64 = 3_000_000;

/// Duplicate acknowledgments that make a sender send again (RFC 5681 3.2).
const DUPLICATES: u32 = 3;

/// Of how many packets that were sent again it is remembered what they were, to know which were for nothing.
const REMEMBERED: usize = 16;

/// What a packet is whose numbers are not new, or not behind all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It fills a hole, as it was overtaken.
    Late,
    /// It fills a hole, as its first copy was lost on the way here.
    Upstream,
    /// The same packet was seen before: the network, or the capture, has doubled it.
    Duplicate,
    /// It was sent before what was sent again for it, and came behind that.
    Overtaken,
    /// It was sent again.
    Again,
}

/// Whether what fills a hole was overtaken: it has an older timestamp than the packet that made the hole; or
/// the same, while `newest`, the sender's last one, is newer; or it comes sooner than anything could be sent
/// again.
pub(crate) fn is_late(hole: Hole, packet: Probe, newest: Option<u32>, path: Path) -> bool {
    let older = |own, other: Option<u32>| other.is_some_and(|other| precedes(own, other));
    match (hole.timestamp, packet.timestamp) {
        (Some(passing), Some(own)) if passing != own => precedes(own, passing),
        (Some(_), Some(own)) if older(own, newest) => true,
        _ => is_soon(hole.since, packet.sent, path),
    }
}

/// Whether two packets with numbers in common are the same: an IPv4 packet has an identification of its own.
/// Without one, it has the same timestamp and comes sooner than anything could be sent again.
pub(crate) fn is_duplicate(packet: Probe, before: &Probe, path: Path) -> bool {
    let same = (
        packet.start,
        packet.end,
        packet.timestamp,
        packet.identification,
    ) == (
        before.start,
        before.end,
        before.timestamp,
        before.identification,
    );
    let stamped = packet.timestamp.is_some() && is_soon(before.sent, packet.sent, path);
    same && (packet.identification != 0 || stamped)
}

/// Whether too little time passed for anything to be sent again.
fn is_soon(from: i64, to: i64, path: Path) -> bool {
    elapsed(from, to).is_none_or(|time| time < path.whole.unwrap_or(LATE))
}

/// What is known of the path, in nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Path {
    /// From where packets are captured to the sender and back.
    pub(crate) to_sender: u64,
    /// From end to end and back.
    pub(crate) whole: Option<u64>,
}

/// What the other end has said of one end's data.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Heard {
    /// When it last said anything.
    pub(crate) at: Option<i64>,
    /// Duplicate acknowledgments in a row.
    pub(crate) duplicates: u32,
    /// Everything below is acknowledged.
    pub(crate) acknowledged: Option<u64>,
    /// Something below has arrived that is not acknowledged.
    pub(crate) sacked: u64,
}

/// Packets that were sent again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loss {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) fast: u64,
    pub(crate) by_timeout: u64,
    pub(crate) spurious: u64,
    pub(crate) upstream: u64,
    pub(crate) upstream_bytes: u64,
    pub(crate) reordered: u64,
    /// What a timeout has set off ends here.
    timeout_until: u64,
    /// The last ones, and whether they were sent for one that had not been seen.
    recent: VecDeque<((u64, u64), bool)>,
}

impl Loss {
    /// A packet with the numbers of `range` came that is no plain one. `sent` is when these numbers, or others,
    /// were sent before.
    pub(crate) fn came(
        &mut self,
        (arrival, range): (Arrival, (u64, u64)),
        segment: &Segment,
        sent: Option<i64>,
        known: (Heard, u64, Path),
    ) -> PacketKind {
        let payload = u64::from(segment.payload);
        match arrival {
            Arrival::Duplicate => PacketKind::Duplicate,
            Arrival::Late => {
                self.reordered += 1;
                PacketKind::Reordered
            }
            Arrival::Overtaken => {
                self.reordered += 1;
                // What had been sent again for it was not lost.
                if self
                    .recent
                    .iter()
                    .any(|(again, upstream)| *upstream && *again == range)
                {
                    self.upstream = self.upstream.saturating_sub(1);
                    self.upstream_bytes = self.upstream_bytes.saturating_sub(payload);
                }
                PacketKind::Reordered
            }
            Arrival::Upstream => {
                self.upstream += 1;
                self.upstream_bytes += payload;
                PacketKind::Retransmission(self.sent_again((range, true), segment, sent, known))
            }
            Arrival::Again => {
                PacketKind::Retransmission(self.sent_again((range, false), segment, sent, known))
            }
        }
    }

    fn sent_again(
        &mut self,
        again: ((u64, u64), bool),
        segment: &Segment,
        sent: Option<i64>,
        (heard, next, path): (Heard, u64, Path),
    ) -> Cause {
        self.packets += 1;
        self.bytes += u64::from(segment.payload);
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(again);
        let silent = |since: Option<i64>, least| {
            since.is_none_or(|since| elapsed(since, segment.time).is_some_and(|time| time >= least))
        };
        let ((start, _), _) = again;
        let first = heard
            .acknowledged
            .is_none_or(|acknowledged| start <= acknowledged);
        let long =
            silent(sent, TIMEOUT) && silent(heard.at, TIMEOUT.saturating_add(path.to_sender));
        if first && long {
            self.by_timeout += 1;
            self.timeout_until = next;
            Cause::Timeout
        } else if start < self.timeout_until {
            self.by_timeout += 1;
            Cause::Timeout
        } else if start < heard.sacked || (first && heard.duplicates >= DUPLICATES) {
            self.fast += 1;
            Cause::Fast
        } else {
            Cause::Unknown
        }
    }

    /// What was sent is not what it seemed: all further numbers are others.
    pub(crate) fn forget(&mut self) {
        self.timeout_until = 0;
        self.recent.clear();
    }

    /// The other end says that it got what is from `start` up to `end` twice (RFC 2883).
    pub(crate) fn arrived_twice(&mut self, (start, end): (u64, u64)) {
        let before = self.recent.len();
        self.recent
            .retain(|(again, _)| again.1 <= start || end <= again.0);
        self.spurious += (before - self.recent.len()) as u64;
    }

    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.recent.capacity() * size_of::<((u64, u64), bool)>()
    }
}
