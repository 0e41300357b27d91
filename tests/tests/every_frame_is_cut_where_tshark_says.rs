//! Promise: the TCP header is found whatever precedes it, and each record ends with it, to the
//! byte. Thousands of frames, whole and broken, pass real interfaces; tshark says where the headers
//! end in what tcpdump kept of them.

use std::collections::BTreeMap;
use std::env;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::peers::tcpinfo::StandIn;
use end_to_end::traffic::corpus::{self, Injection, Link, PORTS, flows};
use end_to_end::verify::captures::Captures;
use end_to_end::verify::dissect::{self, Dissected};
use end_to_end::verify::format;
use end_to_end::verify::report::{ConnectionField, PacketField};
use end_to_end::world::netns::{Lab, Namespace, WAN};
use pcap_file::pcap::PcapReader;
use serde_json::json;

/// The seed that the frames are made from, unless the environment variable `SEED` has another
/// number. Any number will do, and each finds other corner cases.
const SEED: u64 = 8_802_444_201_844_342_084;

/// The number of frames that are sent into each interface.
const FRAMES: usize = 3000;

/// More than the headers of any frame.
const MTU: &str = "9000";

/// A captured packet: its bytes, and its length on the wire.
type Record = (Vec<u8>, u32);

/// The records of each flow, by the flow's UUID, sorted.
type Records = BTreeMap<String, Vec<Record>>;

fn uuid(flow: usize) -> String {
    format!("corpus_1700000000_unsafe_{flow:016X}")
}

/// Announces every flow as tcp-info would.
fn announce(tcpinfo: &StandIn) {
    for (number, (host, peer, port)) in flows().into_iter().enumerate() {
        let id = json!({
            "SPort": PORTS.0, "DPort": port, "SrcIP": host, "DstIP": peer,
            "Interface": 0, "Cookie": number,
        });
        tcpinfo.send_open(&uuid(number), &id);
    }
}

/// The flow between two ends, in either direction.
fn flow_of(from: SocketAddr, to: SocketAddr) -> Option<usize> {
    let is = |end: SocketAddr, address: &IpAddr, port: u16| end == SocketAddr::new(*address, port);
    flows().iter().position(|(host, peer, port)| {
        (is(from, host, PORTS.0) && is(to, peer, *port))
            || (is(to, host, PORTS.0) && is(from, peer, *port))
    })
}

/// The packets of a capture file, undecoded.
fn packets(file: &Path) -> Result<Vec<Record>> {
    let bytes = format::contents(file)?;
    let mut reader = PcapReader::new(&bytes[..])?;
    let mut packets = Vec::new();
    while let Some(packet) = reader.next_raw_packet() {
        let packet = packet?;
        packets.push((packet.data.to_vec(), packet.orig_len));
    }
    Ok(packets)
}

/// tcpdump's file, as tshark dissects it.
struct Dissection {
    /// What the daemon's files should have: the frames of our flows, cut where the TCP header ends.
    records: Records,
    /// Every frame, whole, and what tshark says about it.
    frames: Vec<(Vec<u8>, Dissected)>,
}

impl Dissection {
    /// Reads it, for a daemon that keeps so many bytes of a packet.
    fn read(file: &Path, most: usize) -> Result<Self> {
        let all = packets(file)?;
        let dissected = dissect::frames(file)?;
        ensure!(all.len() == dissected.len(), "tshark skips frames");
        let mut records = Records::new();
        let mut frames = Vec::new();
        for ((bytes, wire_len), dissected) in all.into_iter().zip(dissected) {
            if let Some(tcp) = &dissected.tcp
                && let Some(flow) = flow_of(tcp.from, tcp.to)
            {
                let kept = tcp.end.min(most);
                let headers = bytes.get(..kept).context("tcpdump cut it")?.to_vec();
                let flow = records.entry(uuid(flow)).or_default();
                flow.push((headers, wire_len));
            }
            frames.push((bytes, dissected));
        }
        Ok(Self {
            records: sorted(records),
            frames,
        })
    }

    /// The frame that begins with the bytes of a record.
    fn frame_of(&self, record: &[u8]) -> Option<&Dissected> {
        let mut frames = self.frames.iter();
        let found = frames.find(|(frame, _)| frame.starts_with(record));
        found.map(|(_, dissected)| dissected)
    }

    /// The number of frames in which tshark sees TCP.
    fn tcp(&self) -> usize {
        let frames = self.frames.iter();
        frames.filter(|(_, frame)| frame.tcp.is_some()).count()
    }
}

/// Longer headers are cut here, by default.
const MAX_HEADERS: usize = 1024;

/// The least that a daemon can be told to keep.
const MIN_HEADERS: usize = 64;

/// Why a record that tshark expects may not be there.
fn may_lack(record: &[u8]) -> Option<&'static str> {
    /// The beginning of a PPPoE session's header behind the EtherType: version, type and code (RFC
    /// 2516, 4).
    const SESSION: [u8; 2] = [0x11, 0];
    let ethertype = record
        .windows(4)
        .find(|bytes| bytes.starts_with(&[0x88, 0x64]));
    let strange = ethertype.is_some_and(|bytes| bytes[2..] != SESSION);
    strange.then_some("PPPoE of another version or code, which tshark does not dissect")
}

/// Why there may be a record though tshark does not see TCP: tshark looks into options and
/// extension headers, and stops at one with invalid content; the daemon only skips them, by their
/// lengths.
fn may_have(frame: &Dissected) -> Option<&'static str> {
    let extensions = ["ipv6.routing", "ipv6.dstopts", "ipv6.hopopts"];
    let stopped = |layers: &[&str]| layers.iter().any(|last| frame.protocols.ends_with(last));
    let malformed = frame
        .remarks
        .iter()
        .any(|remark| remark.starts_with("Malformed"));
    let content = stopped(&extensions) || (malformed && stopped(&[":ip", ":ah"]));
    // PPPoE says how long its content is; the daemon believes the IP header.
    let bounded = frame
        .remarks
        .iter()
        .any(|remark| remark.contains("exceeds framing length"));
    match (content, bounded) {
        (true, _) => Some("the content of an option or extension header is invalid"),
        (false, true) => Some("PPPoE says that its content is shorter than the IP packet"),
        (false, false) => None,
    }
}

fn captured(captures: &Captures) -> Result<Records> {
    let mut records = Records::new();
    for (uuid, file) in captures.published()? {
        records.insert(uuid, packets(&file)?);
    }
    Ok(sorted(records))
}

fn sorted(mut records: Records) -> Records {
    for flow in records.values_mut() {
        flow.sort();
    }
    records
}

/// The records of one side that the other side does not have, each with its flow.
fn beyond(these: &Records, those: &Records) -> Vec<(String, Record)> {
    let mut beyond = Vec::new();
    for (uuid, records) in these {
        let mut others = those.get(uuid).cloned().unwrap_or_default();
        for record in records {
            match others.iter().position(|other| other == record) {
                Some(at) => drop(others.swap_remove(at)),
                None => beyond.push((uuid.clone(), record.clone())),
            }
        }
    }
    beyond
}

/// What is asked of a daemon.
#[derive(Clone, Copy)]
struct Asked {
    /// How many bytes of a packet its records keep.
    most: usize,
    /// Whether there are programs, or the rings of packet sockets alone.
    programs: bool,
}

/// By programs, as many bytes as there are.
const WHOLE: Asked = Asked {
    most: MAX_HEADERS,
    programs: true,
};

/// Sends a corpus from `sender` into the host's `interface`, and compares the records.
fn compare(
    lab: &Lab,
    interface: &str,
    sender: (&Namespace, &str, Injection),
    link: Link,
    asked: Asked,
) -> Result<()> {
    let seed = env::var("SEED").map_or(Ok(SEED), |seed| seed.parse())?;
    println!("{interface}: seed {seed}");
    let frames = corpus::frames(seed, FRAMES, link);
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let interfaces = [interface];
    let launch = Launch::new(lab).on(&interfaces).following(&tcpinfo);
    // Each flow goes on, whatever flags its frames have.
    let flags = ["--linger=60s", "--captureduration=300s"];
    let most_flag = format!("--maxheadersize={}", asked.most);
    let mut flags = [&flags[..], &[&most_flag]].concat();
    if !asked.programs {
        // Each frame must get to the shard of its flow, too.
        flags.extend(["--attach=raw", "--shards=3"]);
    }
    let mut daemon = launch.without_prefix().start(&flags)?;
    tcpinfo.wait_for_client(1)?;
    announce(&tcpinfo);
    let opened = flows().len() as u64;
    let before = daemon.wait_for_report("every flow has its name", |report| {
        report.get(ConnectionField::Opened) >= opened
    })?;
    // Last: what it has, the daemon has seen as well, and the host itself may say something at any time.
    let tcpdump = Tcpdump::start_on((&lab.host, interface), "")?;
    let (namespace, device, injection) = sender;
    let sent = corpus::send(namespace, device, injection, &frames)?;
    let recorded = tcpdump.finish()?;
    let seen = packets(&recorded.file())?.len() as u64;
    if asked.programs {
        daemon.wait_for_report("every frame is accounted for", |report| {
            report.get(PacketField::Seen) >= before.get(PacketField::Seen) + seen
        })?;
    }
    // A daemon without programs is not shown every frame; it takes what is in its ring when it is stopped.
    let stopped = daemon.stop()?;

    let expected = Dissection::read(&recorded.file(), asked.most)?;
    let captured = captured(&stopped.captures)?;
    let count = |records: &Records| records.values().map(Vec::len).sum::<usize>();
    println!(
        "{interface}: {sent} frames were sent, and {seen} arrived; tshark sees TCP in {}, and one of \
         our flows in {}; our files have {}",
        expected.tcp(),
        count(&expected.records),
        count(&captured)
    );
    let unexplained = explain(&expected, &captured);
    ensure!(
        unexplained == 0,
        "{interface}, seed {seed}: {unexplained} differences without a reason; {:?}",
        stopped.report
    );
    // Otherwise the comparison would prove nothing.
    ensure!(count(&captured) > FRAMES / 2, "few frames arrived");
    Ok(())
}

/// Prints what differs, and why; returns the number of differences without a reason.
fn explain(expected: &Dissection, captured: &Records) -> usize {
    let mut unexplained = 0;
    for (uuid, (bytes, wire_len)) in beyond(&expected.records, captured) {
        let reason = may_lack(&bytes);
        unexplained += usize::from(reason.is_none());
        let frame = expected.frame_of(&bytes);
        println!(
            "we lack {uuid} wire {wire_len} {reason:?} {frame:?} {}",
            hex(&bytes)
        );
    }
    for (uuid, (bytes, wire_len)) in beyond(captured, &expected.records) {
        let frame = expected.frame_of(&bytes);
        let reason = frame.and_then(may_have);
        unexplained += usize::from(reason.is_none());
        println!(
            "we have {uuid} wire {wire_len} {reason:?} {frame:?} {}",
            hex(&bytes)
        );
    }
    unexplained
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn on_ethernet_as(asked: Asked) -> Result<()> {
    let lab = Lab::new()?;
    lab.host.ip(&["link", "set", WAN, "mtu", MTU])?;
    lab.peer.ip(&["link", "set", WAN, "mtu", MTU])?;
    compare(
        &lab,
        WAN,
        (&lab.peer, WAN, Injection::Socket),
        Link::Ethernet,
        asked,
    )
}

#[test]
fn on_ethernet() -> Result<()> {
    on_ethernet_as(WHOLE)
}

/// A tag that the kernel took off, and the daemon puts back, counts as well.
#[test]
fn on_ethernet_with_the_shortest_records() -> Result<()> {
    on_ethernet_as(Asked {
        most: MIN_HEADERS,
        ..WHOLE
    })
}

/// The classic BPF program of a packet socket, instead of ours.
#[test]
fn on_ethernet_without_ebpf() -> Result<()> {
    on_ethernet_as(Asked {
        programs: false,
        ..WHOLE
    })
}

#[test]
fn on_a_device_without_a_link_layer() -> Result<()> {
    on_a_device_without_a_link_layer_as(WHOLE)
}

#[test]
fn on_a_device_without_a_link_layer_without_ebpf() -> Result<()> {
    on_a_device_without_a_link_layer_as(Asked {
        programs: false,
        ..WHOLE
    })
}

fn on_a_device_without_a_link_layer_as(asked: Asked) -> Result<()> {
    let lab = Lab::new()?;
    lab.host
        .ip(&["tuntap", "add", "mode", "tun", "name", "tun0"])?;
    lab.host.ip(&["link", "set", "tun0", "mtu", MTU, "up"])?;
    compare(
        &lab,
        "tun0",
        (&lab.host, "tun0", Injection::Tun),
        Link::RawIp,
        asked,
    )
}

#[test]
fn inside_a_tunnel_that_the_kernel_unpacks() -> Result<()> {
    let lab = Lab::new()?;
    let addresses = ["10.98.0.2", "10.98.0.1"];
    for (namespace, other) in [&lab.host, &lab.peer].into_iter().zip(addresses) {
        namespace.ip(&["link", "set", WAN, "mtu", MTU])?;
        let vxlan = [
            "type", "vxlan", "id", "7", "dstport", "4789", "remote", other,
        ];
        namespace.ip(&[&["link", "add", "vx0"][..], &vxlan].concat())?;
        namespace.ip(&["link", "set", "vx0", "up"])?;
    }
    compare(
        &lab,
        "vx0",
        (&lab.peer, "vx0", Injection::Socket),
        Link::Ethernet,
        WHOLE,
    )
}
