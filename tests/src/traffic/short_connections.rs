//! Many short connections, one after another.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::ends::{Ends, listen};
use super::{Connection, Ending, Observer};
use crate::world::netns::{self, Lab};

/// How long each connection stays open.
pub const LASTS: Duration = Duration::from_millis(2);

/// Makes `count` connections from the peer, each open for [`LASTS`], one after another.
///
/// # Errors
/// A connection that did not go as planned.
pub fn run(lab: &Lab, count: usize, observer: &dyn Observer) -> Result<Vec<Connection>> {
    let [address, _] = netns::first(0);
    let listener = listen(&lab.host, address)?;
    let to = listener.local_addr()?;
    lab.peer.run(|| {
        let connect = |_| {
            let begun = Instant::now();
            let peer = TcpStream::connect(to)?;
            let ends = Ends::new(listener.accept()?.0, peer)?;
            let connection = ends.connection()?;
            observer.opened(&connection);
            ends.exchange_little()?;
            thread::sleep(LASTS.saturating_sub(begun.elapsed()));
            ends.close(Ending::PeerFirst, || observer.closed(&connection))?;
            let lasted = begun.elapsed();
            Ok(Connection {
                lasted,
                ..connection
            })
        };
        (0..count).map(connect).collect()
    })
}
