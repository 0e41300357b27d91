//! When connections begin and end.

use packet_headers_common::{Endpoint, FlowKey, Role};

use crate::clock::{BootNanos, WallNanos};
use crate::uuid::FlowUuid;

/// The begin or end of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowEvent {
    /// A connection was established; its packets get a name.
    Open(Open),
    /// A connection was closed; its file can be finished soon.
    Close(Close),
}

/// A connection was established.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// When, by the clock that stamps packets.
    pub at: BootNanos,
    /// When, by the wall clock: the date of its file.
    pub opened: WallNanos,
    /// Its name.
    pub uuid: FlowUuid,
    /// This host's end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// Which end this host's socket is; only the kernel source tells, and it has admitted the
    /// connection before it does.
    pub role: Option<Role>,
    /// The socket's cookie; 0 when it is not told.
    pub cookie: u64,
}

/// A connection was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// When, by the clock that stamps packets.
    pub at: BootNanos,
    /// Its name.
    pub uuid: FlowUuid,
    /// Its ends; tcp-info does not tell.
    pub key: Option<FlowKey>,
}

impl FlowEvent {
    /// When it happened.
    #[must_use]
    pub const fn at(&self) -> BootNanos {
        match self {
            Self::Open(open) => open.at,
            Self::Close(close) => close.at,
        }
    }

    /// The connection, when the event tells.
    #[must_use]
    pub const fn key(&self) -> Option<FlowKey> {
        match self {
            Self::Open(open) => Some(FlowKey::new(open.local, open.remote)),
            Self::Close(close) => close.key,
        }
    }
}
