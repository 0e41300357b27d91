//! The real programs under the real verifier, fed with crafted frames; no network is touched.
//!
//! Needs root, or CAP_BPF with CAP_NET_ADMIN and CAP_PERFMON.

mod admission;
mod frames;

use std::time::Duration;

use aya::programs::{TestRun as _, TestRunOptions};
use etherparse::TcpOptionElement;
use packet_headers::clock::BootNanos;
use packet_headers::config::Filters;
use packet_headers::kernel::load::Rings;
use packet_headers::kernel::ring::PacketReader;
use packet_headers::kernel::{Admission, KernelCounters, LoadOptions, Programs, filters};
use packet_headers_common::{Counter, Direction, LinkType, Packet};

use crate::admission::{in_a_minute, key};
use crate::frames::{PAYLOAD, extension, frame_v4, frame_v6, with_extensions};

/// `TC_ACT_UNSPEC`: the next program decides.
const TC_ACT_UNSPEC: u32 = u32::MAX;

struct Kernel {
    programs: Programs,
    counters: KernelCounters,
    admission: Admission,
    packets: PacketReader,
}

/// What became of one frame.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    counter: Counter,
    /// Header bytes and wire length, when there is a record.
    record: Option<(Vec<u8>, u32)>,
}

impl Kernel {
    fn new() -> Self {
        Self::with(&Filters::default())
    }

    fn with(filters: &Filters) -> Self {
        let options = LoadOptions {
            shards: 1,
            admitted_ring: 64 * 1024,
            candidate_ring: 64 * 1024,
            netns_cookie: None,
            capture: Duration::from_secs(30),
            max_flows: 16,
            wanted: filters::wanted(filters),
            filters: filters::bits(filters),
        };
        let (mut programs, rings) = Programs::load(&options).expect("loading the programs");
        filters::set(&mut programs, filters).expect("setting the filters");
        let Rings { mut packets, .. } = rings;
        Self {
            counters: programs.take_counters().expect("the counters"),
            admission: programs.take_admission().expect("the maps of flows"),
            packets: PacketReader::new(packets.remove(0)).expect("a reader"),
            programs,
        }
    }

    /// Runs a program once on a frame; says which counter moved and what is in the ring.
    fn run(&mut self, program: &str, frame: &[u8]) -> Outcome {
        let before = self.counters.read().expect("counters");
        let options = TestRunOptions {
            data_in: Some(frame),
            ..TestRunOptions::default()
        };
        let program = self.programs.classifier(program).expect("a classifier");
        let result = program.test_run(options).expect("a test run");
        assert_eq!(
            result.return_value, TC_ACT_UNSPEC,
            "the verdict is not ours"
        );
        let after = self.counters.read().expect("counters");
        let moved: Vec<_> = Counter::ALL
            .iter()
            .filter(|&&counter| after.get(counter) != before.get(counter))
            .collect();
        let [Counter::Seen, counter] = moved[..] else {
            panic!("one packet is seen and has one outcome, not {moved:?}");
        };
        assert_eq!(after.get(*counter), before.get(*counter) + 1);
        let mut record = None;
        self.packets.drain(1, |item| {
            let packet = Packet::parse(item).expect("a record that can be read");
            record = Some((packet.headers.to_vec(), packet.wire_len));
        });
        Outcome {
            counter: *counter,
            record,
        }
    }

    /// Runs a frame whose first `headers` bytes must come out, and nothing else.
    fn captures(&mut self, program: &str, frame: &[u8], headers: usize) {
        let want = Outcome {
            counter: Counter::Submitted,
            record: Some((frame[..headers].to_vec(), frame.len() as u32)),
        };
        assert_eq!(self.run(program, frame), want);
    }

    /// Runs a frame that must be counted, not captured.
    fn refuses(&mut self, frame: &[u8], counter: Counter) {
        let want = Outcome {
            counter,
            record: None,
        };
        assert_eq!(self.run("ph_eth_ingress", frame), want);
    }
}

#[test]
fn headers_come_out_to_the_byte_and_no_payload() {
    let mut kernel = Kernel::new();
    let all_options = [
        TcpOptionElement::MaximumSegmentSize(1460),
        TcpOptionElement::SelectiveAcknowledgementPermitted,
        TcpOptionElement::Timestamp(1, 2),
        TcpOptionElement::WindowScale(7),
        TcpOptionElement::SelectiveAcknowledgement((1, 2), [None, None, None]),
    ];
    for count in 0..=all_options.len() {
        let options = &all_options[..count];
        for payload in [&[][..], &PAYLOAD[..1], PAYLOAD] {
            let frame = frame_v4(options, payload);
            kernel.captures("ph_eth_ingress", &frame, frame.len() - payload.len());
        }
    }
    for payload in [&[][..], PAYLOAD] {
        let frame = frame_v6(payload);
        kernel.captures("ph_eth_egress", &frame, 74);
    }
}

#[test]
fn ipv4_options_are_kept() {
    let mut kernel = Kernel::new();
    let plain = frame_v4(&[], PAYLOAD);
    let mut frame = plain[..34].to_vec();
    frame[14] = 0x4f;
    frame.extend([1; 40]);
    frame.extend(&plain[34..]);
    kernel.captures("ph_eth_ingress", &frame, 14 + 60 + 20);
}

#[test]
fn extension_headers_are_kept_in_any_number_up_to_the_bound() {
    let mut kernel = Kernel::new();
    let plain = frame_v6(PAYLOAD);
    let mut first_fragment = extension(1);
    first_fragment[3] = 1;
    let runs: [&[(u8, Vec<u8>)]; 5] = [
        &[(0, extension(1))],
        &[(0, extension(2)), (60, extension(1)), (43, extension(3))],
        &[(44, first_fragment)],
        // RFC 4302: length in units of 4 bytes, minus 2.
        &[(51, {
            let mut ah = vec![0u8; 24];
            ah[1] = 4;
            ah
        })],
        // Longer than any fixed snap length would keep.
        &[(43, extension(100))],
    ];
    for run in runs {
        let length: usize = run.iter().map(|(_, bytes)| bytes.len()).sum();
        let frame = with_extensions(&plain, run);
        kernel.captures("ph_eth_ingress", &frame, 74 + length);
    }
    let eight: Vec<_> = (0..8).map(|_| (60, extension(1))).collect();
    kernel.captures("ph_eth_ingress", &with_extensions(&plain, &eight), 74 + 64);
    let nine: Vec<_> = (0..9).map(|_| (60, extension(1))).collect();
    kernel.refuses(&with_extensions(&plain, &nine), Counter::HeadersTooLong);
    let huge = [(43, extension(128))];
    kernel.refuses(&with_extensions(&plain, &huge), Counter::HeadersTooLong);
}

#[test]
fn tags_in_the_packet_are_kept() {
    let mut kernel = Kernel::new();
    let plain = frame_v4(&[], PAYLOAD);
    let mut frame = plain[..12].to_vec();
    frame.extend([0x88, 0xa8, 0x00, 0x64, 0x81, 0x00, 0x00, 0x0a]);
    frame.extend(&plain[12..]);
    kernel.captures("ph_eth_ingress", &frame, 62);
}

#[test]
fn what_is_not_captured_has_its_own_counter() {
    let mut kernel = Kernel::new();
    let plain = frame_v4(&[], PAYLOAD);
    let change = |at: usize, value: u8| {
        let mut frame = plain.clone();
        frame[at] = value;
        frame
    };
    let mut arp = plain.clone();
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    kernel.refuses(&arp, Counter::NotIp);
    kernel.refuses(&change(23, 17), Counter::NotTcp);
    kernel.refuses(&change(21, 1), Counter::LaterFragment);
    kernel.refuses(&change(14, 0x44), Counter::Malformed);
    kernel.refuses(&change(14, 0x65), Counter::Malformed);
    kernel.refuses(&change(46, 0x40), Counter::Malformed);
    kernel.refuses(&plain[..53], Counter::Malformed);
    kernel.refuses(&plain[..40], Counter::Malformed);
    let v6 = frame_v6(PAYLOAD);
    let mut udp = v6.clone();
    udp[20] = 17;
    kernel.refuses(&udp, Counter::NotTcp);
    let mut later = extension(1);
    later[2] = 1;
    kernel.refuses(
        &with_extensions(&v6, &[(44, later)]),
        Counter::LaterFragment,
    );
    let cut = with_extensions(&v6, &[(0, extension(100))]);
    kernel.refuses(&cut[..100], Counter::Malformed);
}

#[test]
fn a_record_tells_where_when_and_which_way() {
    let mut kernel = Kernel::new();
    let frame = frame_v4(&[], PAYLOAD);
    for (program, direction) in [
        ("ph_eth_ingress", Direction::Ingress),
        ("ph_eth_egress", Direction::Egress),
    ] {
        let before = BootNanos::now().0;
        let options = TestRunOptions {
            data_in: Some(&frame),
            ..TestRunOptions::default()
        };
        let program = kernel.programs.classifier(program).expect("a classifier");
        program.test_run(options).expect("a test run");
        let after = BootNanos::now().0;
        let there_was_one = kernel.packets.drain(1, |item| {
            let packet = Packet::parse(item).expect("a record that can be read");
            assert!((before..=after).contains(&packet.boot_ns));
            assert_eq!(packet.direction, direction);
            assert_eq!(packet.link_type, LinkType::Ethernet);
            assert_eq!(packet.vlan, None);
            assert_eq!(
                (packet.source.port(), packet.destination.port()),
                (50_000, 443)
            );
            assert_eq!(packet.sequence, 7);
        });
        assert_eq!(there_was_one, 1);
    }
}

#[test]
fn a_full_ring_is_counted_to_the_packet() {
    let mut kernel = Kernel::new();
    let frame = frame_v4(&[], PAYLOAD);
    let sent = 2000;
    let options = TestRunOptions {
        data_in: Some(&frame),
        repeat: sent,
        ..TestRunOptions::default()
    };
    let program = kernel.programs.classifier("ph_eth_ingress").expect("one");
    program.test_run(options).expect("a test run");
    let mut records = 0;
    kernel.packets.drain(sent, |_| records += 1);
    let counts = kernel.counters.read().expect("counters");
    assert_eq!(counts.get(Counter::Seen), u64::from(sent));
    assert_eq!(counts.get(Counter::Submitted), records);
    assert_eq!(
        counts.get(Counter::CandidateRingFull),
        u64::from(sent) - records
    );
    assert!(counts.get(Counter::CandidateRingFull) > 0);
    // The other lane has all its room still.
    kernel.admission.admit(&key(), in_a_minute(), 0);
    kernel.captures("ph_eth_ingress", &frame, 54);
}

#[test]
fn an_interface_without_a_link_layer_is_read_from_the_ip_header_on() {
    let mut kernel = Kernel::new();
    for frame in [frame_v4(&[], PAYLOAD), frame_v6(PAYLOAD)] {
        let packet = &frame[14..];
        let headers = if packet[0] == 0x45 { 40 } else { 60 };
        kernel.captures("ph_raw_ingress", packet, headers);
        kernel.captures("ph_raw_egress", packet, headers);
    }
}
