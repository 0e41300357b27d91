//! What was sent again, and why.

use std::collections::VecDeque;

use crate::{holes::Hole, rtt::elapsed, segment::Segment, sequence::precedes};

/// The shortest time after which a sender takes silence for a loss: Linux's `TCP_RTO_MIN`, in nanoseconds.
/// RFC 6298 asks for a second.
const TIMEOUT: u64 = 200_000_000;

/// How late a packet may be and still be taken for a late one, where no round-trip time is known: as tshark.
const LATE: u64 = 3_000_000;

/// Duplicate acknowledgments that make a sender send again (RFC 5681 3.2).
const DUPLICATES: u32 = 3;

/// Of how many packets that were sent again it is remembered what they were, to know which were for nothing.
const REMEMBERED: usize = 16;

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
    /// The last ones.
    recent: VecDeque<(u64, u64)>,
}

impl Loss {
    /// A packet that fills a hole: it came late, or its first copy was lost on the way here. Returns whether
    /// it is a retransmission.
    pub(crate) fn filled(&mut self, hole: Hole, segment: &Segment, path: Path) -> bool {
        let timestamp = segment
            .options
            .timestamps
            .map(|timestamps| timestamps.value);
        let late = match (hole.timestamp, timestamp) {
            (Some(passing), Some(own)) if passing != own => precedes(own, passing),
            _ => elapsed(hole.since, segment.time)
                .is_none_or(|time| time < path.whole.unwrap_or(LATE)),
        };
        if late {
            self.reordered += 1;
        } else {
            self.upstream += 1;
            self.upstream_bytes += u64::from(segment.payload);
        }
        !late
    }

    /// A packet with the numbers of `range` was sent again. `sent` is when it was sent before.
    pub(crate) fn sent_again(
        &mut self,
        range: (u64, u64),
        segment: &Segment,
        sent: Option<i64>,
        (heard, next, path): (Heard, u64, Path),
    ) {
        self.packets += 1;
        self.bytes += u64::from(segment.payload);
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(range);
        let silent = |since: Option<i64>, least| {
            since.is_none_or(|since| elapsed(since, segment.time).is_some_and(|time| time >= least))
        };
        let (start, _) = range;
        let first = heard
            .acknowledged
            .is_none_or(|acknowledged| start <= acknowledged);
        let long =
            silent(sent, TIMEOUT) && silent(heard.at, TIMEOUT.saturating_add(path.to_sender));
        if first && long {
            self.by_timeout += 1;
            self.timeout_until = next;
        } else if start < self.timeout_until {
            self.by_timeout += 1;
        } else if start < heard.sacked || (first && heard.duplicates >= DUPLICATES) {
            self.fast += 1;
        }
    }

    /// The other end says that it got what is from `start` up to `end` twice (RFC 2883).
    pub(crate) fn arrived_twice(&mut self, (start, end): (u64, u64)) {
        let before = self.recent.len();
        self.recent
            .retain(|again| again.1 <= start || end <= again.0);
        self.spurious += (before - self.recent.len()) as u64;
    }
}
