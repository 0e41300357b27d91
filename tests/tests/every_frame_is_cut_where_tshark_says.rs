//! Promise: whatever stands before it, the TCP header is found, and each record ends with it, to the
//! byte. Thousands of frames, whole and broken, pass real interfaces; tshark says of what tcpdump kept
//! where the headers end.

use std::collections::BTreeMap;
use std::env;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::{self, Tcpdump};
use end_to_end::peers::tcpinfo::StandIn;
use end_to_end::traffic::corpus::{self, Link, PORTS, Way, flows};
use end_to_end::verify::captures::Captures;
use end_to_end::verify::dissect::{self, Dissected};
use end_to_end::verify::format;
use end_to_end::world::netns::{Lab, Namespace, WAN};
use pcap_file::pcap::PcapReader;
use serde_json::json;

/// What the frames are made from, unless the environment variable `SEED` says another number: any
/// will do, and each finds other corners.
const SEED: u64 = 8_802_444_201_844_342_084;

/// How many frames each interface gets.
const FRAMES: usize = 3000;

/// Longer than any header that the frames have.
const MTU: &str = "9000";

/// A captured packet: its bytes and its length on the wire.
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

/// The packets of a capture file, as they are.
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

/// tcpdump's file as tshark sees it.
struct Verdict {
    /// What is to be in our files: the frames of our flows, cut where the TCP header ends.
    records: Records,
    /// Every frame, whole, and what tshark says of it.
    frames: Vec<(Vec<u8>, Dissected)>,
}

impl Verdict {
    fn read(file: &Path) -> Result<Self> {
        let all = packets(file)?;
        let dissected = dissect::frames(file)?;
        ensure!(all.len() == dissected.len(), "tshark skips frames");
        let mut records = Records::new();
        let mut frames = Vec::new();
        for ((bytes, wire_len), dissected) in all.into_iter().zip(dissected) {
            if let Some(tcp) = &dissected.tcp
                && let Some(flow) = flow_of(tcp.from, tcp.to)
            {
                let kept = tcp.end.min(MAX_HEADERS);
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

    /// The frame that a record begins.
    fn frame_of(&self, record: &[u8]) -> Option<&Dissected> {
        let mut frames = self.frames.iter();
        let found = frames.find(|(frame, _)| frame.starts_with(record));
        found.map(|(_, dissected)| dissected)
    }

    /// How many frames tshark sees TCP in.
    fn tcp(&self) -> usize {
        let frames = self.frames.iter();
        frames.filter(|(_, frame)| frame.tcp.is_some()).count()
    }
}

/// Longer headers are cut there.
const MAX_HEADERS: usize = 1024;

/// Why a record that tshark expects may not be there.
fn may_lack(record: &[u8]) -> Option<&'static str> {
    /// What a PPPoE session's header begins with behind its EtherType: version, type and code (RFC
    /// 2516, 4).
    const SESSION: [u8; 2] = [0x11, 0];
    let ethertype = record
        .windows(4)
        .find(|bytes| bytes.starts_with(&[0x88, 0x64]));
    let strange = ethertype.is_some_and(|bytes| bytes[2..] != SESSION);
    strange.then_some("PPPoE of another version or code, which tshark does not look at")
}

/// Why a record may be there though tshark does not see TCP: it looks into options and extension
/// headers, and stops at one whose content is wrong; we only walk past them, by their lengths.
fn may_have(frame: &Dissected) -> Option<&'static str> {
    let extensions = ["ipv6.routing", "ipv6.dstopts", "ipv6.hopopts"];
    let stopped = |layers: &[&str]| layers.iter().any(|last| frame.protocols.ends_with(last));
    let malformed = frame
        .remarks
        .iter()
        .any(|remark| remark.starts_with("Malformed"));
    let content = stopped(&extensions) || (malformed && stopped(&[":ip", ":ah"]));
    // PPPoE says how long its content is; we believe the IP header.
    let bounded = frame
        .remarks
        .iter()
        .any(|remark| remark.contains("exceeds framing length"));
    match (content, bounded) {
        (true, _) => Some("the content of an option or extension header is wrong"),
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

/// The records of one side that the other has not, each with its flow.
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

/// Sends a corpus from `sender` into the host's `interface`, and compares.
fn compare(lab: &Lab, interface: &str, sender: (&Namespace, &str, Way), link: Link) -> Result<()> {
    let seed = env::var("SEED").map_or(Ok(SEED), |seed| seed.parse())?;
    println!("{interface}: seed {seed}");
    let frames = corpus::frames(seed, FRAMES, link);
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let tcpdump = Tcpdump::start_on((&lab.host, interface), 0, "")?;
    let flag = tcpinfo.flag();
    let interfaces = [interface];
    let launch = Launch::new(lab).on(&interfaces).without_prefix();
    // Whatever flags a frame has, its flow goes on.
    let mut daemon = launch.start(&[&flag, "--linger=60s", "--captureduration=300s"])?;
    tcpinfo.wait_for_client(1)?;
    announce(&tcpinfo);
    let opened = flows().len() as u64;
    daemon.wait_for_summary("every flow has its name", |summary| {
        summary.get("connections", "opened") >= opened
    })?;
    let (namespace, device, way) = sender;
    let sent = corpus::send(namespace, device, way, &frames)?;
    let kept = tcpdump.finish()?;
    let file = kept.path().join(tcpdump::FILE);
    let seen = packets(&file)?.len() as u64;
    daemon.wait_for_summary("every frame is accounted for", |summary| {
        summary.get("packets", "seen") >= seen
    })?;
    let stopped = daemon.stop()?;
    stopped.summary.in_balance()?;

    let verdict = Verdict::read(&file)?;
    let captured = captured(&stopped.captures)?;
    let count = |records: &Records| records.values().map(Vec::len).sum::<usize>();
    println!(
        "{interface}: {sent} frames were sent, {seen} came, {} are TCP for tshark, {} of them of our \
         flows; {} are in our files",
        verdict.tcp(),
        count(&verdict.records),
        count(&captured)
    );
    let unexplained = explain(&verdict, &captured);
    ensure!(
        unexplained == 0,
        "{interface}, seed {seed}: {unexplained} differences without a reason; {:?}",
        stopped.summary
    );
    // The comparison would be worth nothing without.
    ensure!(count(&captured) > FRAMES / 2, "few frames came");
    Ok(())
}

/// Lists what differs, and why; how many differences have no reason.
fn explain(verdict: &Verdict, captured: &Records) -> usize {
    let mut unexplained = 0;
    for (uuid, (bytes, wire_len)) in beyond(&verdict.records, captured) {
        let reason = may_lack(&bytes);
        unexplained += usize::from(reason.is_none());
        let frame = verdict.frame_of(&bytes);
        println!(
            "we lack {uuid} wire {wire_len} {reason:?} {frame:?} {}",
            hex(&bytes)
        );
    }
    for (uuid, (bytes, wire_len)) in beyond(captured, &verdict.records) {
        let frame = verdict.frame_of(&bytes);
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

#[test]
fn on_ethernet() -> Result<()> {
    let lab = Lab::new()?;
    lab.host.ip(&["link", "set", WAN, "mtu", MTU])?;
    lab.peer.ip(&["link", "set", WAN, "mtu", MTU])?;
    compare(&lab, WAN, (&lab.peer, WAN, Way::Socket), Link::Ethernet)
}

#[test]
fn on_a_device_without_a_link_layer() -> Result<()> {
    let lab = Lab::new()?;
    lab.host
        .ip(&["tuntap", "add", "mode", "tun", "name", "tun0"])?;
    lab.host.ip(&["link", "set", "tun0", "mtu", MTU, "up"])?;
    compare(&lab, "tun0", (&lab.host, "tun0", Way::Tun), Link::RawIp)
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
    compare(&lab, "vx0", (&lab.peer, "vx0", Way::Socket), Link::Ethernet)
}
