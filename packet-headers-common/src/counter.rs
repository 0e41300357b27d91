//! What the kernel programs count. The parser's error type is a [`Counter`], so that a packet that
//! is not captured cannot go uncounted.

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// One slot of the kernel's counters. The order is the ABI between program and daemon.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Counter {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Counter {
            /// Every counter, in slot order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// How many slots there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The counter's name as operators see it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

counters! {
    /// Packets that the classifier was shown. Each is also counted by exactly one outcome.
    Seen = "seen",
    /// Outcome: a record of the packet's headers was put into a ring.
    Submitted = "submitted",
    /// Outcome: neither IPv4 nor IPv6.
    NotIp = "not_ip",
    /// Outcome: IP, but not TCP.
    NotTcp = "not_tcp",
    /// Outcome: a later fragment of an IP packet; it has no TCP header.
    LaterFragment = "later_fragment",
    /// Outcome: a header that says it is longer than its packet, or shorter than it must be.
    Malformed = "malformed",
    /// Outcome: more labels or extension headers than are followed, or a TCP header behind too many
    /// bytes.
    HeadersTooLong = "headers_too_long",
    /// Outcome: the shard's ring of named connections was full.
    AdmittedRingFull = "admitted_ring_full",
    /// Outcome: the shard's ring of connections that nobody named yet was full.
    CandidateRingFull = "candidate_ring_full",
    /// Outcome: its connection was captured for as long as it is to be.
    AfterCapture = "after_captureduration",
    /// Outcome: nobody named its connection in time, or its connection is not wanted.
    Ignored = "ignored",
    /// Outcome: the same packet was taken at another interface.
    Duplicate = "duplicate",
    /// Outcome: the filters leave its connection out.
    Filtered = "filtered",
    /// Outcome: the kernel would not copy bytes that the packet has.
    CopyFailed = "copy_failed",
    /// Of the submitted: packets whose headers are longer than a record may keep. They are cut.
    HeadersTruncated = "headers_truncated",
    /// A connection's begin or end was put into the event ring.
    EventSubmitted = "event_submitted",
    /// A connection's begin or end was lost: the event ring was full.
    EventRingFull = "event_ring_full",
    /// A connection found no room among the admitted ones: its packets go the candidates' way.
    FlowsFull = "flows_full",
    /// A connection that the filters leave out.
    EventFiltered = "event_filtered",
    /// A connection of another network namespace was left alone.
    EventOtherNetns = "event_other_netns",
}

impl Counter {
    /// The counters that say why a packet was not captured.
    pub const DISCARDED: &[Self] = &[
        Self::NotIp,
        Self::NotTcp,
        Self::LaterFragment,
        Self::Malformed,
        Self::HeadersTooLong,
        Self::AdmittedRingFull,
        Self::CandidateRingFull,
        Self::AfterCapture,
        Self::Ignored,
        Self::Duplicate,
        Self::Filtered,
        Self::CopyFailed,
    ];

    /// The counter's place in the map.
    #[inline(always)]
    #[must_use]
    pub const fn slot(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_dense_and_names_unique() {
        for (slot, counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(counter.slot(), slot);
            let same = Counter::ALL.iter().filter(|c| c.name() == counter.name());
            assert_eq!(same.count(), 1, "{}", counter.name());
        }
    }
}
