//! The real programs under the real verifier, fed with crafted frames; no network is touched.
//!
//! Needs root, or CAP_BPF with CAP_NET_ADMIN and CAP_PERFMON.

mod admission;
mod budget;
mod closes;
mod entries;
mod icmp;
mod known;
mod limits;
mod links;
mod offloads;
mod quic;
mod sockets;
mod streams;
mod tunnels;
mod udp;

use aya::programs::{TestRun as _, TestRunOptions};
use etherparse::TcpOptionElement;
use kernel_tests::frames::{PAYLOAD, extension, frame_v4, frame_v6, with_extensions};
use kernel_tests::kernel::{Kernel, in_a_minute};
use packet_headers::clock;
use packet_headers_common::{Direction, KernelDiscard, LinkType, Packet, PacketCounter};

use crate::admission::key;

#[test]
fn headers_come_out_to_the_byte_and_no_payload() {
    let mut kernel = Kernel::plain();
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
    let mut kernel = Kernel::plain();
    let plain = frame_v4(&[], PAYLOAD);
    let mut frame = plain[..34].to_vec();
    frame[14] = 0x4f;
    frame[16..18].copy_from_slice(&780u16.to_be_bytes());
    frame.extend([1; 40]);
    frame.extend(&plain[34..]);
    kernel.captures("ph_eth_ingress", &frame, 14 + 60 + 20);
}

#[test]
fn extension_headers_are_kept_in_any_number_up_to_the_bound() {
    let mut kernel = Kernel::plain();
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
    kernel.discards(
        &with_extensions(&plain, &nine),
        KernelDiscard::HeadersTooLong,
    );
}

#[test]
fn what_is_not_captured_has_its_own_counter() {
    let mut kernel = Kernel::plain();
    let plain = frame_v4(&[], PAYLOAD);
    let change = |at: usize, value: u8| {
        let mut frame = plain.clone();
        frame[at] = value;
        frame
    };
    let mut arp = plain.clone();
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    kernel.discards(&arp, KernelDiscard::NotIp);
    kernel.discards(&change(23, 17), KernelDiscard::NotTcp);
    kernel.discards(&change(21, 1), KernelDiscard::LaterFragment);
    kernel.discards(&change(14, 0x44), KernelDiscard::Malformed);
    kernel.discards(&change(14, 0x65), KernelDiscard::Malformed);
    kernel.discards(&change(46, 0x40), KernelDiscard::Malformed);
    kernel.discards(&plain[..53], KernelDiscard::Malformed);
    kernel.discards(&plain[..40], KernelDiscard::Malformed);
    let v6 = frame_v6(PAYLOAD);
    let mut udp = v6.clone();
    udp[20] = 17;
    kernel.discards(&udp, KernelDiscard::NotTcp);
    let mut later = extension(1);
    later[2] = 1;
    kernel.discards(
        &with_extensions(&v6, &[(44, later)]),
        KernelDiscard::LaterFragment,
    );
    let cut = with_extensions(&v6, &[(0, extension(100))]);
    kernel.discards(&cut[..100], KernelDiscard::Malformed);
}

#[test]
fn a_record_tells_where_when_and_which_way() {
    let mut kernel = Kernel::plain();
    let frame = frame_v4(&[], PAYLOAD);
    for (program, direction) in [
        ("ph_eth_ingress", Direction::Ingress),
        ("ph_eth_egress", Direction::Egress),
    ] {
        let before = clock::now().0;
        let options = TestRunOptions {
            data_in: Some(&frame),
            ..TestRunOptions::default()
        };
        let program = kernel.programs.classifier(program).expect("a classifier");
        program.test_run(options).expect("a test run");
        let after = clock::now().0;
        let batch = kernel.packets.read(usize::MAX);
        let record = batch.records().next().expect("a record");
        let packet = Packet::parse(record).expect("a record that can be read");
        assert!((before..=after).contains(&packet.boot_ns));
        assert_eq!(packet.direction, direction);
        assert_eq!(packet.link_type, LinkType::Ethernet);
        assert_eq!(packet.vlan, None);
        let (low, high) = packet.key().ends();
        assert_eq!(packet.source().port(), 50_000);
        assert!([low.port(), high.port()].contains(&443));
        assert_eq!(packet.sequence(), 7);
    }
}

#[test]
fn a_full_ring_is_counted_to_the_packet() {
    let mut kernel = Kernel::plain();
    let frame = frame_v4(&[], PAYLOAD);
    let sent = 2000;
    let options = TestRunOptions {
        data_in: Some(&frame),
        repeat: sent,
        ..TestRunOptions::default()
    };
    let program = kernel.programs.classifier("ph_eth_ingress").expect("one");
    program.test_run(options).expect("a test run");
    let records = kernel.packets.read(usize::MAX).records().count() as u64;
    let counts = kernel.counters.read().expect("counters").packets;
    assert_eq!(counts.get(PacketCounter::Seen), u64::from(sent));
    assert_eq!(counts.get(PacketCounter::Submitted), records);
    let lost = counts.discarded(KernelDiscard::CandidateRingFull);
    assert_eq!(lost, u64::from(sent) - records);
    assert!(lost > 0);
    // The other lane has all its room still.
    kernel.admission.admit(&key(), in_a_minute(), 0);
    kernel.captures("ph_eth_ingress", &frame, 54);
}

#[test]
fn an_interface_without_a_link_layer_is_read_from_the_ip_header_on() {
    let mut kernel = Kernel::plain();
    for frame in [frame_v4(&[], PAYLOAD), frame_v6(PAYLOAD)] {
        let packet = &frame[14..];
        let headers = if packet[0] == 0x45 { 40 } else { 60 };
        kernel.captures("ph_raw_ingress", packet, headers);
        kernel.captures("ph_raw_egress", packet, headers);
    }
}
