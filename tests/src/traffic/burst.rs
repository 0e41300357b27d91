//! Connections that are reset as soon as they are established: many events with few packets.

use std::net::TcpStream;
use std::time::Duration;

use anyhow::Result;
use rustix::net::sockopt::set_socket_linger;

use super::Connection;
use super::ends::{Ends, listen};
use crate::world::netns::{self, Lab};

/// Makes `count` connections from the peer, one after another; the peer resets each at once.
///
/// # Errors
/// A connection that cannot be made.
pub fn run(lab: &Lab, count: usize) -> Result<Vec<Connection>> {
    let [address, _] = netns::first(0);
    let listener = listen(&lab.host, address)?;
    let to = listener.local_addr()?;
    lab.peer.run(|| {
        let connect = |_| {
            let peer = TcpStream::connect(to)?;
            set_socket_linger(&peer, Some(Duration::ZERO))?;
            let ends = Ends::new(listener.accept()?.0, peer)?;
            ends.connection()
        };
        (0..count).map(connect).collect()
    })
}
