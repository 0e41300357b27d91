//! Promise: connections that the operator does not want are left out, in the kernel.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use end_to_end::capture::Capture;
use end_to_end::peers::daemon::Stopped;
use end_to_end::traffic::Connection;
use end_to_end::traffic::pair::Pair;
use end_to_end::verify::report::{ConnectionField, DiscardReason};
use end_to_end::world::netns::{self, Lab};

/// The ports that connections are made to; none of them is an ephemeral port.
const PORTS: [u16; 2] = [5001, 5002];

/// A connection with the properties that filters look at.
struct Filterable {
    connection: Connection,
    incoming: bool,
    port: u16,
}

/// Makes a connection of each family in each direction to each port.
fn make(lab: &Lab) -> Result<Vec<Filterable>> {
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

/// Runs the daemon with filters, and checks that the files are those of the connections that
/// `wanted` accepts; returns how many packets tcpdump has of the others.
fn choose(filters: &[&str], wanted: impl Fn(&Filterable) -> bool) -> Result<(Stopped, u64)> {
    let lab = Lab::beside_others()?;
    let flags = [&["--uuidwaitduration=1s"], filters].concat();
    let mut others = Vec::new();
    let captured = Capture::new(&lab).run(&flags, |_| {
        let (ours, left_out): (Vec<_>, Vec<_>) = make(&lab)?.into_iter().partition(wanted);
        others = left_out;
        Ok(ours.into_iter().map(|one| one.connection).collect())
    })?;
    let (ours, stopped) = (captured.connections, captured.stopped);
    assert!(!ours.is_empty() && !others.is_empty());
    let opened = stopped.report.get(ConnectionField::Opened);
    assert_eq!(opened, ours.len() as u64);
    let others = others.iter().map(|one| &one.connection);
    Ok((stopped, captured.oracle.count(others)?))
}

/// Ports and addresses are in every packet, from the first on.
fn choose_in_the_kernel(filters: &[&str], wanted: impl Fn(&Filterable) -> bool) -> Result<()> {
    let (stopped, packets) = choose(filters, wanted)?;
    let filtered = stopped.report.get(DiscardReason::Filtered);
    assert_eq!(filtered, packets, "{:?}", stopped.report);
    Ok(())
}

/// Who began a connection is known once it is established: its handshake reaches user space, the
/// rest does not.
fn choose_by_direction(filters: &[&str], wanted: impl Fn(&Filterable) -> bool) -> Result<()> {
    let (stopped, packets) = choose(filters, wanted)?;
    let discarded = |reason: DiscardReason| stopped.report.get(reason);
    let ignored = discarded(DiscardReason::Ignored);
    assert!(ignored > 0, "{:?}", stopped.report);
    let received = discarded(DiscardReason::Unnamed) + discarded(DiscardReason::UnwantedDirection);
    assert_eq!(ignored + received, packets, "{:?}", stopped.report);
    assert!(ignored > received, "{:?}", stopped.report);
    Ok(())
}

#[test]
fn incoming_ones_only() -> Result<()> {
    choose_by_direction(&["--direction=incoming"], |one| one.incoming)
}

#[test]
fn outgoing_ones_only() -> Result<()> {
    choose_by_direction(&["--direction=outgoing"], |one| !one.incoming)
}

#[test]
fn those_with_a_port_only() -> Result<()> {
    choose_in_the_kernel(&["--port=5001", "--port=5003"], |one| one.port == 5001)
}

#[test]
fn those_without_a_port_only() -> Result<()> {
    choose_in_the_kernel(&["--exclude-port=5001"], |one| one.port != 5001)
}

fn is_v4(one: &Filterable) -> bool {
    matches!(one.connection.host.ip(), IpAddr::V4(_))
}

#[test]
fn those_of_networks_only() -> Result<()> {
    let nets = [
        "--net=10.98.0.2/32",
        "--net=192.0.2.0/24",
        "--net=2001:db8::/32",
    ];
    choose_in_the_kernel(&nets, is_v4)
}

#[test]
fn those_of_no_excluded_network_only() -> Result<()> {
    choose_in_the_kernel(&["--exclude-net=10.0.0.0/8"], |one| !is_v4(one))?;
    choose_in_the_kernel(&["--exclude-net=fd00:98::/64"], is_v4)
}

#[test]
fn filters_add_up() -> Result<()> {
    let filters = [
        "--net=fd00::/8",
        "--port=5001",
        "--port=5002",
        "--exclude-port=5002",
    ];
    choose_in_the_kernel(&filters, |one| !is_v4(one) && one.port == 5001)
}
