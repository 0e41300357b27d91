//! Promise: connections that the operator does not want are left out, in the kernel.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use end_to_end::peers::daemon::{Daemon, Stopped, kernel_uuid};
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::traffic::Connection;
use end_to_end::traffic::pair::Pair;
use end_to_end::verify::oracle::Oracle;
use end_to_end::world::netns::{self, Lab};

/// Ports that the connections of these tests are made to, below the ephemeral ones.
const PORTS: [u16; 2] = [5001, 5002];

/// A connection that was made, told by what filters can look at.
struct Made {
    connection: Connection,
    incoming: bool,
    port: u16,
}

/// Makes a connection each way to each port with each family.
fn make(lab: &Lab) -> Result<Vec<Made>> {
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
                all.push(Made {
                    connection,
                    incoming,
                    port,
                });
            }
        }
    }
    Ok(all)
}

/// Runs the daemon with filters and checks that the files are those of the connections that `wanted`
/// takes; what tcpdump has of the others, in packets.
fn choose(filters: &[&str], wanted: impl Fn(&Made) -> bool) -> Result<(Stopped, u64)> {
    let lab = Lab::new()?;
    let tcpdump = Tcpdump::start(&lab.host, 0)?;
    let arguments = [&["--flow-source=kernel", "--uuidwaitduration=1s"], filters].concat();
    let mut daemon = Daemon::start(&lab, &arguments)?;
    let (ours, others): (Vec<_>, Vec<_>) = make(&lab)?.into_iter().partition(wanted);
    assert!(!ours.is_empty() && !others.is_empty());
    daemon.wait_for_files(ours.len())?;
    daemon.wait_for_summary("no packet is held", |s| s.get("packets", "held") == 0)?;
    let stopped = daemon.stop()?;
    let oracle = tcpdump.stop()?;
    let ours: Vec<_> = ours.into_iter().map(|made| made.connection).collect();
    oracle
        .judge(&stopped.captures, &ours, kernel_uuid)
        .with_context(|| stopped.transcript.clone())?;
    stopped.summary.in_balance()?;
    let opened = stopped.summary.get("connections", "opened");
    assert_eq!(opened, ours.len() as u64);
    let packets = count(&oracle, &others)?;
    Ok((stopped, packets))
}

fn count(oracle: &Oracle, connections: &[Made]) -> Result<u64> {
    let mut packets = 0;
    for Made { connection, .. } in connections {
        packets += oracle
            .connection(connection.host, connection.peer, 0)?
            .len() as u64;
    }
    Ok(packets)
}

/// By ports and addresses every packet can be told, from the first on.
fn choose_in_the_kernel(filters: &[&str], wanted: impl Fn(&Made) -> bool) -> Result<()> {
    let (stopped, packets) = choose(filters, wanted)?;
    let filtered = stopped.summary.get("discarded", "filtered");
    assert_eq!(filtered, packets, "{:?}", stopped.summary);
    Ok(())
}

/// Who began a connection is known when it is established: the handshake comes to user space, the
/// rest does not.
fn choose_by_direction(filters: &[&str], wanted: impl Fn(&Made) -> bool) -> Result<()> {
    let (stopped, packets) = choose(filters, wanted)?;
    let discarded = |reason| stopped.summary.get("discarded", reason);
    let ignored = discarded("ignored");
    assert!(ignored > 0, "{:?}", stopped.summary);
    let came = discarded("unnamed") + discarded("unwanted_direction");
    assert_eq!(ignored + came, packets, "{:?}", stopped.summary);
    assert!(ignored > came, "{:?}", stopped.summary);
    Ok(())
}

#[test]
fn incoming_ones_only() -> Result<()> {
    choose_by_direction(&["--direction=incoming"], |made| made.incoming)
}

#[test]
fn outgoing_ones_only() -> Result<()> {
    choose_by_direction(&["--direction=outgoing"], |made| !made.incoming)
}

#[test]
fn those_with_a_port_only() -> Result<()> {
    choose_in_the_kernel(&["--port=5001", "--port=5003"], |made| made.port == 5001)
}

#[test]
fn those_without_a_port_only() -> Result<()> {
    choose_in_the_kernel(&["--exclude-port=5001"], |made| made.port != 5001)
}

fn is_v4(made: &Made) -> bool {
    matches!(made.connection.host.ip(), IpAddr::V4(_))
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
    choose_in_the_kernel(&["--exclude-net=10.0.0.0/8"], |made| !is_v4(made))?;
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
    choose_in_the_kernel(&filters, |made| !is_v4(made) && made.port == 5001)
}
