//! A connection between any two places: chosen ports, either side accepting, both on one host.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::net::sockopt::socket_cookie;

use crate::traffic::ends::{Ends, LIMIT, LITTLE, connect_from};
use crate::traffic::{Connection, Ending};
use crate::world::netns::Namespace;

/// Both ends of an open connection.
#[derive(Debug)]
pub struct Pair {
    /// The accepting end is the host's place, whoever it belongs to.
    ends: Ends,
}

impl Pair {
    /// Listens at an address in one namespace and connects from another, or from the same.
    ///
    /// # Errors
    /// The connection cannot be made.
    pub fn open(at: (&Namespace, SocketAddr), from: &Namespace) -> Result<Self> {
        Self::made(at, |to| {
            from.run(|| Ok(TcpStream::connect_timeout(&to, LIMIT)?))
        })
    }

    /// [`Pair::open`] from one of the other namespace's addresses.
    ///
    /// # Errors
    /// The connection cannot be made.
    pub fn open_from(at: (&Namespace, SocketAddr), from: (&Namespace, IpAddr)) -> Result<Self> {
        let any = SocketAddr::new(from.1, 0);
        Self::made(at, |to| connect_from(from.0, any, to))
    }

    /// [`Pair::open`] by a way of one's own: a program that is told where to connect.
    ///
    /// # Errors
    /// The connection cannot be made.
    pub fn made(
        at: (&Namespace, SocketAddr),
        connect: impl FnOnce(SocketAddr) -> Result<TcpStream>,
    ) -> Result<Self> {
        let bind = || TcpListener::bind(at.1).with_context(|| format!("bind {}", at.1));
        let listener = at.0.run(bind)?;
        let connecting = connect(listener.local_addr()?)?;
        let (accepting, _) = listener.accept()?;
        Ok(Self {
            ends: Ends::new(accepting, connecting)?,
        })
    }

    /// The connection as the accepting side's host knows it.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn accepted(&self) -> Result<Connection> {
        known(&self.ends.host)
    }

    /// The connection as the connecting side's host knows it.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn connected(&self) -> Result<Connection> {
        known(&self.ends.peer)
    }

    /// Exchanges a little payload.
    ///
    /// # Errors
    /// It does not arrive.
    pub fn talk(&self) -> Result<()> {
        self.ends.exchange(LITTLE)
    }

    /// Exchanges a little payload and closes both ends, the connecting one first.
    ///
    /// # Errors
    /// The payload does not arrive, or the connection does not end so.
    pub fn finish(self) -> Result<()> {
        self.talk()?;
        self.ends.close(Ending::PeerFirst, || ())
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
