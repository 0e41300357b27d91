//! Promise: with `--netns=all` the sockets of every namespace on the host count, so that a daemon on
//! the host's network names the connections of pods; each connection still has one file.

use std::net::SocketAddr;

use anyhow::Result;
use end_to_end::capture;
use end_to_end::peers::daemon::kernel_uuid;
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::traffic::pair::Pair;
use end_to_end::world::netns::{Lab, first, second};

/// Connections of each family and way.
const EACH: usize = 5;

#[test]
fn the_accepting_socket_names_the_file_wherever_it_is() -> Result<()> {
    let lab = Lab::new()?;
    let tcpdump = Tcpdump::start(&lab.host, 0)?;
    let launch = Launch::new(&lab);
    let daemon = launch.start(&["--flow-source=kernel", "--netns=all"])?;
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
    let count = connections.len();
    let (stopped, _) = capture::conclude(daemon, tcpdump, &connections, kernel_uuid)?;
    let summary = &stopped.summary;
    assert_eq!(summary.get("connections", "opened"), count as u64);
    // Both ends are seen, and one of them is the name.
    assert_eq!(summary.get("events", "second_socket"), count as u64);
    Ok(())
}
