//! Promise: a connection whose both ends are on this host has one file, named by the accepting socket,
//! with each packet once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Result;
use end_to_end::capture;
use end_to_end::peers::daemon::kernel_uuid;
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::traffic::pair::Pair;
use end_to_end::world::netns::Lab;

/// Connections of each family.
const EACH: usize = 10;

#[test]
fn over_loopback_it_has_one_file_with_each_packet_once() -> Result<()> {
    let lab = Lab::new()?;
    let tcpdump = Tcpdump::start_on((&lab.host, "lo"), 0, "tcp")?;
    let launch = Launch::new(&lab).on(&["lo"]);
    let daemon = launch.start(&["--flow-source=kernel"])?;
    let mut connections = Vec::new();
    for _ in 0..EACH {
        for ip in [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            Ipv6Addr::LOCALHOST.into(),
        ] {
            let pair = Pair::open((&lab.host, SocketAddr::new(ip, 0)), &lab.host)?;
            connections.push(pair.accepted()?);
            pair.finish()?;
        }
    }
    let count = connections.len();
    let (stopped, _) = capture::conclude(daemon, tcpdump, &connections, kernel_uuid)?;
    let summary = &stopped.summary;
    assert_eq!(summary.get("connections", "opened"), count as u64);
    assert_eq!(summary.get("events", "second_socket"), count as u64);
    // Each packet is sent and received on the same interface.
    let discarded = |reason| summary.get("discarded", reason);
    let copies = discarded("duplicate");
    assert_eq!(copies, summary.get("packets", "written"), "{summary:?}");
    Ok(())
}
