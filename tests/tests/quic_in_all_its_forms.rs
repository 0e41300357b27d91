//! Promise: a QUIC packet is in its flow's file up to and with what every version of QUIC has in the clear (RFC 8999): the
//! first byte, the version, the connection IDs. Behind that there is nothing of it: no token, no packet number, no byte that
//! is protected or encrypted.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, Stopped};
use end_to_end::peers::quic::{nothing_else, promised};
use end_to_end::peers::tcpdump::{Recorded, Tcpdump};
use end_to_end::traffic::datagrams::Socket;
use end_to_end::traffic::payload;
use end_to_end::traffic::quic::{End, Quic, Server};
use end_to_end::verify::flows::{self, Flow};
use end_to_end::verify::needle;
use end_to_end::verify::pcap::{self, Packet};
use end_to_end::world::netns::{self, Lab, Namespace, WAN};

/// QUIC is captured, and UDP with it.
const QUIC: &str = "--protocols=tcp,quic";

/// Flows end with the daemon: what a machine is busy with may silence any of them for a while.
const LASTING: &str = "--udptimeout=10m";

/// No flow of these tests is silent for so long.
const NEVER: Duration = Duration::from_secs(3600);

/// Two versions that do not exist, which together are half of the marker.
const MARKED: &str = "5061596c,4f647e4d";

/// What is made, and where from.
#[derive(Debug, Clone, Copy)]
struct Form {
    server: End,
    client: End,
    /// Whether the daemon's host has the server.
    is_served_here: bool,
    /// Whether it is over IPv6.
    is_v6: bool,
}

impl Form {
    /// Over IPv4, from the daemon's host.
    const fn of(server: End, client: End) -> Self {
        Self {
            server,
            client,
            is_served_here: false,
            is_v6: false,
        }
    }

    /// With the server at the daemon's host.
    const fn served_here(self) -> Self {
        Self {
            is_served_here: true,
            ..self
        }
    }

    /// Over IPv6.
    const fn over_v6(self) -> Self {
        Self {
            is_v6: true,
            ..self
        }
    }

    /// Where the server is, and the client.
    fn places<'a>(&self, lab: &'a Lab) -> [(&'a Namespace, IpAddr); 2] {
        let at = usize::from(self.is_v6);
        let places = [
            (&lab.peer, netns::second(0)[at]),
            (&lab.host, netns::first(0)[at]),
        ];
        if self.is_served_here {
            let [peer, host] = places;
            return [host, peer];
        }
        places
    }
}

/// Makes connections of all forms at the same time.
fn make(lab: &Lab, forms: &[Form]) -> Result<Vec<Quic>> {
    let start = |form: &Form| Server::start(form.server, form.places(lab)[0]);
    let servers = forms.iter().map(start).collect::<Result<Vec<_>>>()?;
    let both = servers.iter().zip(forms);
    let connect =
        |(server, form): (&Server, &Form)| server.connect(form.client, form.places(lab)[1]);
    let clients = both.map(connect).collect::<Result<Vec<_>>>()?;
    let both = servers.iter().zip(clients);
    both.map(|(server, client)| server.finish(client)).collect()
}

/// What was captured of connections.
struct Captured {
    made: Vec<Quic>,
    stopped: Stopped,
    recorded: Recorded,
}

/// Captures connections of all forms.
fn capture(forms: &[Form], flags: &[&str]) -> Result<Captured> {
    let lab = Lab::beside_others()?;
    let tcpdump = Tcpdump::start_on((&lab.host, WAN), "udp")?;
    let daemon = Daemon::start(&lab, &[&[LASTING], flags].concat())?;
    let made = make(&lab, forms)?;
    let stopped = daemon.stop()?;
    Ok(Captured {
        made,
        stopped,
        recorded: tcpdump.finish()?,
    })
}

/// Captures them, and checks that each flow has its file, which has what is promised and no more. Returns the flows, with
/// what is promised of each packet.
fn captured(forms: &[Form], flags: &[&str]) -> Result<(Captured, Vec<Flow>)> {
    let captured = capture(forms, &[&[QUIC], flags].concat())?;
    let packets = promised(&captured.recorded.file(), &captured.made)?;
    let captures = &captured.stopped.captures;
    let flows = flows::apart(packets.clone(), NEVER);
    let all: usize = captured.made.iter().map(|quic| quic.clients.len()).sum();
    ensure!(flows.len() == all, "{} flows, not {all}", flows.len());
    flows::verify(captures, &flows).with_context(|| captured.stopped.transcript.clone())?;
    nothing_else(captures, &packets)?;
    Ok((captured, flows))
}

/// Where UDP's header ends in a packet of these tests, none of which has options.
fn behind_udp(packet: &Packet) -> usize {
    if packet.from.is_ipv4() { 42 } else { 62 }
}

/// How many packets are there with more than UDP's header: with a long header; with a short one and its connection ID; with
/// a short one and no ID. And how many with no more.
fn forms(packets: &[Packet]) -> [usize; 4] {
    let mut forms = [0; 4];
    for packet in packets {
        let udp = behind_udp(packet);
        let is_long = packet.captured[udp] & 0x80 != 0;
        let form = match (packet.header_len - udp, is_long) {
            (0, _) => 3,
            (1, false) => 2,
            (_, false) => 1,
            (_, true) => 0,
        };
        forms[form] += 1;
    }
    forms
}

#[test]
fn both_versions_with_connection_ids_of_every_length() -> Result<()> {
    let (v1, v2) = (End::of_version_1, End::of_version_2);
    let made = [
        Form::of(v1(8), v1(8)),
        Form::of(v1(20), v1(0)).over_v6(),
        Form::of(v1(4), v1(20)).served_here(),
        Form::of(v2(12), v2(8)).over_v6(),
        Form::of(v2(1), v2(5)).served_here().over_v6(),
        Form::of(v1(18), v1(8).speaking("1,6b3343cf")),
    ];
    let (captured, flows) = captured(&made, &[])?;
    for quic in &captured.made {
        let flow = flows.iter().find(|flow| flow[0].from == quic.clients[0]);
        let [long, with_id, without, udp] = forms(flow.context("no flow")?);
        ensure!(long >= 3 && udp == 0, "{quic:?}");
        match quic.id_lens {
            // Who guesses such an ID of a server could make files have more than IDs.
            [1, _] => ensure!(with_id == 0 && without > 10, "{quic:?}"),
            // A client that has no ID is sent none.
            [_, 0] => ensure!(with_id > 5 && without > 5, "{quic:?}"),
            _ => ensure!(with_id > 10 && without == 0, "{quic:?}"),
        }
    }
    Ok(())
}

#[test]
fn a_retry_and_what_follows_are_there_without_the_token() -> Result<()> {
    const RETRY: &[&str] = &["retry"];
    // Its Retry has an ID of another length than the server's own.
    let made = [
        Form::of(End::of_version_1(12).told(RETRY), End::of_version_1(8)),
        Form::of(End::of_version_2(5).told(RETRY), End::of_version_2(4)).over_v6(),
    ];
    let (captured, _) = captured(&made, &[])?;
    let all = captured.recorded.file();
    ensure!(!needle::search(&all)?.is_empty(), "tcpdump has no token");
    Ok(())
}

#[test]
fn early_data_is_there_as_headers() -> Result<()> {
    let early = |end: End| end.told(&["early"]);
    let made = [
        Form::of(End::of_version_1(8), early(End::of_version_1(8))),
        Form::of(End::of_version_2(20), early(End::of_version_2(0))).served_here(),
    ];
    let (captured, flows) = captured(&made, &[])?;
    ensure!(flows.len() == 4, "{:?}", captured.made);
    Ok(())
}

/// Another four-tuple is another flow, whose handshake was in the one before.
#[test]
fn a_client_that_moves_is_followed_by_the_server_that_it_talks_to() -> Result<()> {
    let made = [
        Form::of(
            End::of_version_1(8),
            End::of_version_1(8).told(&["migrate"]),
        ),
        Form::of(
            End::of_version_1(20),
            End::of_version_1(4).told(&["rebind"]),
        )
        .over_v6(),
        Form::of(
            End::of_version_2(5),
            End::of_version_2(0).told(&["migrate"]),
        )
        .served_here(),
    ];
    let (_, flows) = captured(&made, &[])?;
    ensure!(flows.len() == 9, "{} flows", flows.len());
    let moved: Vec<_> = flows
        .iter()
        .map(|flow| forms(flow))
        .filter(|it| it[0] == 0)
        .collect();
    ensure!(moved.len() == 6, "{moved:?}");
    for [_, with_id, without, udp] in moved {
        ensure!(
            with_id > 5 && without > 5 && udp == 0,
            "{with_id}, {without}, {udp}"
        );
    }
    Ok(())
}

/// Who begins with a version that does not exist has not begun yet.
#[test]
fn a_list_of_versions_is_not_there() -> Result<()> {
    let server = End::of_version_1(8);
    let client = End::of_version_1(8).speaking("1a2a3a4a,1");
    let marked: &'static str = Box::leak(format!("1,{MARKED}").into_boxed_str());
    let made = [Form::of(server.speaking(marked), client)];
    let (captured, flows) = captured(&made, &[])?;
    let [_, _, _, udp] = forms(&flows[0]);
    ensure!(
        udp == 2,
        "{udp} packets before the first of a version that is known"
    );
    let all = captured.recorded.file();
    ensure!(!needle::search(&all)?.is_empty(), "tcpdump has no list");
    Ok(())
}

#[test]
fn a_packet_socket_gives_the_same() -> Result<()> {
    let made = [
        Form::of(
            End::of_version_1(8),
            End::of_version_1(4).told(&["migrate"]),
        ),
        Form::of(End::of_version_2(20), End::of_version_2(0))
            .served_here()
            .over_v6(),
    ];
    captured(&made, &["--attach=socket"])?;
    Ok(())
}

/// Both ends of an ID that links two addresses would say that they are one client's.
#[test]
fn where_addresses_are_hidden_connection_ids_are_zeros() -> Result<()> {
    let made = [Form::of(
        End::of_version_1(8),
        End::of_version_1(12).told(&["migrate"]),
    )];
    let captured = capture(&made, &[QUIC, "--anonymize.ip=netblock"])?;
    let packets = promised(&captured.recorded.file(), &captured.made)?;
    let captures = &captured.stopped.captures;
    nothing_else(captures, &packets)?;
    let [quic] = &captured.made[..] else {
        anyhow::bail!("{:?}", captured.made);
    };
    let ids = quic.ids.iter().flatten().chain(&quic.chosen);
    let ids: Vec<_> = ids.map(|id| &id.0[..]).collect();
    let files = captures.of_udp()?;
    ensure!(files.len() == 3, "{files:?}");
    for path in files.values() {
        let ours = captures.read(path)?;
        let (a, b) = (ours[0].from.port(), ours[0].to.port());
        for way in [(a, b), (b, a)] {
            let of = |packet: &&Packet| (packet.from.port(), packet.to.port()) == way;
            let ours: Vec<_> = ours.iter().filter(of).collect();
            let theirs: Vec<_> = packets.iter().filter(of).collect();
            ensure!(
                ours.len() == theirs.len(),
                "{} of {}",
                ours.len(),
                theirs.len()
            );
            for (our, their) in ours.into_iter().zip(theirs) {
                is_blank(our, their)?;
                let found = ids
                    .iter()
                    .find(|id| our.captured.windows(id.len()).any(|it| it == **id));
                ensure!(found.is_none(), "{found:02x?} in {our}");
            }
        }
    }
    Ok(())
}

/// Checks that a packet is as long as promised, and that its connection IDs are zeros.
fn is_blank(our: &Packet, their: &Packet) -> Result<()> {
    ensure!(our.captured.len() == their.header_len, "{our} for {their}");
    let udp = behind_udp(their);
    let [have, had] = [&our.captured[udp..], &their.captured[udp..their.header_len]];
    ensure!(blank(had) == have, "{have:02x?} for {had:02x?}");
    Ok(())
}

/// The same with zeros as connection IDs.
fn blank(invariants: &[u8]) -> Vec<u8> {
    let mut blank = invariants.to_vec();
    if blank[0] & 0x80 == 0 {
        blank[1..].fill(0);
        return blank;
    }
    let destination = usize::from(blank[5]);
    blank[6..6 + destination].fill(0);
    blank[7 + destination..].fill(0);
    blank
}

#[test]
fn where_quic_was_not_asked_for_there_is_udp() -> Result<()> {
    let made = [Form::of(End::of_version_1(8), End::of_version_1(8))];
    let captured = capture(&made, &["--protocols=tcp,udp"])?;
    let packets = pcap::read(&captured.recorded.file())?;
    let captures = &captured.stopped.captures;
    nothing_else(captures, &packets)?;
    flows::verify(captures, &flows::apart(packets, NEVER))?;
    Ok(())
}

/// A datagram of so many bytes: what it begins with, and payload.
fn datagram(begin: &[u8], len: usize) -> Vec<u8> {
    let mut datagram = payload::bytes(len);
    datagram[..begin.len()].copy_from_slice(begin);
    datagram
}

/// How a client begins (RFC 9000): an Initial packet of version 1 with IDs of these lengths, which are zeros.
fn initial(destination: u8, source: u8) -> Vec<u8> {
    let id = |length: u8| [vec![length], vec![0; length.into()]].concat();
    [vec![0xc3, 0, 0, 0, 1], id(destination), id(source)].concat()
}

/// What another protocol sends, whose first bytes are as they are in QUIC by accident.
#[test]
fn what_only_looks_like_quic_is_udp() -> Result<()> {
    let lab = Lab::beside_others()?;
    let ([host, _], [peer, _]) = (netns::first(0), netns::second(0));
    let tcpdump = Tcpdump::start_on((&lab.host, WAN), "udp")?;
    let daemon = Daemon::start(&lab, &[QUIC, LASTING])?;
    let beginnings = [
        // Too small, an ID that is too short or too long, another version, a bit that is not set, and another type.
        (initial(8, 8), 1199),
        (initial(7, 8), 1200),
        (initial(21, 8), 1200),
        (initial(8, 21), 1200),
        (datagram(&[0xc3, 0, 0, 0, 2], 20), 1200),
        (datagram(&[0x83, 0, 0, 0, 1, 8], 20), 1200),
        (
            datagram(&[0xe3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0], 20),
            1200,
        ),
        // Of a server, or of a client that goes on.
        (vec![0x43], 1200),
        (vec![0x80, 0, 0, 0, 0], 1200),
        // Nothing, and less than a header of QUIC has.
        (Vec::new(), 0),
        (initial(8, 8), 6 + 8 + 1 + 8),
        (vec![0xc3, 0, 0, 0], 4),
    ];
    let mut sockets = Vec::new();
    for (begin, len) in &beginnings {
        let client = Socket::bind((&lab.host, host), 0)?;
        let server = Socket::bind((&lab.peer, peer), 0)?;
        client.send_bytes(&server, &datagram(begin, *len))?;
        for first in [0x43, 0xc3, 0xe3, 0x50] {
            server.send_bytes(&client, &datagram(&[first], 300))?;
            client.send_bytes(&server, &datagram(&[first], 300))?;
        }
        sockets.push((client, server));
    }
    let stopped = daemon.stop()?;
    // Up to and with UDP's header.
    let packets = pcap::read(&tcpdump.finish()?.file())?;
    let flows = flows::apart(packets, NEVER);
    ensure!(flows.len() == beginnings.len(), "{} flows", flows.len());
    flows::verify(&stopped.captures, &flows)?;
    Ok(())
}

/// Who forges how a client begins does not make anybody's payload QUIC: of what others send then, at most the first byte is
/// kept where a connection ID would be.
#[test]
fn a_forged_beginning_shows_nothing_of_what_others_send() -> Result<()> {
    let lab = Lab::beside_others()?;
    let ([host, _], [peer, _]) = (netns::first(0), netns::second(0));
    let tcpdump = Tcpdump::start_on((&lab.host, WAN), "udp")?;
    let daemon = Daemon::start(&lab, &[QUIC, LASTING])?;
    let client = Socket::bind((&lab.host, host), 0)?;
    let server = Socket::bind((&lab.peer, peer), 0)?;
    let forged = initial(8, 20);
    server.send_bytes(&client, &datagram(&forged, 1200))?;
    client.send_bytes(&server, &datagram(&forged, 1200))?;
    for first in [0x43, 0xc3, 0xe3, 0x50, 0x83] {
        server.send_bytes(&client, &datagram(&[first], 300))?;
        client.send_bytes(&server, &datagram(&[first], 300))?;
    }
    let stopped = daemon.stop()?;
    let mut packets = pcap::read(&tcpdump.finish()?.file())?;
    for packet in &mut packets[..2] {
        packet.header_len += forged.len();
    }
    flows::verify(&stopped.captures, &[packets])?;
    Ok(())
}
