//! The client that sent a request.

use std::net::SocketAddr;

/// The client that sent a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Requester {
    /// Whether the client is on this host.
    pub(super) is_local: bool,
}

impl Requester {
    /// The client that connected from one address to another, which is ours.
    pub(super) fn new(from: SocketAddr, to: SocketAddr) -> Self {
        let (from, to) = (from.ip().to_canonical(), to.ip().to_canonical());
        Self {
            is_local: from == to || from.is_loopback(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_local_when_it_comes_from_loopback_or_from_the_address_it_connects_to() {
        let local = |from: &str, to: &str| {
            let [from, to] = [from, to].map(|ip| SocketAddr::new(ip.parse().unwrap(), 9990));
            Requester::new(from, to).is_local
        };
        assert!(local("127.0.0.1", "10.0.0.1"));
        assert!(local("::1", "::1"));
        assert!(local("10.0.0.1", "::ffff:10.0.0.1"));
        assert!(!local("10.0.0.2", "10.0.0.1"));
        assert!(!local("2001:db8::2", "2001:db8::1"));
    }
}
