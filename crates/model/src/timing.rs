//! How long things last.

use std::time::Duration;

/// The durations that decide when a connection's file is written and finished.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How long packets wait for their connection's name.
    pub uuid_wait: Duration,
    /// How long a connection is captured, counted from its first packet.
    pub capture: Duration,
    /// How long a connection may be silent before its file is finished.
    pub idle: Duration,
    /// How long a closed connection may be silent before its file is finished.
    pub linger: Duration,
    /// How long a packet of a capturing connection may be in memory only.
    pub spill: Duration,
}
