//! What the kernel knows of a UDP flow: a four-tuple that is active.

use crate::primary_tap::PrimaryTap;
use crate::quic_state::QuicState;

/// The value of the map [`DATAGRAMS`](crate::settings::DATAGRAMS). Nobody but the programs reads or writes it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatagramState {
    /// Until when its packets are captured: `CLOCK_BOOTTIME` in nanoseconds.
    pub deadline_ns: u64,
    /// When it was last seen to be active, by the same clock, but for [`NOTED_AFTER_NS`].
    pub active_ns: u64,
    /// Its primary taps: of packets from the lower end of the key, and from the higher one.
    pub primary_tap: [PrimaryTap; 2],
    /// The QUIC connection in it.
    pub quic: QuicState,
}

/// So much later, activity is noted again: programs on other processors have the state in their caches.
pub const NOTED_AFTER_NS: u64 = 1 << 27;

impl DatagramState {
    /// Of a flow that begins now.
    #[inline(always)]
    #[must_use]
    pub const fn new(now_ns: u64, deadline_ns: u64) -> Self {
        Self {
            deadline_ns,
            active_ns: now_ns,
            primary_tap: [PrimaryTap::UNKNOWN; 2],
            quic: QuicState::NONE,
        }
    }

    /// Whether a packet at this time belongs to the flow, which may be silent for so long.
    #[inline(always)]
    #[must_use]
    pub const fn goes_on(active_ns: u64, now_ns: u64, silence_ns: u64) -> bool {
        // Programs on two processors may have read the clock in the other order.
        now_ns.saturating_sub(active_ns) < silence_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_goes_on_until_it_was_silent() {
        for (now, goes_on) in [
            (100, true),
            (90, true),
            (109, true),
            (110, false),
            (u64::MAX, false),
        ] {
            assert_eq!(DatagramState::goes_on(100, now, 10), goes_on, "{now}");
        }
    }
}
