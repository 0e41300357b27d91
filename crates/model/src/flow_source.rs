//! Where the names of connections come from.

use crate::event_socket::EventSocket;
use crate::uuid::UuidPrefix;

/// What tells when connections begin and end, and what they are called (`--flow-source`).
#[derive(Debug, Clone)]
pub enum FlowSource {
    /// The kernel's sockets, named with this prefix.
    Kernel(UuidPrefix),
    /// tcp-info. The prefix, if given, names connections that are older than the daemon.
    TcpInfo(EventSocket, Option<UuidPrefix>),
    /// tcp-info, and the kernel for what tcp-info misses, under the names that it would have given.
    Hybrid(EventSocket, Option<UuidPrefix>),
}

impl FlowSource {
    /// Whether the kernel's sockets are watched.
    #[must_use]
    pub const fn watches_sockets(&self) -> bool {
        matches!(self, Self::Kernel(_) | Self::Hybrid(..))
    }
}
