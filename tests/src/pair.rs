//! A connection between any two places: chosen ports, either side accepting, both on one host.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::net::sockopt::socket_cookie;

use crate::ends::{Ends, LIMIT, LITTLE};
use crate::netns::Namespace;
use crate::traffic::{Connection, Ending};

/// Both ends of an open connection.
#[derive(Debug)]
pub struct Pair {
    accepting: TcpStream,
    connecting: TcpStream,
}

impl Pair {
    /// Listens at an address in one namespace and connects from another, or from the same.
    ///
    /// # Errors
    /// The connection cannot be made.
    pub fn open(at: (&Namespace, SocketAddr), from: &Namespace) -> Result<Self> {
        let bind = || TcpListener::bind(at.1).with_context(|| format!("bind {}", at.1));
        let listener = at.0.run(bind)?;
        let to = listener.local_addr()?;
        let connecting = from.run(|| Ok(TcpStream::connect_timeout(&to, LIMIT)?))?;
        let (accepting, _) = listener.accept()?;
        Ok(Self {
            accepting,
            connecting,
        })
    }

    /// The connection as the accepting side's host knows it.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn accepted(&self) -> Result<Connection> {
        known(&self.accepting)
    }

    /// The connection as the connecting side's host knows it.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn connected(&self) -> Result<Connection> {
        known(&self.connecting)
    }

    /// Exchanges a little payload and closes both ends, the connecting one first.
    ///
    /// # Errors
    /// The payload does not arrive, or the connection does not end so.
    pub fn finish(self) -> Result<()> {
        let ends = Ends::new(self.accepting, self.connecting)?;
        ends.exchange(LITTLE)?;
        ends.close(Ending::PeerFirst, || ())
    }
}

fn known(end: &TcpStream) -> Result<Connection> {
    Ok(Connection {
        host: end.local_addr()?,
        peer: end.peer_addr()?,
        cookie: socket_cookie(end)?,
        lasted: Duration::ZERO,
    })
}
