//! Promise: real connections in every form of TCP give files that equal tcpdump's, packet by
//! packet: with whole headers and all of their options, and with the lengths on the wire.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use end_to_end::capture::Capture;
use end_to_end::peers::daemon::kernel_uuid;
use end_to_end::traffic::tcp_shapes::Shape;
use end_to_end::traffic::{Connection, Side};
use end_to_end::verify::pcap::Packet;
use end_to_end::verify::tcp_options::{Options, kind};
use end_to_end::world::links;
use end_to_end::world::netns::{self, Lab, Namespace, WAN};

/// Length of an Ethernet header, in bytes.
const ETHERNET_LEN: usize = 14;
/// The largest packet whose length fits into an IPv4 header.
const LARGEST_MTU: usize = 65_535;

/// TCP, also behind the hop-by-hop header with the length of a packet that is too large for IPv6's
/// own field: libpcap's `tcp` looks behind no extension header.
const FILTER: &str = "tcp or (ip6 and ip6[6] == 0 and ip6[40] == 6)";

/// A connection, and the packets of its file.
struct CapturedFile {
    connection: Connection,
    packets: Vec<Packet>,
}

/// Captures connections, and verifies their files; returns these.
fn captured(
    lab: &Lab,
    traffic: impl FnOnce() -> Result<Vec<Connection>>,
) -> Result<Vec<CapturedFile>> {
    let capture = Capture::new(lab).beside(WAN, FILTER);
    let captured = capture.run(&[], |_| traffic())?;
    let read = |connection: Connection| {
        let captures = &captured.stopped.captures;
        let packets = captures.packets_of(&kernel_uuid(&connection))?;
        Ok(CapturedFile {
            connection,
            packets,
        })
    };
    captured.connections.into_iter().map(read).collect()
}

/// The addresses of host and peer, of IPv4 and of IPv6.
fn families() -> impl Iterator<Item = (IpAddr, IpAddr)> {
    netns::first(0).into_iter().zip(netns::second(0))
}

/// Makes connections of a shape with either version of IP, and from either side.
fn from_everywhere(lab: &Lab, shape: Shape) -> Result<Vec<Connection>> {
    between(&lab.host, (&lab.peer, netns::second(0)), shape)
}

/// Makes connections of a shape between the host and a namespace, with either of its addresses and
/// from either side.
fn between(
    host: &Namespace,
    (peer, addresses): (&Namespace, [IpAddr; 2]),
    shape: Shape,
) -> Result<Vec<Connection>> {
    let mut connections = Vec::new();
    for (here, there) in netns::first(0).into_iter().zip(addresses) {
        for opener in [Side::Peer, Side::Host] {
            connections.extend(shape.converse(opener, (host, here), (peer, there))?);
        }
    }
    Ok(connections)
}

impl CapturedFile {
    /// The packets of each direction, first those that the host sent.
    fn directions(&self) -> [Vec<&Packet>; 2] {
        [self.connection.host, self.connection.peer]
            .map(|from| self.packets.iter().filter(|p| p.from == from).collect())
    }

    /// The options of the SYN and of its answer.
    fn handshake(&self) -> Result<[Options<'_>; 2]> {
        let mut found = Vec::new();
        for packets in self.directions() {
            let first = packets.into_iter().find(|packet| packet.synchronizes);
            found.push(Options::of(first.context("a direction without SYN")?)?);
        }
        found.try_into().ok().context("two directions")
    }

    /// The options of each packet after the handshake.
    fn established(&self) -> Result<Vec<Options<'_>>> {
        let behind = self.packets.iter().filter(|packet| !packet.synchronizes);
        behind.map(Options::of).collect()
    }
}

/// The length of a packet's payload: the payload is in no file, but the wire length is.
fn payload_len(packet: &Packet) -> usize {
    packet.wire_len as usize - packet.header_len
}

#[test]
fn segments_of_every_size_and_packets_of_many_segments_are_whole() -> Result<()> {
    let lab = Lab::new()?;
    let sizes = [
        (1_500, 88),
        (1_500, 536),
        (1_500, 1_220),
        (1_500, 1_460),
        (9_000, 8_960),
        (LARGEST_MTU, 30_000),
        (LARGEST_MTU, 0),
    ];
    let mut made = Vec::new();
    let captured = captured(&lab, || {
        let mut connections = Vec::new();
        for (at, (mtu, mss)) in sizes.into_iter().enumerate() {
            links::set_mtu(&lab, mtu)?;
            let mut shape = Shape {
                mss,
                ..Shape::PLAIN
            };
            if mtu == LARGEST_MTU {
                // Two of these segments are more than a device accepts at once: it gets them split,
                // and so does tcpdump, but the daemon sees packets before that.
                links::send_single_segments(&lab.host)?;
                links::send_single_segments(&lab.peer)?;
                // TCP makes no segment that is larger than half of the other end's window.
                (shape.buffer, shape.amount) = (4 << 20, 4_000_000);
            }
            for (ip_header, (host, peer)) in [20, 40].into_iter().zip(families()) {
                let opener = [Side::Peer, Side::Host][(at + ip_header / 40) % 2];
                let (host, peer) = ((&lab.host, host), (&lab.peer, peer));
                connections.extend(shape.converse(opener, host, peer)?);
                let most = mtu - ip_header - 20;
                made.push((mtu, if mss == 0 { most } else { mss.min(most) }));
            }
        }
        Ok(connections)
    })?;
    assert_eq!((captured.len(), made.len()), (14, 14));
    for (file, (mtu, mss)) in captured.iter().zip(made) {
        let place = format!("{}, MTU {mtu}, MSS {mss}", file.connection);
        for options in file.handshake()? {
            ensure!(options.mss() == Some(mss), "{place}: {options:?}");
        }
        for packets in file.directions() {
            let largest = packets.iter().map(|packet| packet.wire_len as usize).max();
            let largest = largest.with_context(|| place.clone())?;
            // The 12 bytes of timestamps count as a part of the MSS.
            let full = packets.iter().any(|packet| payload_len(packet) == mss - 12);
            let enough = if mtu < LARGEST_MTU {
                largest > mtu + ETHERNET_LEN
            } else {
                full
            };
            ensure!(enough, "{place}: {largest} at most");
        }
    }
    Ok(())
}

#[test]
fn packets_larger_than_an_ip_header_can_express_have_their_length() -> Result<()> {
    let lab = Lab::new()?;
    links::allow_packets_of(&lab, 130_000)?;
    let shape = Shape {
        amount: 4_000_000,
        ..Shape::PLAIN
    };
    for file in captured(&lab, || from_everywhere(&lab, shape))? {
        for packets in file.directions() {
            let largest = packets.iter().map(|packet| packet.wire_len as usize).max();
            ensure!(
                largest.is_some_and(|largest| largest > ETHERNET_LEN + 40 + LARGEST_MTU),
                "{}: {largest:?} at most",
                file.connection
            );
        }
    }
    Ok(())
}

/// Sets `net.<name>` at both ends.
fn set(lab: &Lab, name: &str, value: &str) -> Result<()> {
    lab.host.sysctl(name, value)?;
    lab.peer.sysctl(name, value)
}

#[test]
fn window_scale_and_timestamps_are_there_when_they_are_on() -> Result<()> {
    let lab = Lab::new()?;
    let shape = Shape {
        buffer: 4 << 20,
        ..Shape::PLAIN
    };
    let captured = captured(&lab, || {
        let mut connections = from_everywhere(&lab, shape)?;
        set(&lab, "ipv4/tcp_timestamps", "0")?;
        connections.extend(from_everywhere(&lab, shape)?);
        set(&lab, "ipv4/tcp_window_scaling", "0")?;
        connections.extend(from_everywhere(&lab, shape)?);
        Ok(connections)
    })?;
    assert_eq!(captured.len(), 12);
    for (at, file) in captured.iter().enumerate() {
        let (stamped, scaled) = (at < 4, at < 8);
        let place = format!("number {at}, {}", file.connection);
        for options in file.handshake()? {
            let scale = options.get(kind::WINDOW_SCALE);
            ensure!(
                scale.is_some_and(|scale| scale[0] > 0) == scaled,
                "{place}: {options:?}"
            );
            let stamps = options.get(kind::TIMESTAMPS);
            ensure!(stamps.is_some() == stamped, "{place}: {options:?}");
        }
        for options in file.established()? {
            let stamps = options.get(kind::TIMESTAMPS);
            ensure!(stamps.is_some() == stamped, "{place}: {options:?}");
        }
    }
    Ok(())
}

#[test]
fn the_sack_blocks_of_real_loss_are_whole() -> Result<()> {
    let lab = Lab::new()?;
    let far = links::behind_losses(&lab)?;
    let shape = Shape {
        amount: 1_000_000,
        ..Shape::PLAIN
    };
    let captured = captured(&lab, || between(&lab.host, (&far, netns::second(1)), shape))?;
    let mut longest = 0;
    for file in &captured {
        for packets in file.directions() {
            let mut selective = 0;
            for packet in packets.into_iter().filter(|packet| !packet.synchronizes) {
                let options = Options::of(packet)?;
                if let Some(blocks) = options.get(kind::SACK) {
                    ensure!(!blocks.is_empty() && blocks.len() % 8 == 0, "{options:?}");
                    selective += 1;
                    longest = longest.max(options.bytes.len());
                }
            }
            ensure!(selective > 0, "{}: no loss", file.connection);
        }
    }
    // 10 bytes of timestamps and 26 bytes of three blocks, each behind two fillers: as much as a
    // TCP header can hold.
    ensure!(longest == 40, "{longest} bytes of options at most");
    Ok(())
}

#[test]
fn the_payload_of_a_fast_open_is_counted_and_not_kept() -> Result<()> {
    let lab = Lab::new()?;
    set(&lab, "ipv4/tcp_fastopen", "3")?;
    let shape = Shape {
        times: 2,
        fast_open: true,
        ..Shape::PLAIN
    };
    let captured = captured(&lab, || from_everywhere(&lab, shape))?;
    assert_eq!(captured.len(), 8);
    for (at, file) in captured.iter().enumerate() {
        let syn = file.packets.first().context("no packet")?;
        ensure!(syn.opens, "{}: {syn}", file.connection);
        let cookie = Options::of(syn)?.get(kind::FAST_OPEN);
        let cookie = cookie.with_context(|| format!("no cookie: {syn}"))?;
        // The first of each pair asks for the cookie with which the second sends payload at once.
        let first = at % 2 == 0;
        ensure!(cookie.is_empty() == first, "{cookie:?} in {syn}");
        ensure!((payload_len(syn) == 0) == first, "{syn}");
        ensure!(syn.captured.len() == syn.header_len, "{syn}");
        if first {
            let mut answers = file.packets.iter().filter(|p| p.synchronizes && !p.opens);
            let answer = Options::of(answers.next().context("no answer")?)?;
            let given = answer.get(kind::FAST_OPEN);
            ensure!(given.is_some_and(|given| !given.is_empty()), "{answer:?}");
        }
    }
    Ok(())
}

/// The subtypes of Multipath TCP's option in the first packet of a subflow.
const CAPABLE: u8 = 0;
const JOIN: u8 = 1;

#[test]
fn each_subflow_of_a_multipath_connection_has_its_file() -> Result<()> {
    let lab = Lab::new()?;
    let mut others = Vec::new();
    for (prefix, first) in ["24", "64"].into_iter().zip(netns::third(0)) {
        let address = format!("{first}/{prefix}");
        lab.peer
            .ip(&["addr", "add", &address, "dev", WAN, "nodad"])?;
        others.push(first);
    }
    let captured = captured(&lab, || {
        let mut subflows = Vec::new();
        for ((host, peer), other) in families().zip(others) {
            subflows.extend(Shape::PLAIN.multipath(&lab, [host, peer], other)?);
        }
        Ok(subflows)
    })?;
    assert_eq!(captured.len(), 4);
    for pair in captured.chunks(2) {
        let mut subtypes = Vec::new();
        for file in pair {
            let syn = file.packets.first().context("no packet")?;
            let option = Options::of(syn)?.get(kind::MULTIPATH);
            let option = option.with_context(|| format!("no option: {syn}"))?;
            subtypes.push(option[0] >> 4);
            let options = file.established()?;
            let multipath = options.iter().filter(|o| o.get(kind::MULTIPATH).is_some());
            let (multipath, all) = (multipath.count(), options.len());
            ensure!(multipath > 1, "{}: {multipath} of {all}", file.connection);
        }
        subtypes.sort_unstable();
        assert_eq!(subtypes, [CAPABLE, JOIN]);
    }
    Ok(())
}
