//! Promise: an ICMP error that quotes a packet of a captured connection is in the connection's file, up to the
//! end of the TCP header that it quotes. Who forges one adds a record, and changes nothing of the connection.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, Stopped, kernel_uuid};
use end_to_end::peers::tcpdump::{Recorded, Tcpdump};
use end_to_end::peers::tcpinfo::StandIn;
use end_to_end::traffic::Connection;
use end_to_end::traffic::pair::Pair;
use end_to_end::verify::format;
use end_to_end::verify::quotes::{Content, compare, content};
use end_to_end::verify::report::{DiscardReason, PacketField, RecordField};
use end_to_end::world::links::{behind_the_peer, narrow};
use end_to_end::world::netns::{self, Lab, Namespace, WAN};
use end_to_end::world::wait;
use rustix::net::{AddressFamily, SendFlags, SocketType, bind, connect, ipproto, sendto, socket};
use serde_json::json;

const FILTER: &str = "tcp or icmp or icmp6";

/// Two forged errors are no more than that, two thousand are a flood.
const FLOOD: usize = 2000;

/// As many of them as the file of one connection has at most: 32 at once, and one more each second.
const KEPT: usize = 32 + 30;

/// The file of a connection, and its port at the host.
fn compared(
    stopped: &Stopped,
    tcpdump: &std::path::Path,
    connection: &Connection,
) -> Result<Content> {
    let files = stopped.captures.published()?;
    let file = files.get(&kernel_uuid(connection));
    let file = file.with_context(|| format!("no file of {connection}"))?;
    compare(file, tcpdump, connection.host.port())
        .with_context(|| format!("{connection}: {}", stopped.transcript))
}

/// Runs path MTU discovery with a router, over both versions of IP.
fn discover(flags: &[&str]) -> Result<(Stopped, Recorded, Vec<Connection>)> {
    let lab = Lab::beside_others()?;
    let far = behind_the_peer(&lab)?;
    narrow(&lab, 1300)?;
    let tcpdump = Tcpdump::start_on((&lab.host, WAN), FILTER)?;
    let mut daemon = Daemon::start(&lab, flags)?;
    let mut connections = Vec::new();
    for ip in netns::second(1) {
        let pair = Pair::open((&far, SocketAddr::new(ip, 0)), &lab.host)?;
        connections.push(pair.connected()?);
        pair.exchange(100_000)?;
        pair.finish()?;
    }
    daemon.wait_for_files(connections.len())?;
    daemon.wait_until_quiet()?;
    let stopped = daemon.stop()?;
    stopped.captures.no_payload()?;
    Ok((stopped, tcpdump.finish()?, connections))
}

/// The same, and compares the files with tcpdump's.
fn narrow_path(flags: &[&str]) -> Result<(Stopped, Vec<Content>)> {
    let (stopped, recorded, connections) = discover(flags)?;
    let compared = |connection| compared(&stopped, &recorded.file(), connection);
    let contents = connections.iter().map(compared).collect::<Result<_>>();
    Ok((stopped, contents?))
}

#[test]
fn a_router_with_a_small_mtu_is_in_the_file() -> Result<()> {
    let (stopped, contents) = narrow_path(&[])?;
    let errors: usize = contents.iter().map(|content| content.icmp.len()).sum();
    for content in &contents {
        assert!(!content.icmp.is_empty() && content.tcp.len() > 10);
    }
    assert_eq!(stopped.report.get(RecordField::IcmpErrors), errors as u64);
    Ok(())
}

#[test]
fn a_packet_socket_sees_them_too() -> Result<()> {
    let (_, contents) = narrow_path(&["--attach=socket"])?;
    assert!(contents.iter().all(|content| !content.icmp.is_empty()));
    Ok(())
}

#[test]
fn anonymized_files_hide_the_router_and_what_it_quotes() -> Result<()> {
    let (stopped, _, connections) = discover(&["--anonymize.ip=netblock"])?;
    let files = stopped.captures.published()?;
    for connection in &connections {
        let file = files.get(&kernel_uuid(connection)).context("its file")?;
        let port = connection.host.port();
        ensure!(
            !content(file, port)?.icmp.is_empty(),
            "{connection}: no error"
        );
        let bytes = format::contents(file)?;
        // The router's, at this side, and those of the far end.
        for hidden in [netns::second(0), netns::second(1)].as_flattened() {
            let octets = match hidden {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            let is_there = bytes.windows(octets.len()).any(|window| window == octets);
            ensure!(!is_there, "{connection}: {hidden} is in its file");
        }
    }
    Ok(())
}

#[test]
fn without_them_the_files_are_as_they_were() -> Result<()> {
    let outcome = narrow_path(&["--icmp-errors=false"]);
    // tcpdump has them.
    let error = outcome.map(|_| ()).expect_err("they are not there");
    ensure!(
        format!("{error:?}").contains("ICMP errors [] for [("),
        "{error:?}"
    );
    Ok(())
}

/// How many ICMP errors a namespace has received.
fn received(namespace: &Namespace) -> Result<u64> {
    let text = namespace.run(|| Ok(fs::read_to_string("/proc/thread-self/net/snmp")?))?;
    let mut lines = text.lines().filter(|line| line.starts_with("Icmp:"));
    let (names, values) = (lines.next(), lines.next());
    let (names, values) = names.zip(values).context("no ICMP statistics")?;
    let mut both = names.split(' ').zip(values.split(' '));
    let found = both.find(|(name, _)| *name == "InDestUnreachs");
    Ok(found.context("no such number")?.1.parse()?)
}

#[test]
fn a_route_that_is_gone_for_a_while_is_in_the_file_and_the_connection_goes_on() -> Result<()> {
    let lab = Lab::beside_others()?;
    let far = behind_the_peer(&lab)?;
    let tcpdump = Tcpdump::start_on((&lab.host, WAN), FILTER)?;
    let mut daemon = Daemon::start(&lab, &[])?;
    let [to, _] = netns::second(1);
    let pair = Pair::open((&far, SocketAddr::new(to, 0)), &lab.host)?;
    let connection = pair.connected()?;
    pair.talk()?;
    let gone = ["unreachable", &to.to_string()];
    lab.peer.ip(&[&["route", "add"][..], &gone].concat())?;
    std::thread::scope(|scope| {
        let talk = scope.spawn(|| pair.exchange(1000));
        wait::until("an error arrives", || {
            Ok((received(&lab.host)? > 0).then_some(()))
        })?;
        lab.peer.ip(&[&["route", "del"][..], &gone].concat())?;
        talk.join().expect("it does not panic")
    })?;
    pair.finish()?;
    daemon.wait_for_files(1)?;
    daemon.wait_until_quiet()?;
    let stopped = daemon.stop()?;
    let content = compared(&stopped, &tcpdump.finish()?.file(), &connection)?;
    assert!(!content.icmp.is_empty());
    Ok(())
}

#[test]
fn a_syn_that_an_error_answers_is_in_its_file_with_the_error() -> Result<()> {
    const UUID: &str = "lab_1700000000_unsafe_00000000000000AB";
    let lab = Lab::beside_others()?;
    let _far = behind_the_peer(&lab)?;
    let nowhere = Ipv4Addr::new(10, 98, 77, 1);
    let via = netns::second(0)[0].to_string();
    lab.host
        .ip(&["route", "add", &nowhere.to_string(), "via", &via])?;
    lab.peer
        .ip(&["route", "add", "unreachable", &nowhere.to_string()])?;
    let directory = tempfile::TempDir::new()?;
    let mut tcpinfo = StandIn::unix(&directory.path().join("tcpinfo.sock"));
    tcpinfo.listen()?;
    let tcpdump = Tcpdump::start_on((&lab.host, WAN), FILTER)?;
    let mut daemon = Daemon::follow(&lab, &tcpinfo, &["--flowtimeout=1s"])?;
    tcpinfo.wait_for_client(1)?;
    let from = SocketAddr::new(netns::first(0)[0], 40_001);
    let refused = lab.host.run(|| {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind(&socket, &from)?;
        Ok(connect(&socket, &SocketAddr::new(nowhere.into(), 443)))
    })?;
    ensure!(refused.is_err(), "it is connected");
    let id = json!({
        "SPort": from.port(), "DPort": 443, "SrcIP": from.ip(), "DstIP": nowhere,
        "Interface": 0, "Cookie": 0xab,
    });
    tcpinfo.send_open(UUID, &id);
    daemon.wait_for_files(1)?;
    daemon.wait_until_quiet()?;
    let stopped = daemon.stop()?;
    let files = stopped.captures.published()?;
    let file = files.get(UUID).context("no file")?;
    let content = compare(file, &tcpdump.finish()?.file(), from.port())?;
    assert!(!content.tcp.is_empty() && !content.icmp.is_empty());
    Ok(())
}

/// The ICMP error of a router that quotes a packet of the host, whose TCP header has these flags and an odd
/// sequence number: from its ICMP header on.
fn forged([from, to]: [SocketAddr; 2], code: u8, flags: u8) -> Result<Vec<u8>> {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (from.ip(), to.ip()) else {
        anyhow::bail!("not IPv4");
    };
    let builder = etherparse::PacketBuilder::ipv4(source.octets(), destination.octets(), 64);
    let mut quoted = Vec::new();
    builder
        .tcp(from.port(), to.port(), 0x0bad_0bad, 1)
        .write(&mut quoted, &end_to_end::traffic::payload::bytes(400))?;
    quoted[33] = flags;
    let mut message = [&[3, code, 0, 0, 0, 0, 0, 0][..], &quoted].concat();
    let sum: u32 = message
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0)))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    Ok(message)
}

#[test]
fn forged_errors_are_records_and_change_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let tcpdump = Tcpdump::start_on((&lab.host, WAN), FILTER)?;
    let mut daemon = Daemon::start(&lab, &["--linger=1s", "--uuidwaitduration=1s"])?;
    let [to, _] = netns::second(0);
    let pair = Pair::open((&lab.peer, SocketAddr::new(to, 0)), &lab.host)?;
    let connection = pair.connected()?;
    pair.talk()?;
    let raw = lab.peer.run(|| {
        Ok(socket(
            AddressFamily::INET,
            SocketType::RAW,
            Some(ipproto::ICMP),
        )?)
    })?;
    let host = SocketAddr::new(connection.host.ip(), 0);
    let send = |message: &[u8]| sendto(&raw, message, SendFlags::empty(), &host);
    let ends = [connection.host, connection.peer];
    // About a SYN, a FIN, a RST: none begins or ends a connection.
    for flags in [0x02, 0x01, 0x11, 0x04] {
        send(&forged(ends, 1, flags)?)?;
        send(&forged([ends[1], ends[0]], 3, flags)?)?;
    }
    let message = forged(ends, 1, 0x10)?;
    for _ in 0..FLOOD {
        send(&message)?;
    }
    // About connections that there are not.
    for port in 1..=500 {
        let other = SocketAddr::new(connection.host.ip(), port);
        send(&forged([other, connection.peer], 1, 0x02)?)?;
    }
    pair.talk()?;
    pair.finish()?;
    daemon.wait_for_files(1)?;
    daemon.wait_until_quiet()?;
    let stopped = daemon.stop()?;
    let recorded = tcpdump.finish()?;
    stopped.captures.no_payload()?;
    let files = stopped.captures.published()?;
    ensure!(files.len() == 1, "{files:?}");
    let file = files.get(&kernel_uuid(&connection)).context("its file")?;
    let (ours, all) = (
        content(file, connection.host.port())?,
        content(&recorded.file(), connection.host.port())?,
    );
    assert_eq!(ours.tcp, all.tcp);
    assert!((8..=KEPT).contains(&ours.icmp.len()), "{}", ours.icmp.len());
    let report = &stopped.report;
    assert_eq!(report.get(PacketField::Held), 0);
    let limited = report.get(DiscardReason::IcmpLimit);
    let unknown = report.get(DiscardReason::IcmpUnknown);
    // No packet of the connection was lost for them, and all of them are accounted for.
    assert_eq!(
        unknown + limited + ours.icmp.len() as u64,
        (8 + FLOOD + 500) as u64,
        "{report:?}"
    );
    assert!(
        limited >= (FLOOD - KEPT) as u64 && unknown > 0,
        "{report:?}"
    );
    assert_eq!(report.get(DiscardReason::CandidateRingFull), 0);
    Ok(())
}
