//! What the kernel program costs by itself: nanoseconds for a packet, by what becomes of it, and by how
//! many processors do the same.
//!
//! Needs root. `cargo bench -p kernel-tests` prints a table, and writes
//! `target/bench/program.json`.

mod flows;
mod producers;

use std::path::Path;
use std::{fs, io};

use aya::programs::{TestRun as _, TestRunOptions};
use etherparse::TcpOptionElement;
use kernel_tests::frames::{frame_v4, frame_v6};
use kernel_tests::kernel::{Kernel, in_a_minute};
use model::Filters;
use packet_headers::clock;
use packet_headers_common::record::record_len;
use packet_headers_common::{Endpoint, FlowKey, KernelDiscard, PacketCounter};
use serde_json::json;

/// Rounds, in each of which every case has its turn: what disturbs the machine disturbs them all.
const ROUNDS: usize = 51;

/// Runs of the program in a turn.
const RUNS: u32 = 4096;

/// Bytes of a ring: the records of a turn fill less than a quarter of it.
const RING: u32 = 4 << 20;

const _: () = assert!(RUNS as usize * record_len(0, 88) < RING as usize / 4);

/// The payload of a full-size packet with timestamps.
const FULL: &[u8] = &[0; 1448];

/// One way through the program.
struct Case {
    name: &'static str,
    program: &'static str,
    frame: Vec<u8>,
    /// What becomes of the packet.
    outcome: Result<(), KernelDiscard>,
    /// Nanoseconds for a packet, of each round.
    took: Vec<u64>,
    /// Bytes of the ring that its record takes.
    ring: u64,
}

fn main() -> io::Result<()> {
    let mut kernel = Kernel::load(&Filters::default(), |options| {
        options.admitted_ring = RING;
        options.candidate_ring = RING;
    });
    let mut cases = cases();
    know(&mut kernel);
    for _ in 0..ROUNDS {
        for case in &mut cases {
            turn(&mut kernel, case);
        }
    }
    println!(
        "{:32} {:>9} {:>9} {:>9}",
        "ns per packet", "median", "least", "of ring"
    );
    let mut rows = Vec::new();
    for case in &mut cases {
        case.took.sort_unstable();
        let (median, least) = (case.took[ROUNDS / 2], case.took[0]);
        println!("{:32} {median:>9} {least:>9} {:>9}", case.name, case.ring);
        rows.push(json!({
            "case": case.name, "bytes": case.frame.len(), "median_ns": median, "least_ns": least,
            "ring_bytes": case.ring,
        }));
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../bench");
    fs::create_dir_all(&directory)?;
    let flows = flows::run();
    let producers = producers::run();
    let page = json!({
        "rounds": ROUNDS, "runs": RUNS, "cases": rows, "flows": flows, "producers": producers,
    });
    fs::write(directory.join("program.json"), format!("{page:#}\n"))
}

/// Each connection has a source port of its own.
fn cases() -> Vec<Case> {
    let mut arp = ack(1, &[]);
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    let bare = frame_v4(&[], &[]);
    assert_eq!(bare[34..36], CAPTURED.to_be_bytes());
    let mut udp = ack(1, &[]);
    udp[23] = 17;
    let ingress = |name, frame, outcome| Case {
        name,
        program: "ph_eth_ingress",
        frame,
        outcome,
        took: Vec::with_capacity(ROUNDS),
        ring: 0,
    };
    vec![
        ingress("not IP: ARP", arp, Err(KernelDiscard::NotIp)),
        ingress("not TCP: UDP", udp, Err(KernelDiscard::NotTcp)),
        ingress("captured: ACK", ack(CAPTURED, &[]), Ok(())),
        ingress("captured: full size", ack(CAPTURED, FULL), Ok(())),
        ingress("captured: ACK over IPv6", ack_v6(), Ok(())),
        ingress("captured: no timestamps", bare, Ok(())),
        ingress("of no known connection", ack(1, &[]), Ok(())),
        Case {
            program: "ph_eth_egress",
            ..ingress(
                "duplicate",
                ack(CAPTURED, &[]),
                Err(KernelDiscard::Duplicate),
            )
        },
        ingress(
            "past its deadline",
            ack(PAST, &[]),
            Err(KernelDiscard::AfterCapture),
        ),
        ingress("done", ack(DONE, &[]), Err(KernelDiscard::AfterCapture)),
        ingress("ignored", ack(IGNORED, &[]), Err(KernelDiscard::Ignored)),
    ]
}

const CAPTURED: u16 = 50_000;
const PAST: u16 = 50_001;
const DONE: u16 = 50_002;
const IGNORED: u16 = 50_003;

/// Tells the kernel of the cases' connections.
fn know(kernel: &mut Kernel) {
    let admission = &mut kernel.admission;
    let hour = in_a_minute().after(std::time::Duration::from_secs(3600));
    admission.admit(&key(CAPTURED), hour, 0);
    admission.admit(&key_v6(), hour, 0);
    admission.admit(&key(PAST), clock::now(), 0);
    admission.admit(&key(DONE), hour, 0);
    admission.retire(&key(DONE), 0);
    admission.ignore(&key(IGNORED));
}

/// Runs a case's program on its frame.
fn turn(kernel: &mut Kernel, case: &mut Case) {
    let before = counted(kernel, case.outcome);
    let options = TestRunOptions {
        data_in: Some(&case.frame),
        repeat: RUNS,
        ..TestRunOptions::default()
    };
    let program = kernel.programs.classifier(case.program).expect("one");
    let result = program.test_run(options).expect("a test run");
    drop(kernel.packets.read(usize::MAX));
    let fill = kernel.packets.fill();
    case.ring = (fill.admitted + fill.candidate) / u64::from(RUNS);
    let after = counted(kernel, case.outcome);
    assert_eq!(after - before, u64::from(RUNS), "{}", case.name);
    let took = u64::try_from(result.duration.as_nanos());
    case.took.push(took.expect("a short time"));
}

/// How many packets the programs have counted with this outcome.
fn counted(kernel: &Kernel, outcome: Result<(), KernelDiscard>) -> u64 {
    let counts = kernel.counters.read().expect("counters").packets;
    match outcome {
        Ok(()) => counts.get(PacketCounter::Submitted),
        Err(reason) => counts.discarded(reason),
    }
}

/// A frame of a connection over IPv4: 66 bytes of headers.
fn ack(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame_v4(&TIMESTAMPS, payload);
    frame[34..36].copy_from_slice(&port.to_be_bytes());
    frame
}

const TIMESTAMPS: [TcpOptionElement; 3] = [
    TcpOptionElement::Noop,
    TcpOptionElement::Noop,
    TcpOptionElement::Timestamp(1, 2),
];

/// A frame over IPv6: 86 bytes of headers.
fn ack_v6() -> Vec<u8> {
    /// Where the IPv6 header tells its payload's length.
    const LENGTH: usize = 18;
    /// Where the TCP header tells its own.
    const OFFSET: usize = 66;
    let mut frame = frame_v6(&[0; 12]);
    // The payload becomes options.
    frame[OFFSET] = 8 << 4;
    assert_eq!(frame[LENGTH..][..2], 32u16.to_be_bytes());
    frame
}

fn key(port: u16) -> FlowKey {
    FlowKey::new(
        Endpoint::v4([192, 0, 2, 1], port),
        Endpoint::v4([192, 0, 2, 2], 443),
    )
}

fn key_v6() -> FlowKey {
    let end = |last, port| Endpoint::v6([0x2001_0db8 << 32, last], port);
    FlowKey::new(end(1, CAPTURED), end(2, 443))
}
