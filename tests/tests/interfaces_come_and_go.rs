//! Promise: interfaces are captured from when they appear until they disappear, whatever they are
//! called and without a restart, and nothing of ours is left on those that have disappeared.

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, Stopped, kernel_uuid};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::{TCP, Tcpdump};
use end_to_end::traffic::Connection;
use end_to_end::traffic::pair::Pair;
use end_to_end::verify::oracle::equal;
use end_to_end::verify::pcap::Packet;
use end_to_end::world::kernel::{FREED_WITHIN, Inventory};
use end_to_end::world::netns::{self, Lab, Namespace, WAN};
use end_to_end::world::tun::Tunnel;
use end_to_end::world::wait;
use rustix::process::Signal;

/// A connection, and what tcpdump saw of it.
type Seen = (Connection, Vec<Packet>);

/// The programs at sockets: one tells of connections, and five note whose they are.
const AT_SOCKETS: usize = 6;

/// Makes a connection over an interface of the host, which has the addresses of a subnet.
fn talk(lab: &Lab, interface: &str, subnet: u8) -> Result<Seen> {
    let tcpdump = Tcpdump::start_on((&lab.host, interface), TCP)?;
    let [address, _] = netns::first(subnet);
    let pair = Pair::open((&lab.host, (address, 0).into()), &lab.peer)?;
    let connection = pair.accepted()?;
    pair.finish()?;
    let oracle = tcpdump.stop()?;
    let packets = oracle.packets_of(&connection)?.to_vec();
    Ok((connection, packets))
}

/// Blanks the checksums of packets without a link layer, here those of a tun device. That does not
/// offer to compute checksums, so that the kernel does it, between the daemon's tap and tcpdump's.
fn without_checksums(packets: &[Packet]) -> Vec<Packet> {
    const CHECKSUM: std::ops::Range<usize> = 20 + 16..20 + 18;
    let mut packets = packets.to_vec();
    for packet in &mut packets {
        if packet.captured[0] == 0x45 {
            packet.captured[CHECKSUM].fill(0);
        }
    }
    packets
}

/// Stops the daemon, and checks that its files have exactly these connections.
fn stop_and_compare(mut daemon: Daemon, all: &[Seen]) -> Result<Stopped> {
    daemon.wait_for_files(all.len())?;
    daemon.wait_until_quiet()?;
    let stopped = daemon.stop()?;
    let files = stopped.captures.published()?;
    ensure!(files.len() == all.len(), "{files:?}");
    for (connection, theirs) in all {
        let ours = stopped.captures.packets_of(&kernel_uuid(connection))?;
        let [ours, theirs] = [&ours, theirs].map(|packets| without_checksums(packets));
        equal(&ours, &theirs).with_context(|| format!("{connection}\n{}", stopped.transcript))?;
    }
    stopped.captures.no_payload()?;
    Ok(stopped)
}

/// Starts the daemon on these interfaces; returns also what was in the kernel before, and what the
/// daemon has put there.
fn start(lab: &Lab, interfaces: &[&str]) -> Result<(Daemon, Inventory, Inventory)> {
    let before = Inventory::take()?;
    let daemon = Launch::new(lab).on(interfaces).start(&[])?;
    let ours = Inventory::take()?.since(&before);
    Ok((daemon, before, ours))
}

/// Waits until the kernel has as many links and programs of the daemon as at its start.
fn wait_until_as_before(before: &Inventory, ours: &Inventory) -> Result<()> {
    let counts = |inventory: &Inventory| [inventory.count("link"), inventory.count("prog")];
    let mut now = [0; 2];
    let waited = wait::within(FREED_WITHIN, "what was attached is detached", || {
        now = counts(&Inventory::take()?.since(before));
        Ok((now == counts(ours)).then_some(()))
    });
    waited.with_context(|| format!("{now:?} links and programs, not {:?}", counts(ours)))
}

/// Gives an interface of the host the IPv4 address of a subnet, and sets it up.
fn bring_up(lab: &Lab, interface: &str, subnet: u8) -> Result<()> {
    let [v4, _] = netns::first(subnet);
    let address = format!("{v4}/24");
    lab.host
        .ip(&["addr", "replace", &address, "dev", interface])?;
    lab.host.ip(&["link", "set", interface, "up"])
}

/// Moves an interface from one namespace to another.
fn send(from: &Namespace, interface: &str, to: &Namespace) -> Result<()> {
    from.ip(&["link", "set", interface, "netns", to.name()])
}

#[test]
fn an_interface_is_captured_from_when_it_appears_until_it_disappears() -> Result<()> {
    let lab = Lab::new()?;
    let third = Namespace::add("third")?;
    let (mut daemon, before, ours) = start(&lab, &[])?;
    let mut all = vec![talk(&lab, WAN, 0)?];

    netns::join((&lab.host, "late0"), (&lab.peer, "late0"), 1)?;
    daemon.wait_for_log(1, "attached to late0")?;
    all.push(talk(&lab, "late0", 1)?);

    lab.host.ip(&["link", "set", "late0", "down"])?;
    bring_up(&lab, "late0", 1)?;
    all.push(talk(&lab, "late0", 1)?);

    lab.host.ip(&["link", "set", "late0", "down"])?;
    lab.host.ip(&["link", "set", "late0", "name", "late1"])?;
    bring_up(&lab, "late1", 1)?;
    daemon.wait_for_log(1, "late1 now, not late0")?;
    all.push(talk(&lab, "late1", 1)?);
    // It has been attached only once in all this time.
    assert_eq!(daemon.log_lines("attached to late"), 1);
    assert_eq!(daemon.log_lines("detached from late"), 0);

    send(&lab.host, "late1", &third)?;
    daemon.wait_for_log(1, "detached from late1")?;
    wait_until_as_before(&before, &ours)?;
    send(&third, "late1", &lab.host)?;
    bring_up(&lab, "late1", 1)?;
    daemon.wait_for_log(1, "attached to late1")?;
    all.push(talk(&lab, "late1", 1)?);

    // Faster than the daemon can follow; the index may be the same.
    send(&lab.host, "late1", &third)?;
    send(&third, "late1", &lab.host)?;
    bring_up(&lab, "late1", 1)?;
    daemon.wait_for_log(2, "attached to late1")?;
    all.push(talk(&lab, "late1", 1)?);

    lab.host.ip(&["link", "del", "late1"])?;
    daemon.wait_for_log(3, "detached from late1")?;
    wait_until_as_before(&before, &ours)?;
    all.push(talk(&lab, WAN, 0)?);
    stop_and_compare(daemon, &all)?;
    ours.wait_until_gone()
}

#[test]
fn a_pattern_selects_the_names_that_match_and_waits_for_them() -> Result<()> {
    let lab = Lab::new()?;
    let (mut daemon, before, ours) = start(&lab, &["lan*"])?;
    assert_eq!(
        ours.count("link"),
        AT_SOCKETS,
        "more than the programs at sockets: {ours:?}"
    );
    netns::join((&lab.host, "lan0"), (&lab.peer, "lan0"), 1)?;
    netns::join((&lab.host, "other0"), (&lab.peer, "other0"), 2)?;
    daemon.wait_for_log(1, "attached to lan0")?;
    let mut all = vec![talk(&lab, "lan0", 1)?];

    for (old, new, subnet) in [("other0", "lan7", 2), ("lan0", "other1", 1)] {
        lab.host.ip(&["link", "set", old, "down"])?;
        lab.host.ip(&["link", "set", old, "name", new])?;
        bring_up(&lab, new, subnet)?;
    }
    daemon.wait_for_log(1, "attached to lan7")?;
    daemon.wait_for_log(1, "detached from lan0")?;
    all.push(talk(&lab, "lan7", 2)?);
    assert_eq!(daemon.log_lines("attached to"), 2);

    lab.host.ip(&["link", "del", "lan7"])?;
    daemon.wait_for_log(1, "detached from lan7")?;
    wait_until_as_before(&before, &ours)?;
    let stopped = stop_and_compare(daemon, &all)?;
    ensure!(
        stopped.transcript.contains("capturing nothing yet"),
        "{}",
        stopped.transcript
    );
    ours.wait_until_gone()
}

#[test]
fn an_interface_that_was_named_may_disappear_and_come_back() -> Result<()> {
    let lab = Lab::new()?;
    let join = || netns::join((&lab.host, "late0"), (&lab.peer, "late0"), 1);
    join()?;
    let (mut daemon, _, ours) = start(&lab, &["late0"])?;
    let mut all = vec![talk(&lab, "late0", 1)?];
    lab.host.ip(&["link", "del", "late0"])?;
    daemon.wait_for_log(1, "detached from late0")?;
    join()?;
    daemon.wait_for_log(2, "attached to late0")?;
    all.push(talk(&lab, "late0", 1)?);
    stop_and_compare(daemon, &all)?;
    ours.wait_until_gone()
}

#[test]
fn on_a_host_without_an_interface_it_waits_for_one() -> Result<()> {
    let lab = Lab::new()?;
    lab.host.ip(&["link", "set", WAN, "down"])?;
    let (mut daemon, _, ours) = start(&lab, &[])?;
    bring_up(&lab, WAN, 0)?;
    daemon.wait_for_log(1, &format!("attached to {WAN}"))?;
    let all = [talk(&lab, WAN, 0)?];
    stop_and_compare(daemon, &all)?;
    ours.wait_until_gone()
}

#[test]
fn a_tunnel_without_a_link_layer_is_captured_as_such() -> Result<()> {
    let lab = Lab::new()?;
    let (mut daemon, before, ours) = start(&lab, &[])?;
    let tunnel = Tunnel::open(&lab.host, &lab.peer, "tun0", 1)?;
    daemon.wait_for_log(1, "attached to tun0")?;
    let all = [talk(&lab, "tun0", 1)?];
    assert_eq!(
        all[0].1[0].captured[0] >> 4,
        4,
        "not an IP packet: {:?}",
        all[0].1
    );
    drop(tunnel);
    daemon.wait_for_log(1, "detached from tun0")?;
    wait_until_as_before(&before, &ours)?;
    stop_and_compare(daemon, &all)?;
    ours.wait_until_gone()
}

/// While the daemon does not read, there are more messages than the kernel's socket holds.
#[test]
fn changes_that_the_daemon_missed_take_effect() -> Result<()> {
    const MESSAGES: usize = 1_000;
    const INDEX: &str = "77";
    let lab = Lab::new()?;
    let [ours_v4, theirs_v4] =
        [netns::first(1), netns::second(1)].map(|[v4, _]| format!("{v4}/24"));
    // A new interface each time, but with the same index: no list of interfaces shows the
    // difference.
    let join = || {
        lab.host.ip(&[
            "link",
            "add",
            "late0",
            "index",
            INDEX,
            "type",
            "veth",
            "peer",
            "name",
            "late0",
            "netns",
            lab.peer.name(),
        ])?;
        for (namespace, address) in [(&lab.host, &ours_v4), (&lab.peer, &theirs_v4)] {
            namespace.ip(&["addr", "add", address, "dev", "late0"])?;
            namespace.ip(&["link", "set", "late0", "up"])?;
        }
        anyhow::Ok(())
    };
    join()?;
    let (mut daemon, _, ours) = start(&lab, &[])?;
    let mut all = vec![talk(&lab, "late0", 1)?];

    daemon.signal(Signal::STOP)?;
    let line = |at: usize| format!("link set {WAN} alias number{at}\n");
    let lines: String = (0..MESSAGES).map(line).collect();
    lab.host.ip_batch(&lines)?;
    lab.host.ip(&["link", "del", "late0"])?;
    join()?;
    daemon.signal(Signal::CONT)?;
    daemon.wait_for_log(2, "attached to late0")?;
    all.push(talk(&lab, "late0", 1)?);

    // The interface that stayed is still attached.
    assert_eq!(daemon.log_lines(&format!("attached to {WAN}")), 1);
    stop_and_compare(daemon, &all)?;
    ours.wait_until_gone()
}

/// There are more messages at once than the kernel's socket holds.
#[test]
fn many_interfaces_that_come_and_go_at_once_leave_nothing() -> Result<()> {
    const CROWD: usize = 100;
    let lab = Lab::new()?;
    let (mut daemon, before, ours) = start(&lab, &["crowd*", WAN])?;
    let line = |at: usize| format!("link add crowd{at} up type veth peer name far{at}\n");
    lab.host
        .ip_batch(&(0..CROWD).map(line).collect::<String>())?;
    daemon.wait_for_log(CROWD, "attached to crowd")?;
    assert_eq!(daemon.log_lines("attached to crowd"), CROWD);
    let mut all = vec![talk(&lab, WAN, 0)?];
    let line = |at: usize| format!("link del crowd{at}\n");
    lab.host
        .ip_batch(&(0..CROWD).map(line).collect::<String>())?;
    daemon.wait_for_log(CROWD, "detached from crowd")?;
    wait_until_as_before(&before, &ours)?;
    all.push(talk(&lab, WAN, 0)?);
    assert_eq!(daemon.log_lines(&format!("attached to {WAN}")), 1);
    stop_and_compare(daemon, &all)?;
    ours.wait_until_gone()
}
