//! The SYN of one end: what it said, and how long it took until it was answered.

use crate::{
    rtt::elapsed,
    segment::{Flags, Segment},
};

/// What an end's SYN said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Syn {
    pub(crate) sequence: u32,
    /// When the first one was sent, and the last one.
    pub(crate) first: i64,
    last: i64,
    count: u32,
    timestamp: Option<u32>,
    pub(crate) flags: Flags,
    pub(crate) mss: Option<u16>,
    pub(crate) window_scale: Option<u8>,
    pub(crate) sack_permitted: bool,
}

impl Syn {
    /// What a SYN says that was sent for the first time.
    pub(crate) fn of(segment: &Segment) -> Self {
        Self {
            sequence: segment.sequence,
            first: segment.time,
            last: segment.time,
            count: 1,
            timestamp: segment.timestamp(),
            flags: segment.flags,
            mss: segment.options.mss,
            window_scale: segment.options.window_scale,
            sack_permitted: segment.options.sack_permitted,
        }
    }

    /// It was sent again.
    pub(crate) fn sent_again(&mut self, segment: &Segment) {
        self.last = segment.time;
        self.count += 1;
        self.timestamp = segment.timestamp();
    }

    /// Nanoseconds until this packet answers it: one that acknowledges the SYN and nothing else, if it is
    /// clear which of several SYNs it answers (RFC 6298 3).
    pub(crate) fn answered_after(&self, segment: &Segment) -> Option<u64> {
        if segment.acknowledgment != self.sequence.wrapping_add(1) {
            return None;
        }
        // One without ACK is only answered by one with SYN.
        if !self.flags.any(Flags::ACK) && !segment.is_syn_ack() {
            return None;
        }
        let echo = segment.options.timestamps.map(|timestamps| timestamps.echo);
        let clear = self.count == 1 || (echo.is_some() && echo == self.timestamp);
        clear.then(|| elapsed(self.last, segment.time)).flatten()
    }
}
