//! The figures of rows are those of others who saw the same packets: of the kernel that sent them, of tshark
//! and tcptrace that read the same file, and of the path that lost, delayed and doubled them. Where a
//! definition differs, docs/rows.md says so, and the test compares what has to be equal all the same.
//!
//! Fourteen uploads share a path of 5 ms each way, half of them over IPv4 and half over IPv6. What becomes of their
//! packets depends on the port.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::figures::Figures;
use end_to_end::peers::rows;
use end_to_end::peers::tcpdump::{Recorded, TCP, Tcpdump};
use end_to_end::peers::{tcptrace, tshark};
use end_to_end::traffic::upload::{Sent, Upload};
use end_to_end::world::netns::{Lab, second};
use end_to_end::world::path::{Fate, Path};
use end_to_end::world::{ss, wait};

/// The devices of the path, and its subnet.
const DEVICE: &str = "path0";
const SUBNET: u8 = 7;

/// How long a packet travels.
const DELAY: Duration = Duration::from_millis(5);

/// Bytes of an upload.
const BYTES: usize = 400_000;

/// The ports, and what happens to packets to and from them.
const CLEAN: u16 = 5001;
const LOST: u16 = 5002;
const OVERTAKEN: u16 = 5003;
const DOUBLED: u16 = 5004;
const UNREAD: u16 = 5005;
const INTERRUPTED: u16 = 5006;
const MARKED: u16 = 5007;
const PORTS: [u16; 7] = [CLEAN, LOST, OVERTAKEN, DOUBLED, UNREAD, INTERRUPTED, MARKED];

/// From which packet with payload on everything of `INTERRUPTED` is lost, and for how long: longer than a sender
/// waits for an answer.
const INTERRUPTED_AT: u64 = 60;
const INTERRUPTION: Duration = Duration::from_millis(400);

/// What the path did to an upload.
#[derive(Debug, Clone, Copy, Default)]
struct Ledger {
    /// Packets with payload that were sent.
    data: u64,
    /// Acknowledgments without payload.
    acknowledgments: u64,
    lost: u64,
    /// Delayed more than others.
    late: u64,
    doubled: u64,
    /// As having met congestion.
    marked: u64,
    /// Acknowledgments with a closed window, and what the sender asked then.
    closed: u64,
    probes: u64,
    interrupted: Option<Instant>,
}

/// By whether it is IPv6, and the port.
type Ledgers = Arc<Mutex<HashMap<(bool, u16), Ledger>>>;

/// What is needed of a packet: whether it is IPv6, source port, destination port, bytes of payload. The path
/// has TCP only, without options of IP.
fn look(packet: &[u8]) -> Option<(bool, [u16; 2], usize)> {
    let v6 = packet.first()? >> 4 == 6;
    let tcp = if v6 { 40 } else { 20 };
    if *packet.get(if v6 { 6 } else { 9 })? != 6 {
        return None;
    }
    let port = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
    let payload = packet.len() - tcp - usize::from(packet.get(tcp + 12)? >> 4) * 4;
    Some((v6, [port(tcp)?, port(tcp + 2)?], payload))
}

/// Marks a packet as having met congestion (RFC 3168 5).
fn mark(packet: &mut [u8]) {
    if packet[0] >> 4 == 6 {
        packet[1] |= 0x30;
        return;
    }
    packet[1] |= 3;
    packet[10..12].fill(0);
    let (words, _) = packet[..20].as_chunks::<2>();
    let sum: u32 = words
        .iter()
        .map(|word| u32::from(u16::from_be_bytes(*word)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !((folded + (folded >> 16)) as u16);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
}

/// What becomes of the packets of senders.
fn fate_of_data(ledgers: Ledgers) -> Fate {
    Box::new(move |packet| {
        let Some((v6, [_, port], payload)) = look(packet) else {
            return vec![DELAY];
        };
        let mut ledgers = ledgers.lock().expect("no holder panicked");
        let ledger = ledgers.entry((v6, port)).or_default();
        if payload == 0 {
            ledger.probes += u64::from(ledger.closed > 0);
            return vec![DELAY];
        }
        ledger.data += 1;
        let now = Instant::now();
        let interrupted = port == INTERRUPTED && ledger.data >= INTERRUPTED_AT && {
            now - *ledger.interrupted.get_or_insert(now) < INTERRUPTION
        };
        match (port, ledger.data) {
            (LOST, data) if data % 23 == 0 => ledger.lost += 1,
            (INTERRUPTED, _) if interrupted => ledger.lost += 1,
            (MARKED, data) if data.is_multiple_of(29) => {
                ledger.marked += 1;
                mark(packet);
                return vec![DELAY];
            }
            (OVERTAKEN, data) if data % 19 == 0 => {
                ledger.late += 1;
                // For one in four, longer than the sender waits before it sends it again.
                return vec![
                    DELAY + Duration::from_millis(if data.is_multiple_of(76) { 12 } else { 1 }),
                ];
            }
            (DOUBLED, data) if data % 17 == 0 => {
                ledger.doubled += 1;
                return vec![DELAY, DELAY + Duration::from_micros(200)];
            }
            _ => return vec![DELAY],
        }
        Vec::new()
    })
}

/// What becomes of the packets of receivers.
fn fate_of_acknowledgments(ledgers: Ledgers) -> Fate {
    Box::new(move |packet| {
        let Some((v6, [port, _], 0)) = look(packet) else {
            return vec![DELAY];
        };
        let mut ledgers = ledgers.lock().expect("no holder panicked");
        let ledger = ledgers.entry((v6, port)).or_default();
        ledger.acknowledgments += 1;
        let window = if v6 { 54 } else { 34 };
        ledger.closed += u64::from(packet[window..window + 2] == [0, 0]);
        if port == LOST && ledger.acknowledgments.is_multiple_of(41) {
            return Vec::new();
        }
        vec![DELAY]
    })
}

/// Waits until the window of a reader is closed, and the sender has asked whether it still is.
fn wait_until_closed(ledgers: &Ledgers, which: (bool, u16)) {
    let closed = wait::until("the window is closed", || {
        let ledgers = ledgers.lock().expect("no holder panicked");
        let probes = ledgers.get(&which).map_or(0, |ledger| ledger.probes);
        Ok((probes > 0).then_some(()))
    });
    closed.expect("the sender sends until it is");
}

/// Everything that is known of the uploads.
struct Scene {
    /// What tcpdump saw where they were sent, and where they arrived.
    sent: Recorded,
    arrived: Recorded,
    ledgers: HashMap<(bool, u16), Ledger>,
    /// What the sending kernel says, by the same.
    kernel: HashMap<(bool, u16), HashMap<String, f64>>,
}

impl Scene {
    fn play() -> Result<Self> {
        let lab = Lab::new()?;
        let ledgers = Ledgers::default();
        let fates = [
            fate_of_data(Arc::clone(&ledgers)),
            fate_of_acknowledgments(Arc::clone(&ledgers)),
        ];
        let ends = [&lab.host, &lab.peer];
        for end in ends {
            end.sysctl("ipv4/tcp_ecn", "1")?;
        }
        let _path = Path::open(ends, DEVICE, SUBNET, fates)?;
        let [sent, arrived] = ends.map(|end| Tcpdump::start_on((end, DEVICE), TCP));
        let (sent, arrived) = (sent?, arrived?);
        let mut uploads = Vec::new();
        for to in second(SUBNET) {
            for port in PORTS {
                let (which, ledgers) = ((to.is_ipv6(), port), Arc::clone(&ledgers));
                let ready = move || {
                    if port == UNREAD {
                        wait_until_closed(&ledgers, which);
                    }
                };
                uploads.push(((to, port), Upload::start(ends, (to, port), BYTES, ready)?));
            }
        }
        let mut open = Vec::new();
        for ((to, port), upload) in uploads {
            let sender = upload.sender()?;
            open.push(((to.is_ipv6(), port), sender, upload.wait()?));
        }
        let kernel = kernel(&lab, &open, BYTES)?;
        open.into_iter().try_for_each(|(_, _, sent)| sent.close())?;
        wait::until("the receivers have closed", || {
            Ok(ss::figures(&lab.peer)?.is_empty().then_some(()))
        })?;
        let ledgers = ledgers.lock().expect("no holder panicked").clone();
        Ok(Self {
            sent: sent.finish()?,
            arrived: arrived.finish()?,
            ledgers,
            kernel,
        })
    }
}

/// What the kernel says of the senders, once everything is acknowledged.
fn kernel(
    lab: &Lab,
    open: &[((bool, u16), SocketAddr, Sent)],
    bytes: usize,
) -> Result<HashMap<(bool, u16), HashMap<String, f64>>> {
    let figures = |(which, sender, _): &((bool, u16), SocketAddr, Sent)| {
        Ok((*which, ss::once_acknowledged(&lab.host, *sender, bytes)?))
    };
    open.iter().map(figures).collect()
}

/// The figures of all uploads that a file has.
fn figures_of(file: &FilePath) -> Result<Vec<Figures>> {
    let rows = rows::of(file)?;
    ensure!(
        rows.len() == 2 * PORTS.len(),
        "{} connections in {file:?}",
        rows.len()
    );
    rows.into_iter().map(Figures::new).collect()
}

/// Compares with tshark what has to be equal wherever packets are captured.
fn agree_with_tshark(file: &FilePath) -> Result<()> {
    let seen = tshark::of(file, &PORTS)?;
    for figures in figures_of(file)? {
        let seen = seen.get(&figures.which).context("tshark saw it")?;
        seen.agrees(&figures, BYTES as u64, figures.which.1 == CLEAN)?;
    }
    Ok(())
}

/// Compares with the kernel's figures what was captured where it sent.
fn agree_with_the_kernel(scene: &Scene) -> Result<()> {
    for figures in figures_of(&scene.sent.file())? {
        let kernel = &scene.kernel[&figures.which];
        let counted = |name: &str| kernel.get(name).map_or(0, |count| *count as u64);
        // It was asked before the end: further packets are FIN, and what acknowledges the other one.
        let fins = figures.count("client_fin_packets");
        let behind = fins + figures.count("server_fin_packets");
        for (column, expected) in [
            ("client_retransmit_packets", counted("retrans") + fins - 1),
            ("client_retransmit_bytes", counted("bytes_retrans")),
            ("client_payload_packets", counted("data_segs_out")),
            ("client_packets", counted("segs_out") + behind),
            ("client_segments", counted("segs_out") + behind),
            ("client_largest_segment_bytes", counted("mss")),
            ("client_upstream_lost_packets", 0),
            ("client_reordered_packets", 0),
            ("client_duplicate_packets", 0),
        ] {
            figures.has(column, expected)?;
        }
        if behind == 2 {
            figures.has("server_dsacks", counted("dsack_dups"))?;
        }
        // The kernel's own clock is in milliseconds where it takes the time from timestamps.
        let least =
            ["client_min_rtt_us", "client_ts_min_rtt_us"].map(|column| figures.count(column));
        let least = least.into_iter().min().unwrap_or(0) as f64 / 1e3;
        let said = kernel["minrtt"];
        ensure!((said - least).abs() < 1.5, "{said} ms; {}", figures.text());
    }
    Ok(())
}

/// Compares with what the path did what was captured before it.
fn agree_before_the_path(scene: &Scene) -> Result<()> {
    for figures in figures_of(&scene.sent.file())? {
        figures.has("client_payload_packets", scene.ledgers[&figures.which].data)?;
        let [again, timeouts, fast, spurious] = ["", "timeout_", "fast_", "spurious_"]
            .map(|reason| figures.count(&format!("client_{reason}retransmit_packets")));
        let as_expected = match figures.which.1 {
            LOST => fast > 0 && timeouts + fast <= again,
            INTERRUPTED => timeouts > 0,
            // Nothing was lost.
            OVERTAKEN => again == 0 || spurious > 0,
            UNREAD => {
                let closed = Duration::from_micros(figures.count("server_zero_window_us"));
                figures.count("client_window_probes") > 0 && closed > Duration::from_millis(100)
            }
            _ => true,
        };
        ensure!(as_expected, "{}", figures.text());
    }
    Ok(())
}

/// Compares with what the path did what was captured behind it.
fn agree_behind_the_path(scene: &Scene) -> Result<()> {
    for figures in figures_of(&scene.arrived.file())? {
        let ledger = scene.ledgers[&figures.which];
        let arrived = ledger.data - ledger.lost + ledger.doubled;
        figures.has("client_payload_packets", arrived)?;
        figures.has("server_zero_windows", ledger.closed)?;
        let [again, upstream_lost, reordered, duplicates] =
            ["retransmit", "upstream_lost", "reordered", "duplicate"]
                .map(|what| figures.count(&format!("client_{what}_packets")));
        let sent_again = scene.kernel[&figures.which].get("retrans");
        let sent_again = sent_again.map_or(0, |count| *count as u64);
        let sent_again = sent_again + figures.count("client_fin_packets") - 1;
        let as_expected = match figures.which.1 {
            LOST => (1..=ledger.lost).contains(&upstream_lost),
            OVERTAKEN => (1..=ledger.late + sent_again).contains(&reordered),
            DOUBLED => duplicates > 0,
            MARKED => figures.count("client_ce_packets") == ledger.marked,
            // It opens while the probe is on its way.
            UNREAD => {
                figures.count("client_window_probes") + figures.count("client_keep_alives") > 0
            }
            _ => true,
        };
        let what = format!("{ledger:?} {}", figures.text());
        ensure!(as_expected, "{sent_again}: {what}");
        // What was overtaken, or doubled, is told from what was sent again for it.
        ensure!(again <= sent_again, "{sent_again}: {what}");
    }
    Ok(())
}

/// Compares with tcptrace what it and we define alike.
fn agree_with_tcptrace(file: &FilePath) -> Result<()> {
    let traced = tcptrace::of(file)?;
    for figures in figures_of(file)? {
        let address = figures.row["client_ip"].as_str().unwrap_or_default();
        let port = u16::try_from(figures.count("client_port"))?;
        let client = SocketAddr::new(address.parse()?, port);
        let traced = traced.iter().find(|connection| connection.first == client);
        let traced = traced.with_context(|| format!("tcptrace has no {client}"))?;
        for (end, said) in ["client", "server"].into_iter().zip(&traced.figures) {
            for (column, name) in [
                ("packets", "total packets"),
                ("payload_packets", "actual data pkts"),
                ("payload_bytes", "actual data bytes"),
                ("goodput_bytes", "unique bytes sent"),
                ("pure_acks", "pure acks sent"),
                ("sacks", "sack pkts sent"),
                ("dsacks", "dsack pkts sent"),
                ("window_max_bytes", "max win adv"),
                ("zero_windows", "zero win adv"),
                ("largest_segment_bytes", "max segm size"),
            ] {
                let expected = *said
                    .get(name)
                    .with_context(|| format!("{name} in {said:?}"))?;
                figures.has(&format!("{end}_{column}"), expected as u64)?;
            }
        }
        let said = |name: &str| traced.figures[0].get(name).copied().unwrap_or(-1.0);
        let not_in_order = (said("rexmt data pkts") + said("outoforder pkts")) as u64;
        // It leaves out what is sent again into a window that is closed.
        let closed = figures.count("server_zero_windows") > 0;
        let as_many = figures.not_in_order() == not_in_order || closed;
        let least = figures.count("client_min_rtt_us") as f64 / 1e3;
        // It counts a byte too many.
        let in_flight =
            said("max owin") == figures.count("client_in_flight_max_bytes") as f64 + 1.0;
        let missed = said("missed data") == figures.count("client_gap_bytes") as f64;
        let as_short = figures.not_in_order() > 0 || (least - said("RTT min")).abs() < 0.11;
        ensure!(
            as_many && in_flight && missed && as_short,
            "{}: {traced:?}",
            figures.text()
        );
    }
    Ok(())
}

#[test]
fn figures_are_those_of_all_others() -> Result<()> {
    let scene = Scene::play()?;
    for file in [scene.sent.file(), scene.arrived.file()] {
        agree_with_tshark(&file).with_context(|| format!("tshark on {file:?}"))?;
        agree_with_tcptrace(&file).with_context(|| format!("tcptrace on {file:?}"))?;
    }
    agree_with_the_kernel(&scene).context("the kernel")?;
    agree_before_the_path(&scene).context("before the path")?;
    agree_behind_the_path(&scene).context("behind the path")
}

#[test]
fn segments_that_offloads_have_merged_are_counted() -> Result<()> {
    let lab = Lab::new()?;
    let ends = [&lab.host, &lab.peer];
    let tcpdump = Tcpdump::start(&lab.host)?;
    let mut open = Vec::new();
    for to in second(0) {
        let upload = Upload::start(ends, (to, CLEAN), 10 * BYTES, || {})?;
        open.push(((to.is_ipv6(), CLEAN), upload.sender()?, upload.wait()?));
    }
    let kernel = kernel(&lab, &open, 10 * BYTES)?;
    open.into_iter().try_for_each(|(_, _, sent)| sent.close())?;
    wait::until("the receivers have closed", || {
        Ok(ss::figures(&lab.peer)?.is_empty().then_some(()))
    })?;
    for row in rows::of(&tcpdump.finish()?.file())? {
        let figures = Figures::new(row)?;
        let counted = |name: &str| {
            kernel[&figures.which]
                .get(name)
                .map_or(0, |count| *count as u64)
        };
        let behind = figures.count("client_fin_packets") + figures.count("server_fin_packets");
        figures.has("client_segments", counted("segs_out") + behind)?;
        figures.has("client_retransmit_packets", counted("retrans"))?;
        figures.has("client_acked_bytes", 10 * BYTES as u64)?;
        let merged = figures.count("client_offloaded_packets");
        ensure!(merged > 0, "{}", figures.text());
        ensure!(
            figures.count("client_packets") < figures.count("client_segments"),
            "{}",
            figures.text()
        );
    }
    Ok(())
}
