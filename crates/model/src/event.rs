//! Flow events: connections begin and end.

use std::sync::Arc;

use packet_headers_common::{Endpoint, FlowKey, Role, SocketTotals};

use crate::clock::{BootNanos, WallNanos};
use crate::owner::Owner;
use crate::uuid::FlowUuid;

/// The begin or end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowEvent {
    /// A connection was established, and has this name.
    Open(Open),
    /// A connection was closed. Its file can be finished soon.
    Close(Close),
    /// A process closed the socket of a connection, after that.
    Left(Left),
}

/// A connection was established.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// When it was established, by the clock of packets.
    pub at: BootNanos,
    /// When it was established, by the wall clock. This is the date of its file.
    pub opened: WallNanos,
    /// Its name.
    pub uuid: FlowUuid,
    /// This host's end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// Which end this host's socket is. Only the kernel source knows, and it has already admitted the
    /// connection when it reports this.
    pub role: Option<Role>,
    /// The socket's cookie, or 0 if it is not known.
    pub cookie: u64,
    /// Whose it is, which only the kernel source reports.
    pub owner: Option<Arc<Owner>>,
}

/// A connection was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// When it was closed, by the clock of packets.
    pub at: BootNanos,
    /// Its name.
    pub uuid: FlowUuid,
    /// Its four-tuple, which tcp-info does not report.
    pub key: Option<FlowKey>,
    /// What the kernel knows of it, which only the kernel source reports.
    pub totals: Option<Box<SocketTotals>>,
    /// Who closed it, which only the kernel source reports.
    pub owner: Option<Arc<Owner>>,
}

/// A process closed the socket of a connection that was told of as closed before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// When it did, by the clock of packets.
    pub at: BootNanos,
    /// The connection's name.
    pub uuid: FlowUuid,
    /// Its four-tuple.
    pub key: FlowKey,
    /// Who it was.
    pub owner: Arc<Owner>,
}

impl FlowEvent {
    /// When it happened.
    #[must_use]
    pub const fn at(&self) -> BootNanos {
        match self {
            Self::Open(open) => open.at,
            Self::Close(close) => close.at,
            Self::Left(left) => left.at,
        }
    }

    /// The connection's name.
    #[must_use]
    pub const fn uuid(&self) -> &FlowUuid {
        match self {
            Self::Open(open) => &open.uuid,
            Self::Close(close) => &close.uuid,
            Self::Left(left) => &left.uuid,
        }
    }

    /// The connection's four-tuple, if the event has it.
    #[must_use]
    pub const fn key(&self) -> Option<FlowKey> {
        match self {
            Self::Open(open) => Some(FlowKey::new(open.local, open.remote)),
            Self::Close(close) => close.key,
            Self::Left(left) => Some(left.key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uuid::UuidPrefix;

    #[test]
    fn an_open_has_the_key_of_its_ends_and_a_close_may_have_one() {
        let uuid = UuidPrefix::new("host_1").unwrap().uuid(7);
        let (local, remote) = (
            Endpoint::v4([10, 0, 0, 1], 443),
            Endpoint::v4([10, 0, 0, 2], 50_000),
        );
        let key = FlowKey::new(local, remote);
        let open = FlowEvent::Open(Open {
            at: BootNanos(5),
            opened: WallNanos(6),
            uuid: uuid.clone(),
            local,
            remote,
            role: None,
            cookie: 7,
            owner: None,
        });
        assert_eq!((open.at(), open.key()), (BootNanos(5), Some(key)));
        assert_eq!(open.uuid(), &uuid);
        for told in [Some(key), None] {
            let close = FlowEvent::Close(Close {
                at: BootNanos(8),
                uuid: uuid.clone(),
                key: told,
                totals: None,
                owner: None,
            });
            assert_eq!((close.at(), close.key()), (BootNanos(8), told));
            assert_eq!(close.uuid(), &uuid);
        }
    }
}
