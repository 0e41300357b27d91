//! A connection that was made, and who is told about it.

use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Result;
use rustix::net::sockopt::socket_cookie;

/// A connection that was made.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Address and port of the daemon's side, as they are on the wire.
    pub host: SocketAddr,
    /// Address and port of the other side.
    pub peer: SocketAddr,
    /// SO_COOKIE of the socket on the daemon's side.
    pub cookie: u64,
    /// The time from before its SYN to after its last close; zero where nobody measured it.
    pub lasted: Duration,
}

impl Connection {
    /// The connection of a socket on the daemon's side.
    ///
    /// # Errors
    /// The socket is not connected.
    pub fn of(socket: &TcpStream) -> Result<Self> {
        // An IPv6 socket may have v4-mapped addresses, which are IPv4 on the wire.
        let plain = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
        Ok(Self {
            host: plain(socket.local_addr()?),
            peer: plain(socket.peer_addr()?),
            cookie: socket_cookie(socket)?,
            lasted: Duration::ZERO,
        })
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host, peer, cookie, ..
        } = self;
        write!(f, "host {host}, peer {peer}, cookie {cookie:#x}")
    }
}

/// Is told about each connection as it is made: the role that tcp-info has beside a real daemon.
pub trait Observer: Sync {
    /// The connection is established.
    fn opened(&self, connection: &Connection);
    /// The host's socket is closed.
    fn closed(&self, connection: &Connection);
}

/// Observes nothing.
impl Observer for () {
    fn opened(&self, _: &Connection) {}
    fn closed(&self, _: &Connection) {}
}
