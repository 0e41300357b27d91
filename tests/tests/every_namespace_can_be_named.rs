//! Promise: with `--netns=all` the sockets of every network namespace count, so that a daemon in
//! the host's namespace names the connections of pods; each connection still has one file.

use std::net::SocketAddr;

use anyhow::Result;
use end_to_end::capture::Capture;
use end_to_end::traffic::pair::Pair;
use end_to_end::verify::report::{ConnectionField, EventField};
use end_to_end::world::netns::{Lab, first, second};

/// Connections of each family in each direction.
const EACH: usize = 5;

#[test]
fn the_accepting_socket_names_the_file_wherever_it_is() -> Result<()> {
    let lab = Lab::new()?;
    let captured = Capture::new(&lab).run(&["--netns=all"], |_| {
        let mut connections = Vec::new();
        for _ in 0..EACH {
            let host = first(0).map(|ip| (&lab.host, ip, &lab.peer));
            let peer = second(0).map(|ip| (&lab.peer, ip, &lab.host));
            for (acceptor, ip, connector) in host.into_iter().chain(peer) {
                let pair = Pair::open((acceptor, SocketAddr::new(ip, 0)), connector)?;
                connections.push(pair.accepted()?);
                pair.finish()?;
            }
        }
        Ok(connections)
    })?;
    let count = captured.connections.len() as u64;
    let report = &captured.stopped.report;
    // Other programs on this machine may connect too, but have no packet on this interface.
    let empty = report.get(ConnectionField::Empty);
    assert_eq!(report.get(ConnectionField::Opened) - empty, count);
    // Both ends are seen, and one of them gives the name.
    assert_eq!(report.get(EventField::SecondSocket), count);
    Ok(())
}
