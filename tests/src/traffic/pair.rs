//! A connection between any two namespaces, or within one: with chosen addresses, either side
//! accepting.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result};

use super::ends::{Ends, LITTLE, connect_from};
use super::{Connection, Ending};
use crate::world::netns::Namespace;
use crate::world::wait;

/// Both ends of an open connection.
#[derive(Debug)]
pub struct Pair {
    /// The accepting end is in the host's place, whichever namespace it is in.
    ends: Ends,
}

impl Pair {
    /// How many bytes each end sends when the two talk.
    pub const TALK: usize = LITTLE;

    /// Listens at an address in one namespace and connects from another, or from the same.
    ///
    /// # Errors
    /// The connection cannot be made.
    pub fn open(at: (&Namespace, SocketAddr), from: &Namespace) -> Result<Self> {
        Self::made(at, |to| {
            from.run(|| Ok(TcpStream::connect_timeout(&to, wait::LIMIT)?))
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

    /// [`Pair::open`], but `connect` makes the connection to the address that it is given.
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

    /// The connection as the accepting side sees it.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub fn accepted(&self) -> Result<Connection> {
        Connection::of(&self.ends.host)
    }

    /// The connection as the connecting side sees it.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub fn connected(&self) -> Result<Connection> {
        Connection::of(&self.ends.peer)
    }

    /// Sends so many bytes each way at the same time.
    ///
    /// # Errors
    /// They do not arrive.
    pub fn exchange(&self, len: usize) -> Result<()> {
        self.ends.exchange(len)
    }

    /// Exchanges a little payload.
    ///
    /// # Errors
    /// It does not arrive.
    pub fn talk(&self) -> Result<()> {
        self.ends.exchange_little()
    }

    /// Exchanges a little payload and closes both ends, the connecting one first.
    ///
    /// # Errors
    /// The payload does not arrive, or the connection does not end that way.
    pub fn finish(self) -> Result<()> {
        self.talk()?;
        self.close(Ending::PeerFirst)
    }

    /// Closes both ends; the accepting one is in the host's place.
    ///
    /// # Errors
    /// The connection does not end that way.
    pub fn close(self, ending: Ending) -> Result<()> {
        self.ends.close(ending, || ())
    }
}
