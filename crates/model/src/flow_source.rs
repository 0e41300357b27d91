//! Where connections get their names.

use crate::event_socket::EventSocket;
use crate::uuid::UuidPrefix;

/// What reports that connections begin and end, and names them (`--flow-source`).
#[derive(Debug, Clone)]
pub enum FlowSource {
    /// The kernel's sockets, named with this prefix.
    Kernel(UuidPrefix),
    /// tcp-info. The prefix, if given, is for connections that are older than the daemon.
    TcpInfo(EventSocket, Option<UuidPrefix>),
    /// tcp-info, and the kernel's sockets for connections that tcp-info misses, with the names that
    /// tcp-info would give them.
    Hybrid(EventSocket, Option<UuidPrefix>),
}

impl FlowSource {
    /// The prefix of names, if one was given.
    #[must_use]
    pub fn prefix(&self) -> Option<UuidPrefix> {
        match self {
            Self::Kernel(prefix) => Some(prefix.clone()),
            Self::TcpInfo(_, given) | Self::Hybrid(_, given) => given.clone(),
        }
    }

    /// Whether the kernel's sockets are a source.
    #[must_use]
    pub const fn watches_sockets(&self) -> bool {
        matches!(self, Self::Kernel(_) | Self::Hybrid(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_watched_unless_only_tcp_info_is_asked() {
        let socket = || EventSocket::Unix("events.sock".into());
        let prefix = UuidPrefix::new("host_1").unwrap();
        assert!(FlowSource::Kernel(prefix).watches_sockets());
        assert!(FlowSource::Hybrid(socket(), None).watches_sockets());
        assert!(!FlowSource::TcpInfo(socket(), None).watches_sockets());
    }
}
