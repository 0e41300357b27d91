//! Connections of each kind that filters tell apart.

use std::net::SocketAddr;

use anyhow::Result;

use super::Connection;
use super::pair::Pair;
use crate::world::netns::{self, Lab};

/// The ports that connections are made to; none of them is an ephemeral port.
pub const PORTS: [u16; 2] = [5001, 5002];

/// A connection with the properties that filters look at.
#[derive(Debug)]
pub struct Filterable {
    /// The connection.
    pub connection: Connection,
    /// Whether the host accepted it.
    pub incoming: bool,
    /// The port of the end that accepted it.
    pub port: u16,
}

impl Filterable {
    /// Whether it is over IPv4.
    #[must_use]
    pub const fn is_v4(&self) -> bool {
        self.connection.host.is_ipv4()
    }
}

/// Makes a connection of each family in each direction to each port.
///
/// # Errors
/// One cannot be made.
pub fn make(lab: &Lab) -> Result<Vec<Filterable>> {
    let mut all = Vec::new();
    for (host, peer) in netns::first(0).into_iter().zip(netns::second(0)) {
        for port in PORTS {
            for incoming in [true, false] {
                let (acceptor, ip, connector) = if incoming {
                    (&lab.host, host, &lab.peer)
                } else {
                    (&lab.peer, peer, &lab.host)
                };
                let pair = Pair::open((acceptor, SocketAddr::new(ip, port)), connector)?;
                let connection = if incoming {
                    pair.accepted()?
                } else {
                    pair.connected()?
                };
                pair.finish()?;
                all.push(Filterable {
                    connection,
                    incoming,
                    port,
                });
            }
        }
    }
    Ok(all)
}
