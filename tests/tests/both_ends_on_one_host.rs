//! Promise: a connection with both ends on this host has one file, which the accepting socket
//! names, with each packet once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Result;
use end_to_end::capture::Capture;
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::TCP;
use end_to_end::traffic::pair::Pair;
use end_to_end::verify::report::{ConnectionField, DiscardReason, EventField, PacketField};
use end_to_end::world::netns::Lab;

/// Connections of each family.
const EACH: usize = 10;

#[test]
fn over_loopback_it_has_one_file_with_each_packet_once() -> Result<()> {
    let lab = Lab::new()?;
    let capture = Capture::new(&lab)
        .by(Launch::new(&lab).on(&["lo"]))
        .beside("lo", TCP);
    let captured = capture.run(&[], |_| {
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
        Ok(connections)
    })?;
    let count = captured.connections.len() as u64;
    let report = &captured.stopped.report;
    assert_eq!(report.get(ConnectionField::Opened), count);
    assert_eq!(report.get(EventField::SecondSocket), count);
    // Each packet is sent and received on the same interface.
    let copies = report.get(DiscardReason::Duplicate);
    assert_eq!(copies, report.get(PacketField::Written), "{report:?}");
    Ok(())
}
