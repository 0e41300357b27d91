//! The window that one end announces: how much it is ready to receive.

use crate::{
    rtt::elapsed,
    segment::{Flags, Segment},
};

/// What an end said of its window.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Window {
    /// The last one, not scaled; of SYNs, too.
    pub(crate) last: Option<u16>,
    pub(crate) changes: u64,
    /// The least and the largest, not scaled, without SYNs, whose window never is (RFC 7323 2.2).
    range: Option<(u16, u16)>,
    pub(crate) zeros: u64,
    /// Since when it is zero.
    zero_since: Option<i64>,
    /// Nanoseconds in which it was, until it opened.
    zero_time: u64,
}

impl Window {
    /// The end sent a packet.
    pub(crate) fn announced(&mut self, segment: &Segment) {
        if segment.flags.any(Flags::RST) {
            return;
        }
        let window = segment.window;
        self.changes += u64::from(self.last.is_some_and(|last| last != window));
        self.last = Some(window);
        if segment.flags.any(Flags::SYN) {
            return;
        }
        let (least, largest) = self.range.unwrap_or((window, window));
        self.range = Some((least.min(window), largest.max(window)));
        if window > 0 {
            if let Some(since) = self.zero_since.take() {
                self.zero_time += elapsed(since, segment.time).unwrap_or(0);
            }
        } else if !segment.flags.any(Flags::FIN) {
            self.zeros += 1;
            self.zero_since.get_or_insert(segment.time);
        }
    }

    /// Whether it is closed.
    pub(crate) fn is_zero(&self) -> bool {
        self.zero_since.is_some()
    }

    /// Nanoseconds in which it was closed, until `end`.
    pub(crate) fn zero_time(&self, end: i64) -> u64 {
        let still = self.zero_since.and_then(|since| elapsed(since, end));
        self.zero_time + still.unwrap_or(0)
    }

    /// The least and the largest, in bytes.
    pub(crate) fn range(&self, scale: u8) -> Option<(u64, u64)> {
        let (least, largest) = self.range?;
        Some((u64::from(least) << scale, u64::from(largest) << scale))
    }
}
