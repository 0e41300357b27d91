//! What one packet was, as the figures count it: for those who draw a connection, or list its packets.

/// What a packet was, as its connection's figures count it.
///
/// Sequence numbers are places on a line: they do not wrap, and only their differences mean anything.
/// [`Connection::places`](crate::Connection::places) has where an end's begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Judgment {
    /// Which of [`Connection::ends`](crate::Connection::ends) sent it.
    pub from: usize,
    /// What its sequence numbers were.
    pub kind: PacketKind,
    /// Where its sequence numbers begin, and where they end. A SYN and a FIN take one each.
    pub range: (u64, u64),
    /// How many bytes of payload had not been seen before.
    pub new_bytes: u64,
    /// Up to where it acknowledges what the other end sent, if it does and is believed.
    pub acknowledges: Option<u64>,
    /// Whether it counts in `duplicate_acks`.
    pub is_duplicate_ack: bool,
    /// Whether it counts in `dsacks`: its first block is of what arrived twice.
    pub is_dsack: bool,
    /// The round-trip time by sequence numbers that it measures, of the other end's packets: nanoseconds.
    pub rtt: Option<u64>,
    /// The same by timestamps.
    pub ts_rtt: Option<u64>,
}

/// What a packet's sequence numbers were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PacketKind {
    /// They are too far from what is known: it counts in `stray_packets`, and for nothing else.
    Stray,
    /// It takes none.
    #[default]
    Bare,
    /// They are new, and behind all others.
    New,
    /// It counts in `retransmit_packets`.
    Retransmission(Cause),
    /// It counts in `reordered_packets`.
    Reordered,
    /// It counts in `duplicate_packets`: the same packet, captured twice.
    Duplicate,
    /// It counts in `keep_alives` or `window_probes`.
    Probe,
}

/// Why a packet was sent again, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It counts in `fast_retransmit_packets`.
    Fast,
    /// It counts in `timeout_retransmit_packets`.
    Timeout,
    /// In neither.
    Unknown,
}
