//! Promise: with `--protocols tcp,udp` each UDP flow has its file, which is equal to tcpdump's up to and with the UDP
//! header, and whose name anybody can compute.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::configuration::Configuration;
use end_to_end::peers::daemon::{Daemon, PREFIX, Stopped, executable};
use end_to_end::peers::refusal::{one_line, refused};
use end_to_end::peers::tcpdump::{Recorded, Tcpdump};
use end_to_end::peers::{scapy, tools};
use end_to_end::traffic::corpus::{self, Injection};
use end_to_end::traffic::datagrams::{Socket, segments};
use end_to_end::traffic::{self, Plan, payload};
use end_to_end::verify::flows::{self, Flow};
use end_to_end::verify::pcap;
use end_to_end::verify::report::{DiscardReason, PacketField};
use end_to_end::verify::secrets::Secrets;
use end_to_end::world::netns::{self, Lab, Namespace, WAN};
use end_to_end::world::wait;
use etherparse::PacketBuilder;
use tempfile::TempDir;

const UDP: &str = "--protocols=tcp,udp";

/// Flows end with the daemon: what a machine is busy with may silence any of them for a while.
const LASTING: &str = "--udptimeout=10m";

/// For how long flows may be silent in the test of that.
const SILENCE: Duration = Duration::from_secs(1);

/// The length of a header of Ethernet, of IPv4, and of UDP.
const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP_LEN: usize = 8;

/// What was captured.
struct Captured {
    stopped: Stopped,
    recorded: Recorded,
    /// For how long a flow may be silent.
    silence: Duration,
}

impl Captured {
    /// The flows that tcpdump saw.
    fn flows(&self) -> Result<Vec<Flow>> {
        let packets = pcap::read(&self.recorded.file())?;
        Ok(flows::apart(packets, self.silence))
    }

    /// Checks that each flow has its file; the flows and their names.
    fn verified(&self) -> Result<Vec<(String, Flow)>> {
        let flows = self.flows()?;
        let names = flows::verify(&self.stopped.captures, &flows);
        let names = names.with_context(|| self.stopped.transcript.clone())?;
        Ok(names.into_iter().zip(flows).collect())
    }
}

/// Captures what `traffic` sends in a lab.
fn capture_in(
    lab: &Lab,
    flags: &[&str],
    traffic: impl FnOnce(&mut Daemon) -> Result<()>,
) -> Result<Captured> {
    let tcpdump = Tcpdump::start_on((&lab.host, WAN), "udp")?;
    let mut daemon = Daemon::start(lab, &[&[UDP, LASTING], flags].concat())?;
    traffic(&mut daemon)?;
    conclude(daemon, tcpdump)
}

/// Stops both.
fn conclude(daemon: Daemon, tcpdump: Tcpdump) -> Result<Captured> {
    Ok(Captured {
        stopped: daemon.stop()?,
        recorded: tcpdump.finish()?,
        silence: Duration::MAX,
    })
}

/// The ends of a lab at the addresses of one version of IP: the daemon's host, and its peer.
fn ends(lab: &Lab, v6: bool) -> [(&Namespace, IpAddr); 2] {
    let at = usize::from(v6);
    [
        (&lab.host, netns::first(0)[at]),
        (&lab.peer, netns::second(0)[at]),
    ]
}

/// Flows of each kind, all at once: of sockets that are connected or not, from the host and from the peer, over both versions
/// of IP, and of several clients to one server. Returns how many, and the cookies that names have.
fn of_each_kind(lab: &Lab) -> Result<(usize, Vec<u64>)> {
    let (mut flows, mut cookies) = (0, Vec::new());
    for v6 in [false, true] {
        let [host, peer] = ends(lab, v6);
        for (clients, servers, here) in [(host, peer, true), (peer, host, false)] {
            // As DNS is asked, or the time: from a port of its own for each question.
            let server = Socket::bind(servers, if here { 53 } else { 123 })?;
            for number in 0..6 {
                let client = Socket::bind(clients, 0)?;
                let connected = number % 2 == 0;
                if connected {
                    client.connect(&server)?;
                }
                for _ in 0..=number {
                    client.ask(&server)?;
                }
                if connected && here {
                    cookies.push(client.cookie()?);
                }
                flows += 1;
            }
        }
    }
    Ok((flows, cookies))
}

/// The cookie in a name, if it has one.
fn cookie(name: &str) -> Result<Option<u64>> {
    let rest = name.strip_prefix(PREFIX).with_context(|| name.to_owned())?;
    let (cookie, digits) = rest.split_once("_udp_").with_context(|| name.to_owned())?;
    ensure!(digits.len() == 16, "{name}");
    let Some(cookie) = cookie.strip_prefix('_') else {
        ensure!(cookie.is_empty(), "{name}");
        return Ok(None);
    };
    ensure!(cookie.len() == 16, "{name}");
    Ok(Some(u64::from_str_radix(cookie, 16)?))
}

/// Captures flows of each kind by a method; the cookies in names, and those that sockets had.
fn by(attach: &str) -> Result<[Vec<u64>; 2]> {
    let lab = Lab::beside_others()?;
    let mut of_sockets = Vec::new();
    let captured = capture_in(&lab, &["--attach", attach], |_| {
        of_sockets = of_each_kind(&lab)?.1;
        Ok(())
    })?;
    let mut in_names = Vec::new();
    for (name, _) in captured.verified()? {
        in_names.extend(cookie(&name)?);
    }
    in_names.sort_unstable();
    of_sockets.sort_unstable();
    ensure!(of_sockets.len() == 6, "{of_sockets:?}");
    Ok([in_names, of_sockets])
}

#[test]
fn sockets_of_every_kind_by_tcx_links() -> Result<()> {
    let [in_names, of_sockets] = by("tcx")?;
    ensure!(in_names == of_sockets, "{in_names:?}, not {of_sockets:?}");
    Ok(())
}

#[test]
fn by_filters_of_the_clsact_qdisc() -> Result<()> {
    let [in_names, of_sockets] = by("netlink")?;
    ensure!(in_names == of_sockets, "{in_names:?}, not {of_sockets:?}");
    Ok(())
}

/// A packet socket gets copies of packets, which belong to no socket.
#[test]
fn by_a_packet_socket() -> Result<()> {
    let [in_names, _] = by("socket")?;
    ensure!(in_names.is_empty(), "{in_names:?}");
    Ok(())
}

#[test]
fn without_ebpf_it_is_refused_and_what_can_be_done_is_said() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    let mut command = Command::new(executable()?);
    // The sockets of this host cannot be watched either.
    let tcpinfo = format!(
        "--tcpinfo.eventsocket={}",
        home.path().join("sock").display()
    );
    command.args([UDP, "--attach=raw", &tcpinfo, "--interface", WAN]);
    command.arg("--datadir").arg(home.path().join("captures"));
    let lines = refused(&lab, &mut command, 1)?;
    one_line(&lines, &["--attach raw", "--protocols", "another --attach"])
}

#[test]
fn what_comes_after_a_silence_is_another_flow_and_without_one_it_is_the_same() -> Result<()> {
    let lab = Lab::beside_others()?;
    let [host, peer] = ends(&lab, false);
    let [silent, steady, server] = [host, host, peer].map(|at| Socket::bind(at, 0));
    let (silent, steady, server) = (silent?, steady?, server?);
    silent.connect(&server)?;
    let tcpdump = Tcpdump::start_on((&lab.host, WAN), "udp")?;
    let daemon = Daemon::start(&lab, &[UDP, "--udptimeout=1s"])?;
    silent.ask(&server)?;
    // For as long as the first flow of the other one lasts, and longer.
    wait::until("the file of the silent flow", || {
        steady.ask(&server)?;
        thread::sleep(SILENCE / 5);
        Ok((!daemon.captures().published()?.is_empty()).then_some(()))
    })?;
    silent.ask(&server)?;
    steady.ask(&server)?;
    let captured = Captured {
        silence: SILENCE,
        ..conclude(daemon, tcpdump)?
    };
    let found = captured.verified()?;
    let of = |port| {
        found
            .iter()
            .filter(move |(_, flow)| flow[0].from.port() == port)
    };
    let (silent, cookie_of_it) = (silent.address()?.port(), silent.cookie()?);
    let [(one, _), (other, _)] = of(silent).collect::<Vec<_>>()[..] else {
        anyhow::bail!("{found:?}");
    };
    // The same socket.
    ensure!(one != other, "{one}");
    for name in [one, other] {
        ensure!(cookie(name)? == Some(cookie_of_it), "{name}");
    }
    let steady = of(steady.address()?.port()).collect::<Vec<_>>();
    let [(_, flow)] = steady[..] else {
        anyhow::bail!("{steady:?}");
    };
    let lasted = flow[flow.len() - 1].time - flow[0].time;
    ensure!(lasted > SILENCE, "{lasted:?}");
    Ok(())
}

#[test]
fn a_flow_ends_when_its_connected_socket_is_closed_and_others_with_the_daemon() -> Result<()> {
    let lab = Lab::beside_others()?;
    let [host, peer] = ends(&lab, true);
    let tcpdump = Tcpdump::start_on((&lab.host, WAN), "udp")?;
    let mut daemon = Daemon::start(&lab, &[UDP, LASTING])?;
    let server = Socket::bind(peer, 0)?;
    let client = || Socket::bind(host, 0);
    let (closed, open, unconnected) = (client()?, client()?, client()?);
    closed.connect(&server)?;
    open.connect(&server)?;
    for client in [&closed, &open, &unconnected] {
        client.ask(&server)?;
    }
    let of_it = closed.cookie()?;
    drop((closed, unconnected));
    daemon.wait_for_files(1)?;
    daemon.wait_for_report("those of others are held", |report| {
        report.get(PacketField::Held) == 4
    })?;
    let names: Vec<_> = daemon.captures().published()?.into_keys().collect();
    ensure!(
        names.len() == 1 && cookie(&names[0])? == Some(of_it),
        "{names:?}"
    );
    let captured = conclude(daemon, tcpdump)?;
    ensure!(captured.verified()?.len() == 3);
    Ok(())
}

#[test]
fn datagrams_that_an_offload_takes_apart_or_puts_together_are_one_packet_of_many_segments()
-> Result<()> {
    let lab = Lab::beside_others()?;
    let mut flows = Vec::new();
    let captured = capture_in(&lab, &["--format=pcapng"], |_| {
        for v6 in [false, true] {
            let [host, peer] = ends(&lab, v6);
            for (from, to) in [(host, peer), (peer, host)] {
                flows.push(segments(from, to, [1200, 20])?);
            }
        }
        Ok(())
    })?;
    let found = captured.verified()?;
    ensure!(found.len() == flows.len(), "{found:?}");
    for file in captured.stopped.captures.of_udp()?.into_values() {
        let mut all = 0;
        for [length, comment] in tools::fields(&file, ["udp.length", "frame.comment"])? {
            // Of a packet of segments UDP's header says how long all are, or one.
            let segments = comment
                .strip_prefix("segments=")
                .map_or(Ok(1), str::parse)?;
            ensure!(segments > 1, "{length} bytes in {segments} segments");
            all += segments;
        }
        ensure!(all == 20, "{all} segments");
    }
    Ok(())
}

/// A later fragment has no UDP header, and is of no flow.
#[test]
fn of_a_datagram_in_fragments_the_first_is_there() -> Result<()> {
    let lab = Lab::beside_others()?;
    let [host, peer] = ends(&lab, false);
    let captured = capture_in(&lab, &[], |_| {
        let (client, server) = (Socket::bind(host, 0)?, Socket::bind(peer, 0)?);
        client.send(&server, 8000)?;
        server.send(&client, 8000)
    })?;
    let report = &captured.stopped.report;
    let later = report.get(DiscardReason::LaterFragment) + report.get(DiscardReason::NotTcp);
    let files = captured.stopped.captures.of_udp()?;
    let file = files.values().next().context("no file")?;
    let read = scapy::read(&[&captured.recorded.file(), file])?;
    let [theirs, ours] = &read[..] else {
        anyhow::bail!("{read:?}");
    };
    // Those whose offset is 0.
    let is_first = |data: &str| &data[2 * ETHERNET..][2 * 6..][..4] == "2000";
    let first: Vec<_> = theirs.iter().filter(|it| is_first(&it.data)).collect();
    ensure!(
        first.len() == 2 && ours.len() == 2,
        "{ours:?} for {first:?}"
    );
    for (our, their) in ours.iter().zip(&first) {
        let kept = 2 * (ETHERNET + IPV4 + UDP_LEN);
        ensure!(our.data == their.data[..kept], "{our:?} for {their:?}");
        ensure!(our.wire_len == their.wire_len, "{our:?} for {their:?}");
    }
    ensure!(later >= (theirs.len() - 2) as u64, "{report:?}");
    captured.stopped.captures.no_payload()
}

#[test]
fn tags_are_in_records_whether_the_packet_has_them_or_the_kernel_took_one_off() -> Result<()> {
    let lab = Lab::beside_others()?;
    let ([from, _], [to, _]) = (netns::second(0), netns::first(0));
    let (IpAddr::V4(from), IpAddr::V4(to)) = (from, to) else {
        anyhow::bail!("not IPv4");
    };
    let datagram = payload::bytes(300);
    let mut frames = Vec::new();
    for port in 0..3_u16 {
        let plain = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let tagged = match port {
            0 => plain
                .single_vlan(7.try_into()?)
                .ipv4(from.octets(), to.octets(), 64),
            1 => {
                plain
                    .double_vlan(8.try_into()?, 9.try_into()?)
                    .ipv4(from.octets(), to.octets(), 64)
            }
            _ => plain.ipv4(from.octets(), to.octets(), 64),
        };
        let mut frame = Vec::new();
        tagged.udp(4000 + port, 53).write(&mut frame, &datagram)?;
        frames.push(frame);
    }
    let tcpdump = Tcpdump::start_on((&lab.host, WAN), "udp or vlan")?;
    let daemon = Daemon::start(&lab, &[UDP, LASTING])?;
    corpus::send(&lab.peer, WAN, Injection::Socket, &frames)?;
    let captured = conclude(daemon, tcpdump)?;
    let mut found = captured.verified()?;
    found.sort_by_key(|(_, flow)| flow[0].from.port());
    let headers: Vec<_> = found.iter().map(|(_, flow)| flow[0].header_len).collect();
    let plain = ETHERNET + IPV4 + UDP_LEN;
    ensure!(headers == [plain + 4, plain + 8, plain], "{headers:?}");
    Ok(())
}

#[test]
fn nothing_of_udp_is_captured_unless_it_is_asked_for() -> Result<()> {
    let lab = Lab::beside_others()?;
    let tcpdump = Tcpdump::start_on((&lab.host, WAN), "udp")?;
    let mut daemon = Daemon::start(&lab, &[])?;
    of_each_kind(&lab)?;
    let connections = traffic::run(&lab, &Plan::mixed(4), &())?;
    daemon.wait_for_files(connections.len())?;
    daemon.wait_until_quiet()?;
    let stopped = daemon.stop()?;
    let passed = pcap::read(&tcpdump.finish()?.file())?.len() as u64;
    let other = stopped.report.get(DiscardReason::NotTcp);
    ensure!(
        other >= passed && passed > 0,
        "{passed}: {:?}",
        stopped.report
    );
    ensure!(stopped.captures.published()?.len() == connections.len());
    let directory = stopped.captures.root().join("udp");
    ensure!(!directory.exists(), "{} is there", directory.display());
    Ok(())
}

/// Captures flows of each kind with filters; checks that the files are those of the flows that `wanted` accepts.
fn choose(filters: &[&str], wanted: impl Fn([SocketAddr; 2]) -> bool) -> Result<Stopped> {
    let lab = Lab::beside_others()?;
    let mut all = 0;
    let captured = capture_in(&lab, filters, |_| {
        all = of_each_kind(&lab)?.0;
        Ok(())
    })?;
    let (ours, others): (Vec<_>, Vec<_>) = captured
        .flows()?
        .into_iter()
        .partition(|flow| wanted([flow[0].from, flow[0].to]));
    ensure!(!ours.is_empty() && !others.is_empty() && ours.len() + others.len() == all);
    flows::verify(&captured.stopped.captures, &ours)?;
    Ok(captured.stopped)
}

#[test]
fn ports_and_networks_choose_flows_as_they_do_connections() -> Result<()> {
    choose(&["--net=fd00:98::/64"], |[from, _]| from.is_ipv6())?;
    choose(&["--port=53", "--port=54"], |[_, to]| to.port() == 53)?;
    let filters = ["--exclude-net=10.98.0.0/24", "--exclude-port=123"];
    let stopped = choose(&filters, |[from, to]| from.is_ipv6() && to.port() == 53)?;
    // In the kernel.
    ensure!(stopped.report.get(DiscardReason::Filtered) == 168 - 42);
    Ok(())
}

#[test]
fn the_direction_is_that_of_the_first_packet() -> Result<()> {
    let host = netns::first(0);
    let is_host = |[from, _]: [SocketAddr; 2]| host.contains(&from.ip());
    choose(&["--direction=outgoing"], is_host)?;
    choose(&["--direction=incoming"], |ends| !is_host(ends))?;
    Ok(())
}

/// Whose a UDP flow is, is not known.
#[test]
fn where_only_connections_of_some_are_wanted_no_flow_is_captured() -> Result<()> {
    let lab = Lab::beside_others()?;
    let captured = capture_in(&lab, &["--uid=0"], |_| of_each_kind(&lab).map(drop))?;
    let files = captured.stopped.captures.published()?;
    ensure!(files.is_empty(), "{files:?}");
    captured.stopped.captures.no_partial_files()
}

#[test]
fn for_how_long_a_flow_may_be_silent_can_be_changed() -> Result<()> {
    let (lab, home) = (Lab::beside_others()?, TempDir::new()?);
    let [host, peer] = ends(&lab, false);
    let tcpdump = Tcpdump::start_on((&lab.host, WAN), "udp")?;
    let lasting = Configuration::new(home.path(), "udptimeout = '1h'\n")?;
    let mut daemon = lasting.start_in(&lab, &[UDP])?;
    let (client, server) = (Socket::bind(host, 0)?, Socket::bind(peer, 0)?);
    client.ask(&server)?;
    lasting.reload(&mut daemon, "udptimeout = '1s'\n")?;
    client.ask(&server)?;
    daemon.wait_for_files(1)?;
    // The kernel knows, too.
    client.ask(&server)?;
    daemon.wait_for_files(2)?;
    daemon.wait_until_quiet()?;
    let stopped = daemon.stop()?;
    let mut before = pcap::read(&tcpdump.finish()?.file())?;
    let after = before.split_off(4);
    flows::verify(&stopped.captures, &[before, after]).map(drop)
}

#[test]
fn a_flow_is_captured_for_captureduration() -> Result<()> {
    let lab = Lab::beside_others()?;
    let [host, peer] = ends(&lab, false);
    let flags = ["--captureduration=1s", "--uuidwaitduration=1s"];
    let captured = capture_in(&lab, &flags, |daemon| {
        let (client, server) = (Socket::bind(host, 0)?, Socket::bind(peer, 0)?);
        wait::until("packets come too late", || {
            client.ask(&server)?;
            thread::sleep(SILENCE / 20);
            let report = daemon.report()?;
            Ok((report.get(DiscardReason::AfterCaptureDuration) > 4).then_some(()))
        })
    })?;
    let flows = captured.flows()?;
    let [flow] = &flows[..] else {
        anyhow::bail!("{} flows", flows.len());
    };
    let late = captured
        .stopped
        .report
        .get(DiscardReason::AfterCaptureDuration);
    let kept = flow.len() - usize::try_from(late)?;
    flows::verify(&captured.stopped.captures, &[flow[..kept].to_vec()])?;
    let last = flow[kept - 1].time - flow[0].time;
    ensure!(last < Duration::from_secs(1), "{last:?}");
    let next = flow[kept].time - flow[0].time;
    ensure!(next + SILENCE / 10 > Duration::from_secs(1), "{next:?}");
    Ok(())
}

#[test]
fn where_addresses_are_hidden_neither_names_nor_bytes_tell_them() -> Result<()> {
    let lab = Lab::beside_others()?;
    let hidden: [IpAddr; 2] = [
        "10.98.0.177".parse()?,
        "fd00:98::dead:beef:cafe:f177".parse()?,
    ];
    let mut secrets = Secrets::default();
    for (address, len) in hidden.iter().zip([24, 64]) {
        let address = format!("{address}/{len}");
        lab.peer.ip(&["addr", "add", &address, "dev", WAN])?;
    }
    hidden
        .iter()
        .for_each(|address| secrets.add_address(*address));
    let host = netns::first(0);
    let captured = capture_in(&lab, &["--anonymize.ip=netblock"], |_| {
        for (at, address) in hidden.into_iter().enumerate() {
            // An address of IPv6 is not usable at once.
            let client = wait::until("the address can be used", || {
                Ok(Socket::bind((&lab.peer, address), 0).ok())
            })?;
            let server = Socket::bind((&lab.host, host[at]), 0)?;
            for _ in 0..5 {
                client.ask(&server)?;
            }
        }
        Ok(())
    })?;
    let captures = &captured.stopped.captures;
    // Ports are shown, addresses are zeros: of IPv6, as those of IPv4 would not be in brackets.
    let zeros = |end: SocketAddr| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), end.port());
    let files = flows::files(captures, zeros)?;
    ensure!(files.len() == 2 && files.iter().all(|(_, packets)| packets.len() == 10));
    let found = secrets.below(captures.root())?;
    ensure!(found.is_empty(), "{found:?}");
    let found = secrets.in_bytes(captured.stopped.transcript.as_bytes());
    ensure!(found.is_empty(), "{found:?}");
    Ok(())
}
