//! UDP: what is kept of it, and which packets are of one flow.

use std::time::Duration;

use kernel_tests::frames::{
    ETHERNET, PAYLOAD, answer_v4, authentication, behind, datagram_v4, datagram_v6, extension,
    frame_v4, ipv4, with_extensions,
};
use kernel_tests::kernel::{Kernel, Taken, UDP_FLOWS};
use model::Filters;
use packet_headers_common::record::TCP_SYN;
use packet_headers_common::{KernelDiscard, PacketCounter};

use crate::admission::key;
use crate::offloads::context;
use crate::tunnels;

const PROGRAMS: [&str; 4] = [
    "ph_eth_ingress",
    "ph_eth_egress",
    "ph_raw_ingress",
    "ph_raw_egress",
];

/// Bytes of Ethernet, IPv4 and UDP headers.
const HEADERS: usize = 14 + 20 + 8;

/// Runs a program on UDP of which it must take the first `headers` bytes.
pub(crate) fn takes(kernel: &mut Kernel, program: &str, frame: &[u8], headers: usize) -> Taken {
    let taken = kernel.takes(program, frame);
    assert_eq!(taken.headers, frame[..headers]);
    assert_eq!(taken.wire_len, frame.len() as u32);
    assert!(taken.datagram.is_some() && taken.admitted && taken.entry == 0);
    taken
}

/// The same; it must begin a flow, or not.
fn begins(kernel: &mut Kernel, frame: &[u8], headers: usize) -> bool {
    let taken = takes(kernel, "ph_eth_ingress", frame, headers);
    assert_eq!(taken.tcp_flags & !TCP_SYN, 0);
    taken.tcp_flags == TCP_SYN
}

/// The frame of another flow.
fn other(number: u16) -> Vec<u8> {
    let mut frame = datagram_v4(PAYLOAD);
    frame[34..36].copy_from_slice(&number.to_be_bytes());
    frame[29] = 77;
    frame
}

#[test]
fn udp_ends_with_its_header_to_the_byte() {
    for program in PROGRAMS {
        let mut kernel = Kernel::of_udp();
        let skipped = if program.contains("raw") { ETHERNET } else { 0 };
        for payload in [&[][..], &PAYLOAD[..1], PAYLOAD] {
            let frame = &datagram_v4(payload)[skipped..];
            let taken = takes(&mut kernel, program, frame, HEADERS - skipped);
            assert_eq!(taken.offsets, [14, 34].map(|at| at - skipped as u16));
            assert_eq!((taken.key, taken.source_port), (key(), 50_000));
            let frame = &datagram_v6(payload)[skipped..];
            takes(&mut kernel, program, frame, HEADERS + 20 - skipped);
        }
    }
}

#[test]
fn what_precedes_udp_may_have_any_form() {
    let mut kernel = Kernel::of_udp();
    let mut takes = |frame: &[u8]| {
        takes(
            &mut kernel,
            "ph_eth_ingress",
            frame,
            frame.len() - PAYLOAD.len(),
        );
    };
    let plain = datagram_v4(PAYLOAD);
    takes(&behind(&[0x81, 0, 0, 7, 0x08, 0], &plain));
    takes(&behind(&[0x88, 0xa8, 0, 9, 0x81, 0, 0, 7, 0x08, 0], &plain));
    takes(&behind(&[0x88, 0x47, 0, 1, 0x01, 64], &plain));
    // IPv4 options.
    let mut options = plain[..34].to_vec();
    options[14] = 0x4f;
    options[16..18].copy_from_slice(&(60 + 708_u16).to_be_bytes());
    options.extend([1; 40]);
    options.extend(&plain[34..]);
    takes(&options);
    // Authentication.
    let mut signed = plain[..34].to_vec();
    signed[16..18].copy_from_slice(&(20 + 24 + 708_u16).to_be_bytes());
    signed[23] = 51;
    signed.extend(authentication(17, 6));
    signed.extend(&plain[34..]);
    takes(&signed);
    let plain = datagram_v6(PAYLOAD);
    let run = [(0, extension(2)), (60, extension(1)), (43, extension(3))];
    takes(&with_extensions(&plain, &run));
    takes(&with_extensions(&plain, &[(43, extension(100))]));
    let mut first_fragment = extension(1);
    first_fragment[3] = 1;
    takes(&with_extensions(&plain, &[(44, first_fragment)]));
}

#[test]
fn of_fragments_the_first_has_the_header() {
    let mut kernel = Kernel::of_udp();
    let mut fragment = datagram_v4(PAYLOAD);
    // More follow, and the datagram is longer than this one.
    fragment[20] = 0x20;
    fragment[38..40].copy_from_slice(&4000_u16.to_be_bytes());
    takes(&mut kernel, "ph_eth_ingress", &fragment, HEADERS);
    fragment[21] = 90;
    kernel.discards(&fragment, KernelDiscard::NotTcp);
    let mut later = extension(1);
    later[2] = 1;
    let later = with_extensions(&datagram_v6(PAYLOAD), &[(44, later)]);
    kernel.discards(&later, KernelDiscard::LaterFragment);
}

#[test]
fn lengths_that_lie_change_nothing_and_what_has_no_header_is_malformed() {
    let mut kernel = Kernel::of_udp();
    let plain = datagram_v4(PAYLOAD);
    for told in [0, 7, 8, 1000, u16::MAX] {
        let mut frame = plain.clone();
        frame[38..40].copy_from_slice(&u16::to_be_bytes(told));
        takes(&mut kernel, "ph_eth_ingress", &frame, HEADERS);
    }
    // One that the NIC has yet to split does not tell its length.
    let mut large = plain.clone();
    large[16..18].fill(0);
    takes(&mut kernel, "ph_eth_ingress", &large, HEADERS);
    // A short frame is padded.
    let padded = [&datagram_v4(&[])[..], &[0xa5; 18]].concat();
    takes(&mut kernel, "ph_eth_ingress", &padded, HEADERS);
    for length in 20..28 {
        let mut short = plain.clone();
        short[16..18].copy_from_slice(&u16::to_be_bytes(length));
        kernel.discards(&short, KernelDiscard::Malformed);
        let cut = usize::from(length) + ETHERNET;
        kernel.discards(&plain[..cut], KernelDiscard::Malformed);
    }
    let mut mapped = datagram_v6(PAYLOAD);
    for at in [22, 38] {
        mapped[at..at + 12].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
    }
    kernel.discards(&mapped, KernelDiscard::Malformed);
    let nine: Vec<_> = (0..9).map(|_| (60, extension(1))).collect();
    let nine = with_extensions(&datagram_v6(PAYLOAD), &nine);
    kernel.discards(&nine, KernelDiscard::HeadersTooLong);
}

#[test]
fn headers_that_are_longer_than_a_record_may_keep_are_cut() {
    let mut kernel = Kernel::load(&Filters::default(), |options| {
        options.udp_flows = Some(UDP_FLOWS);
        options.header_bytes = 64;
        options.hardware_clock = true;
    });
    let whole = datagram_v6(PAYLOAD);
    let taken = takes(&mut kernel, "ph_eth_ingress", &whole, 62);
    assert!(!taken.truncated);
    let cut = with_extensions(&whole, &[(60, extension(1))]);
    let taken = takes(&mut kernel, "ph_eth_ingress", &cut, 64);
    assert!(taken.truncated && taken.source_port == 50_000);
}

#[test]
fn a_datagram_tells_for_how_many_it_stands() {
    let mut kernel = Kernel::of_udp();
    for (segments, size, want) in [(0, 0, 1), (12, 1200, 12), (0, 100, 7), (0, 300, 3)] {
        let context = context(segments, size);
        let outcome = kernel.run_with("ph_eth_egress", &datagram_v4(PAYLOAD), Some(&context));
        assert_eq!(outcome.expect("a record").segments, want);
    }
}

#[test]
fn a_flow_begins_with_its_first_packet_and_has_two_directions() {
    let mut kernel = Kernel::of_udp();
    let (frame, answer) = (datagram_v4(PAYLOAD), answer_v4(&datagram_v4(PAYLOAD)));
    assert!(begins(&mut kernel, &frame, HEADERS));
    assert!(!begins(&mut kernel, &frame, HEADERS));
    assert!(!begins(&mut kernel, &answer, HEADERS));
    let taken = takes(&mut kernel, "ph_eth_ingress", &answer, HEADERS);
    assert_eq!((taken.key, taken.source_port), (key(), 443));
    assert!(begins(&mut kernel, &other(1), HEADERS));
    // A copy, where the flow is not captured.
    let copy = kernel.run("ph_eth_egress", &frame);
    assert_eq!(copy, Err(KernelDiscard::Duplicate));
}

#[test]
fn a_flow_begins_again_after_a_silence() {
    let mut kernel = Kernel::of_udp();
    let frame = datagram_v4(PAYLOAD);
    assert!(begins(&mut kernel, &frame, HEADERS));
    kernel.filters.set_udp_silence(Duration::ZERO);
    assert!(begins(&mut kernel, &frame, HEADERS));
    kernel.filters.set_udp_silence(Duration::from_secs(30));
    assert!(!begins(&mut kernel, &frame, HEADERS));
}

#[test]
fn a_flow_is_captured_for_as_long_as_a_connection() {
    let mut kernel = Kernel::of_udp();
    let frame = datagram_v4(PAYLOAD);
    kernel.filters.set_capture(Duration::ZERO);
    assert!(begins(&mut kernel, &frame, HEADERS));
    kernel.discards(&frame, KernelDiscard::AfterCapture);
    // Nor is there more of it when others have more time.
    kernel.filters.set_capture(Duration::from_secs(30));
    kernel.discards(&frame, KernelDiscard::AfterCapture);
    kernel.discards(&answer_v4(&frame), KernelDiscard::AfterCapture);
    assert!(begins(&mut kernel, &other(1), HEADERS));
}

#[test]
fn filters_leave_flows_out() {
    let filters = Filters {
        ports: vec![53],
        ..Filters::default()
    };
    let mut kernel = Kernel::load(&filters, |options| options.udp_flows = Some(UDP_FLOWS));
    kernel.discards(&datagram_v4(PAYLOAD), KernelDiscard::Filtered);
    assert!(begins(&mut kernel, &other(53), HEADERS));
    // One that is captured stays so.
    kernel
        .filters
        .replace(&Filters::default(), || {})
        .expect("no filters");
    assert!(begins(&mut kernel, &datagram_v4(PAYLOAD), HEADERS));
    kernel
        .filters
        .replace(&filters, || {})
        .expect("the filters");
    assert!(!begins(&mut kernel, &datagram_v4(PAYLOAD), HEADERS));
}

#[test]
fn a_flood_of_flows_does_not_end_one_that_is_active() {
    let mut kernel = Kernel::of_udp();
    let active = datagram_v4(PAYLOAD);
    assert!(begins(&mut kernel, &active, HEADERS));
    for number in 0..3 * UDP_FLOWS as u16 {
        assert!(begins(&mut kernel, &other(number), HEADERS));
        if number % 64 == 0 {
            assert!(!begins(&mut kernel, &active, HEADERS), "{number}");
        }
    }
}

#[test]
fn a_full_ring_of_udp_leaves_connections_theirs() {
    let mut kernel = Kernel::of_udp();
    let sent = 2000;
    let frame = datagram_v4(PAYLOAD);
    let options = aya::programs::TestRunOptions {
        data_in: Some(&frame),
        repeat: sent,
        ..aya::programs::TestRunOptions::default()
    };
    let program = kernel.programs.classifier("ph_eth_ingress").expect("one");
    aya::programs::TestRun::test_run(program, options).expect("a test run");
    let reader = kernel.datagrams.as_mut().expect("a reader");
    let records = reader.read(usize::MAX).records().count() as u64;
    let counts = kernel.counters.read().expect("counters").packets;
    assert_eq!(counts.get(PacketCounter::Seen), u64::from(sent));
    assert_eq!(counts.get(PacketCounter::Submitted), records);
    let lost = counts.discarded(KernelDiscard::UdpRingFull);
    assert_eq!(lost, u64::from(sent) - records);
    assert!(lost > 0);
    kernel.captures("ph_eth_ingress", &frame_v4(&[], PAYLOAD), 54);
}

#[test]
fn connections_and_other_protocols_are_what_they_were() {
    let mut kernel = Kernel::of_udp();
    kernel.captures("ph_eth_ingress", &frame_v4(&[], PAYLOAD), 54);
    let mut other = datagram_v4(PAYLOAD);
    // UDP-Lite, SCTP, and echo.
    for protocol in [136, 132, 1] {
        other[23] = protocol;
        kernel.discards(&other, KernelDiscard::NotTcp);
    }
    Kernel::plain().discards(&datagram_v4(PAYLOAD), KernelDiscard::NotTcp);
}

#[test]
fn a_tunnel_is_a_flow_unless_it_is_opened() {
    let mut plain = Kernel::of_udp();
    let mut opening = Kernel::load(&Filters::default(), |options| {
        options.udp_flows = Some(UDP_FLOWS);
        options.decapsulate = true;
    });
    for inner in [datagram_v4(PAYLOAD), datagram_v6(PAYLOAD)] {
        for (protocol, carried) in tunnels::tunnels(&inner) {
            for six in [false, true] {
                let frame = tunnels::outer(six, protocol, &carried);
                let end = frame.len() - PAYLOAD.len();
                let taken = takes(&mut opening, "ph_eth_ingress", &frame, end);
                assert_eq!(
                    (taken.source_port, taken.offsets[1]),
                    (50_000, end as u16 - 8)
                );
                if protocol == 17 {
                    let outer = if six { 62 } else { 42 };
                    let taken = takes(&mut plain, "ph_eth_ingress", &frame, outer);
                    assert_eq!(taken.source_port, 0xc001);
                } else {
                    plain.discards(&frame, KernelDiscard::NotTcp);
                }
            }
        }
    }
    // A connection inside is one.
    let tcp = frame_v4(&[], PAYLOAD);
    for (protocol, carried) in tunnels::tunnels(&tcp) {
        let frame = tunnels::outer(false, protocol, &carried);
        opening.captures("ph_eth_ingress", &frame, frame.len() - PAYLOAD.len());
    }
}

#[test]
fn what_only_looks_like_a_tunnel_is_a_flow() {
    let mut kernel = Kernel::load(&Filters::default(), |options| {
        options.udp_flows = Some(UDP_FLOWS);
        options.decapsulate = true;
    });
    for carried in [
        tunnels::udp(4789, &[&[0; 8][..], PAYLOAD].concat()),
        tunnels::udp(6081, &[&[0x40; 8][..], PAYLOAD].concat()),
        tunnels::udp(53, PAYLOAD),
        tunnels::udp(4789, &[]),
    ] {
        let frame = tunnels::outer(false, 17, &carried);
        takes(&mut kernel, "ph_eth_ingress", &frame, HEADERS);
    }
    // Nor does one count that has no IP inside.
    let arp = behind(&[0x08, 0x06], &datagram_v4(PAYLOAD));
    let carried = tunnels::udp(4789, &[&[8, 0, 0, 0, 0, 0, 42, 0], &arp[..]].concat());
    let frame = tunnels::outer(false, 17, &carried);
    takes(&mut kernel, "ph_eth_ingress", &frame, HEADERS);
    let two = tunnels::outer(false, 4, &ipv4(4, &datagram_v4(PAYLOAD)[ETHERNET..]));
    kernel.discards(&two, KernelDiscard::NotTcp);
}
