//! Promise: a packet that several interfaces show is in its file once; and when the interface where
//! a connection was captured goes down, it is captured at another.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use end_to_end::capture::Capture;
use end_to_end::peers::daemon::kernel_uuid;
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::traffic::datagrams::Socket;
use end_to_end::traffic::{self, Connection, Plan};
use end_to_end::verify::flows;
use end_to_end::verify::oracle::{TOLERANCE, equal_but};
use end_to_end::verify::pcap::{self, Packet};
use end_to_end::verify::report::{DiscardReason, PacketField};
use end_to_end::world::netns::{self, Lab, Namespace, WAN};

/// A second link between host and peer.
const OTHER: &str = "wan1";
/// How long the primary tap must have been silent, at most, before another interface becomes the primary
/// tap: a second, and an eighth for which a packet there need not have been noted.
const SILENCE: Duration = Duration::from_millis(1_130);
/// The time between two exchanges.
const PAUSE: Duration = Duration::from_millis(5);
/// How late packets may be: they are sent again, and the machine is busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// Puts the ports into a bridge, which gets the addresses of subnet 0 instead of them. The bridge
/// has a MAC address of its own, which does not change with its ports.
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
    let capture = Capture::new(&lab).by(Launch::new(&lab).on(&[]));
    let captured = capture.run(&[], |_| traffic::run(&lab, &Plan::mixed(24), &()))?;
    let report = &captured.stopped.report;
    let copies = report.get(DiscardReason::Duplicate);
    assert_eq!(copies, report.get(PacketField::Written), "{report:?}");
    Ok(())
}

/// Of UDP, the kernel has a table of its own.
#[test]
fn behind_a_bridge_every_datagram_is_there_once() -> Result<()> {
    let lab = Lab::new()?;
    bridge(&lab.host, &[WAN], 1)?;
    let tcpdump = Tcpdump::start_on((&lab.host, "br0"), "udp")?;
    let launch = Launch::new(&lab).on(&[]);
    let mut daemon = launch.start(&["--protocols=tcp,udp", "--udptimeout=1s"])?;
    for (host, peer) in netns::first(0).into_iter().zip(netns::second(0)) {
        let client = Socket::bind((&lab.host, host), 0)?;
        let server = Socket::bind((&lab.peer, peer), 0)?;
        client.connect(&server)?;
        for _ in 0..20 {
            client.ask(&server)?;
        }
    }
    daemon.wait_for_files(2)?;
    daemon.wait_until_quiet()?;
    let stopped = daemon.stop()?;
    let packets = pcap::read(&tcpdump.finish()?.file())?;
    flows::verify(&stopped.captures, &flows::apart(packets, Duration::MAX))?;
    let report = &stopped.report;
    let copies = report.get(DiscardReason::Duplicate);
    assert_eq!((copies, report.get(PacketField::Written)), (80, 80));
    Ok(())
}

/// Makes a connection that starts on [`WAN`] and goes on on [`OTHER`] until long after the silence.
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
        ensure!(begun.elapsed() < PATIENCE, "the connection does not go on");
    }
    open.finish(&())
}

/// Both ends have a bridge, and there are two links between these, one of which is up at a time.
#[test]
fn when_the_primary_tap_goes_down_the_connection_is_captured_at_another() -> Result<()> {
    let lab = Lab::new()?;
    netns::join((&lab.host, OTHER), (&lab.peer, OTHER), 1)?;
    // The peer's port has no carrier: nothing passes, but tcpdump can listen.
    lab.peer.ip(&["link", "set", OTHER, "down"])?;
    bridge(&lab.host, &[WAN, OTHER], 1)?;
    bridge(&lab.peer, &[WAN, OTHER], 2)?;
    // Packets of both directions pass here, one after the other.
    let all = Tcpdump::start_on((&lab.host, "br0"), "tcp")?;
    let second = Tcpdump::start_on((&lab.host, OTHER), "tcp")?;
    let launch = Launch::new(&lab).on(&[WAN, OTHER, "br0"]);
    let mut daemon = launch.start(&[])?;

    let connection = talk_over_both(&lab)?;
    daemon.wait_for_files(1)?;
    daemon.wait_until_quiet()?;
    let stopped = daemon.stop()?;
    let (all, second) = (all.stop()?, second.stop()?);

    let ours = stopped.captures.packets_of(&kernel_uuid(&connection))?;
    let all = all.packets_of(&connection)?;
    let second = second.packets_of(&connection)?;
    let from_peer = |packets: &[Packet]| -> Vec<Duration> {
        let received = packets
            .iter()
            .filter(|packet| packet.from == connection.peer);
        received.map(|packet| packet.time).collect()
    };
    // What the bridge sends is captured at the bridge, and what it receives at the port where it
    // arrives.
    let first_at_second = *from_peer(second)
        .first()
        .context("nothing came over wan1")?;
    let before = from_peer(&ours)
        .into_iter()
        .filter(|at| *at < first_at_second);
    let last_at_first = before.max().context("nothing came over wan0")?;
    let in_silence = last_at_first..=last_at_first + SILENCE + TOLERANCE;
    let may_miss =
        |packet: &Packet| packet.from == connection.peer && in_silence.contains(&packet.time);
    let missing = equal_but(&ours, all, may_miss).with_context(|| stopped.transcript.clone())?;
    let after = from_peer(&ours).into_iter();
    let after = after.filter(|at| *at > last_at_first);
    let (next, captured) = (after.clone().min(), after.count());
    let next = next.context("nothing was captured at wan1")?;
    println!(
        "{captured} packets were captured at the new primary tap; {missing} had passed it before, \
         and it took {:?} from the last packet at the old one",
        next - last_at_first
    );
    assert!(captured > missing, "{captured} captured, {missing} missing");
    let report = &stopped.report;
    let copies = report.get(DiscardReason::Duplicate);
    assert_eq!(report.get(PacketField::Written), ours.len() as u64);
    // Each packet passes the bridge and a port, except for those sent into a port that is down.
    let passed = 2 * all.len() as u64;
    let seen = copies + ours.len() as u64;
    assert!(seen <= passed && seen + 20 > passed, "{seen} of {passed}");
    Ok(())
}
