//! When files are written and finished.

use std::time::Duration;

/// The durations that decide when a connection's file is written and finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long packets wait for their connection's name.
    pub uuid_wait: Duration,
    /// How long a connection is captured, counted from its first packet.
    pub capture: Duration,
    /// How long an open connection may be silent before its file is finished.
    pub idle: Duration,
    /// How long a closed connection must be silent before its file is finished.
    pub linger: Duration,
    /// The longest time that a packet of a capturing connection stays in memory only.
    pub spill: Duration,
}
