//! How much of a UDP packet is kept.

/// What is kept of a datagram's payload.
#[derive(Clone, Copy)]
pub(crate) struct Kept {
    /// So many of its first bytes.
    pub(crate) length: usize,
    /// Whether the flow is known to be QUIC by it.
    pub(crate) is_news: bool,
    /// Whether the connection IDs are too long to be kept.
    pub(crate) is_too_long: bool,
    /// Whether what is known of the flow has changed.
    pub(crate) has_changed: bool,
}
