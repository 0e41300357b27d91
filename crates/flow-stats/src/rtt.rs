//! Round-trip times: from when an end sent something until the other end acknowledged it, as seen where the
//! packets were captured.
//!
//! By sequence: of an acknowledgment that ends exactly where a packet ended, the time since that packet. By
//! Karn's rule (RFC 6298 3) not while it also acknowledges what was sent twice, or what filled a hole, as
//! nobody knows which packet it answers.
//!
//! By timestamps: of an acknowledgment of something new, the time since the first packet with the timestamp
//! that it echoes (RFC 7323 4.1).

use std::collections::VecDeque;

use crate::{quantiles::Quantiles, segment::Segment, sequence::precedes};

/// The most packets, and the most timestamps, whose answer is awaited. Further ones are not measured; while
/// as many are on their way, that is often enough.
const MOST: usize = 128;

/// How many acknowledged packets are remembered, to know their copies.
const REMEMBERED: usize = 32;

/// A packet whose acknowledgment is awaited, as it was sent last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probe {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) sent: i64,
    pub(crate) timestamp: Option<u32>,
    pub(crate) identification: u16,
}

impl Probe {
    /// A packet whose numbers begin at `start`.
    pub(crate) fn of(segment: &Segment, start: u64) -> Self {
        Self {
            start,
            end: start + segment.numbers(),
            sent: segment.time,
            timestamp: segment.timestamp(),
            identification: segment.identification,
        }
    }
}

/// What one end has sent and the other one has not acknowledged, and the times of what was.
#[derive(Debug, Clone, Default)]
pub(crate) struct RoundTrips {
    /// By their numbers. The first `acknowledged` of them are.
    probes: VecDeque<Probe>,
    acknowledged: usize,
    /// Timestamps in the order in which they were first sent, and when.
    echoes: VecDeque<(u32, i64)>,
    /// An acknowledgment of anything from here to there is ambiguous.
    ambiguous: (u64, u64),
    /// The newest timestamp that was sent.
    newest: Option<u32>,
    pub(crate) by_sequence: Quantiles,
    pub(crate) by_timestamps: Quantiles,
    /// Packets that were not measured, as too many were on their way.
    pub(crate) unmeasured: u64,
}

impl RoundTrips {
    /// A packet was sent whose sequence numbers are all new, and behind all others.
    pub(crate) fn sent(&mut self, probe: Probe) {
        if self.probes.len() - self.acknowledged < MOST {
            self.probes.push_back(probe);
        } else {
            self.unmeasured += 1;
        }
        self.sent_timestamp(probe.timestamp, probe.sent);
    }

    /// A packet with a timestamp was sent.
    pub(crate) fn sent_timestamp(&mut self, timestamp: Option<u32>, now: i64) {
        let Some(value) = timestamp else { return };
        if self.newest.is_some_and(|newest| !precedes(newest, value)) {
            return;
        }
        self.newest = Some(value);
        if self.echoes.len() < MOST {
            self.echoes.push_back((value, now));
        }
    }

    /// What has these numbers was sent again, or late.
    pub(crate) fn sent_again(&mut self, copy: Probe) {
        let (start, end) = (copy.start, copy.end);
        self.ambiguous = if self.ambiguous.0 == self.ambiguous.1 {
            (start, end)
        } else {
            (self.ambiguous.0.min(start), self.ambiguous.1.max(end))
        };
        let from = self.probes.partition_point(|probe| probe.end <= start);
        let probes = self.probes.iter_mut().skip(from);
        for probe in probes.take_while(|probe| probe.start < end) {
            *probe = Probe {
                start: probe.start,
                end: probe.end,
                ..copy
            };
        }
    }

    /// The newest timestamp that was sent.
    pub(crate) fn newest_timestamp(&self) -> Option<u32> {
        self.newest
    }

    /// The packet that has the number `start`, if it is remembered.
    pub(crate) fn probe_at(&self, start: u64) -> Option<&Probe> {
        let at = self.probes.partition_point(|probe| probe.end <= start);
        self.probes.get(at).filter(|probe| probe.start <= start)
    }

    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        let waiting = self.probes.capacity() * size_of::<Probe>()
            + self.echoes.capacity() * size_of::<(u32, i64)>();
        waiting + self.by_sequence.heap_bytes() + self.by_timestamps.heap_bytes()
    }

    /// What was sent is not what it seemed.
    pub(crate) fn forget(&mut self) {
        self.probes.clear();
        self.acknowledged = 0;
        self.echoes.clear();
        self.ambiguous = (0, 0);
    }

    /// Everything up to `to` is acknowledged, after everything up to `from` was. What is below `sacked` had
    /// arrived before, so that the answer came late.
    pub(crate) fn acknowledged(
        &mut self,
        (from, to): (u64, u64),
        sacked: u64,
        now: i64,
    ) -> Option<u64> {
        let mut newest = None;
        while let Some(probe) = self.probes.get(self.acknowledged)
            && probe.end <= to
        {
            newest = Some(*probe);
            self.acknowledged += 1;
        }
        while self.acknowledged > REMEMBERED {
            self.probes.pop_front();
            self.acknowledged -= 1;
        }
        let (start, end) = self.ambiguous;
        let ambiguous = from < end && start < to;
        if to >= end {
            self.ambiguous = (0, 0);
        }
        let probe = newest.filter(|probe| probe.end == to && !ambiguous && to > sacked);
        let time = elapsed(probe?.sent, now)?;
        self.by_sequence.add(time);
        Some(time)
    }

    /// An acknowledgment of something new echoes this timestamp.
    pub(crate) fn echoed(&mut self, value: u32, now: i64) -> Option<u64> {
        let mut measured = None;
        while let Some(&(first, sent)) = self.echoes.front()
            && !precedes(value, first)
        {
            self.echoes.pop_front();
            if first == value
                && let Some(time) = elapsed(sent, now)
            {
                self.by_timestamps.add(time);
                measured = Some(time);
            }
        }
        measured
    }
}

/// Nanoseconds between two times; nothing if the clock was set back between.
pub(crate) fn elapsed(from: i64, to: i64) -> Option<u64> {
    to.checked_sub(from)
        .and_then(|time| u64::try_from(time).ok())
}

/// Rounded.
pub(crate) fn microseconds(nanoseconds: u64) -> u64 {
    nanoseconds / 1000 + u64::from(nanoseconds % 1000 >= 500)
}
