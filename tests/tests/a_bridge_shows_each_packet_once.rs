//! Promise: where several interfaces show the same packet, the file has it once; and when the interface
//! that it was taken at goes down, it is taken at another.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use end_to_end::capture;
use end_to_end::peers::daemon::kernel_uuid;
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::traffic::{self, Connection, Plan};
use end_to_end::verify::oracle::equal_but;
use end_to_end::verify::pcap::Packet;
use end_to_end::world::netns::{self, Lab, Namespace, WAN};

/// A second way from the host to the peer.
const OTHER: &str = "wan1";
/// How long a home must have been silent before another interface becomes it.
const SILENCE: Duration = Duration::from_secs(1);
/// Between two exchanges.
const PAUSE: Duration = Duration::from_millis(5);
/// How late a sender may be that has something to send: a retransmission, a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Puts the ports into a bridge that has the addresses of subnet 0 instead of them. The bridge's own
/// address does not change with its ports.
fn bridge(namespace: &Namespace, ports: &[&str], number: u8) -> Result<()> {
    let address = format!("02:00:00:00:98:{number:02}");
    let ip = |line: &str| namespace.ip(&line.split(' ').collect::<Vec<_>>());
    ip(&format!("link add br0 address {address} type bridge"))?;
    ip("link set br0 up")?;
    for port in ports {
        ip(&format!("addr flush dev {port}"))?;
        ip(&format!("link set {port} master br0"))?;
    }
    let [v4, v6] = if number == 1 {
        netns::first(0)
    } else {
        netns::second(0)
    };
    ip(&format!("addr add {v4}/24 dev br0"))?;
    ip(&format!("addr add {v6}/64 dev br0 nodad"))
}

/// The host has a bridge, the peer an ordinary interface.
#[test]
fn behind_a_bridge_every_file_has_each_packet_once() -> Result<()> {
    let lab = Lab::new()?;
    bridge(&lab.host, &[WAN], 1)?;
    let tcpdump = Tcpdump::start(&lab.host, 0)?;
    let launch = Launch::new(&lab).on(&[]);
    let daemon = launch.start(&["--flow-source=kernel"])?;
    let connections = traffic::run(&lab, &Plan::mixed(24), &())?;
    let (stopped, _) = capture::conclude(daemon, tcpdump, &connections, kernel_uuid)?;
    let summary = &stopped.summary;
    let discarded = |reason| summary.get("discarded", reason);
    let copies = discarded("duplicate");
    assert_eq!(copies, summary.get("packets", "written"), "{summary:?}");
    Ok(())
}

/// Makes a connection over [`WAN`] that goes on over [`OTHER`] until long after the silence.
fn talk_over_both(lab: &Lab) -> Result<Connection> {
    let open = traffic::open(lab, &Plan::SHORT, &())?;
    for _ in 0..20 {
        open.talk()?;
    }
    lab.host.ip(&["link", "set", WAN, "down"])?;
    lab.peer.ip(&["link", "set", OTHER, "up"])?;
    let begun = Instant::now();
    while begun.elapsed() < 2 * SILENCE {
        open.talk()?;
        thread::sleep(PAUSE);
        ensure!(begun.elapsed() < PATIENCE, "the flow does not go on");
    }
    open.finish(&())
}

/// Both have a bridge with two ways between them, one of which is up at a time.
#[test]
fn when_the_home_interface_goes_down_the_flow_goes_on_at_the_other() -> Result<()> {
    let lab = Lab::new()?;
    netns::join((&lab.host, OTHER), (&lab.peer, OTHER), 1)?;
    // The peer's port has no carrier, nothing passes, and tcpdump can listen.
    lab.peer.ip(&["link", "set", OTHER, "down"])?;
    bridge(&lab.host, &[WAN, OTHER], 1)?;
    bridge(&lab.peer, &[WAN, OTHER], 2)?;
    // Packets of both ways pass here, one after the other.
    let all = Tcpdump::start_on((&lab.host, "br0"), 0, "tcp")?;
    let second = Tcpdump::start_on((&lab.host, OTHER), 0, "tcp")?;
    let launch = Launch::new(&lab).on(&[WAN, OTHER, "br0"]);
    let mut daemon = launch.start(&["--flow-source=kernel"])?;

    let connection = talk_over_both(&lab)?;
    daemon.wait_for_files(1)?;
    daemon.wait_for_summary("no packet is held", |s| s.get("packets", "held") == 0)?;
    let stopped = daemon.stop()?;
    let (all, second) = (all.stop()?, second.stop()?);

    let files = stopped.captures.published()?;
    let file = files.get(&kernel_uuid(&connection)).context("no file")?;
    let ours = stopped.captures.read(file)?;
    let all = all.connection(connection.host, connection.peer, 0)?;
    let second = second.connection(connection.host, connection.peer, 0)?;
    let from_peer = |packets: &[Packet]| -> Vec<u64> {
        let received = packets
            .iter()
            .filter(|packet| packet.from == connection.peer);
        received.map(|packet| packet.time).collect()
    };
    // What the bridge sends is taken at the bridge; what it receives, where it comes in.
    let first_at_second = *from_peer(second)
        .first()
        .context("nothing came over wan1")?;
    let taken_before = from_peer(&ours)
        .into_iter()
        .filter(|at| *at < first_at_second);
    let last_at_home = taken_before.max().context("nothing came over wan0")?;
    let silent_until = last_at_home + SILENCE.as_nanos() as u64;
    let in_silence = last_at_home..=silent_until + 1_000_000;
    let may_miss =
        |packet: &Packet| packet.from == connection.peer && in_silence.contains(&packet.time);
    let missing = equal_but(&ours, all, may_miss).with_context(|| stopped.transcript.clone())?;
    let after = from_peer(&ours).into_iter().filter(|at| *at > last_at_home);
    let (next, taken) = (after.clone().min(), after.count());
    let next = next.context("nothing was taken at wan1")?;
    println!(
        "{taken} packets were taken at the new home, {missing} were not before it was one, \
         {:?} after the last at the old one",
        Duration::from_nanos(next - last_at_home)
    );
    assert!(taken > missing, "{taken} were taken, {missing} are missing");
    stopped.summary.in_balance()?;
    let summary = &stopped.summary;
    let discarded = |reason| summary.get("discarded", reason);
    let copies = discarded("duplicate");
    assert_eq!(summary.get("packets", "written"), ours.len() as u64);
    // Each packet passes the bridge and a port; but what was sent into a port that is down.
    let passed = 2 * all.len() as u64;
    let seen = copies + ours.len() as u64;
    assert!(seen <= passed && seen + 20 > passed, "{seen} of {passed}");
    Ok(())
}
