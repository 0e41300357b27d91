//! Against frames of an independent builder and parser, and against anything.

extern crate std;

use std::vec;
use std::vec::Vec;

use etherparse::{PacketBuilder, PacketHeaders, SlicedPacket, TransportSlice};
use packet_headers_common::{Endpoint, FlowKey, LinkType};
use proptest::prelude::*;

use super::{Headers, MAX_OFFSET, parse};

mod ip;
mod link;
mod quic;
mod quote;
mod tunnel;
mod udp;

/// Bytes of the longest TCP header.
const MAX_TCP: usize = 60;

/// Where etherparse says that the headers of an Ethernet frame end, if there is TCP in it.
fn independent_end(frame: &[u8]) -> Option<usize> {
    let sliced = SlicedPacket::from_ethernet(frame).ok()?;
    let Some(TransportSlice::Tcp(tcp)) = sliced.transport else {
        return None;
    };
    let payload = tcp.payload().as_ptr() as usize;
    Some(payload - frame.as_ptr() as usize)
}

#[test]
fn a_tagged_ipv4_frame_is_measured_to_the_byte() {
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
        .double_vlan(
            etherparse::VlanId::try_new(100).expect("an id"),
            etherparse::VlanId::try_new(7).expect("an id"),
        )
        .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
        .tcp(50_000, 443, 1, 1);
    let mut frame = Vec::new();
    builder.write(&mut frame, &[0; 99]).expect("a frame");
    let key = FlowKey::new(
        Endpoint::v4([192, 0, 2, 2], 443),
        Endpoint::v4([192, 0, 2, 1], 50_000),
    );
    let want = Headers {
        l3: 22,
        l4: 42,
        end: 62,
        key,
        from_low: true,
        sequence: 1,
        tcp_flags: 0,
    };
    assert_eq!(parse(&&frame[..], LinkType::Ethernet, false), Ok(want));
    let raw = Headers {
        l3: 0,
        l4: 20,
        end: 40,
        ..want
    };
    assert_eq!(parse(&&frame[22..], LinkType::RawIp, false), Ok(raw));
    assert!(!want.is_first_syn());
}

fn tcp_frame() -> impl Strategy<Value = Vec<u8>> {
    let options = proptest::collection::vec(Just(1u8), 0..=40);
    let tags = prop_oneof![Just(0usize), Just(1), Just(2)];
    (any::<bool>(), options, tags, 0usize..200, any::<[u16; 2]>()).prop_map(
        |(six, options, tags, payload, ports)| {
            let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]);
            let mut frame = Vec::new();
            let id = etherparse::VlanId::try_new(7).expect("an id");
            macro_rules! finish {
                ($step:expr) => {{
                    let step = $step;
                    let tcp = if six {
                        step.ipv6([1; 16], [2; 16], 64)
                            .tcp(ports[0], ports[1], 1, 1)
                    } else {
                        step.ipv4([1; 4], [2; 4], 64).tcp(ports[0], ports[1], 1, 1)
                    };
                    let tcp = tcp.options_raw(&options).expect("options");
                    tcp.write(&mut frame, &vec![0xa5; payload])
                        .expect("a frame");
                }};
            }
            match tags {
                0 => finish!(ethernet),
                1 => finish!(ethernet.single_vlan(id)),
                _ => finish!(ethernet.double_vlan(id, id)),
            }
            frame
        },
    )
}

proptest! {
    #[test]
    fn valid_frames_agree_with_an_independent_parser(frame in tcp_frame()) {
        let ours = parse(&&frame[..], LinkType::Ethernet, false).expect("TCP");
        prop_assert_eq!(Some(ours.end), independent_end(&frame));
        let headers = PacketHeaders::from_ethernet_slice(&frame).expect("TCP");
        let ip = headers.net.expect("IP").header_len();
        prop_assert_eq!(ours.l4 - ours.l3, ip);
    }

    #[test]
    fn broken_frames_are_counted_and_never_read_past(
        frame in tcp_frame(),
        at in 0usize..120,
        value in any::<u8>(),
        cut in 0usize..200,
    ) {
        let mut frame = frame;
        if let Some(byte) = frame.get_mut(at) {
            *byte = value;
        }
        frame.truncate(cut);
        if let Ok(headers) = parse(&&frame[..], LinkType::Ethernet, false) {
            prop_assert!(headers.l3 < headers.l4 && headers.l4 + 20 <= headers.end);
            prop_assert!(headers.end <= frame.len() && headers.end <= MAX_OFFSET + MAX_TCP);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..5000),
        decapsulate in any::<bool>(),
    ) {
        for link in [LinkType::Ethernet, LinkType::RawIp] {
            if let Ok(headers) = parse(&&bytes[..], link, decapsulate) {
                prop_assert!(headers.end <= bytes.len());
            }
        }
    }

    /// Bytes that lead deep into the parser, unlike arbitrary ones.
    #[test]
    fn headers_in_any_order_never_panic(
        pieces in proptest::collection::vec(piece(), 1..12),
        cut in 0usize..2000,
        decapsulate in any::<bool>(),
    ) {
        let mut bytes = [&[0x02; 12][..], &pieces.concat()].concat();
        bytes.truncate(cut.max(20));
        if let Ok(headers) = parse(&&bytes[..], LinkType::Ethernet, decapsulate) {
            prop_assert!(headers.l3 < headers.l4 && headers.l4 + 20 <= headers.end);
            prop_assert!(headers.end <= bytes.len());
            if !decapsulate {
                prop_assert_eq!(parse(&&bytes[..], LinkType::Ethernet, true), Ok(headers));
            }
        }
    }
}

/// What some parser may expect next, with every bound on a length.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let ethertype = proptest::sample::select(vec![
        0x0800u16, 0x86dd, 0x8100, 0x88a8, 0x9100, 0x8847, 0x8864, 0x6558,
    ]);
    let protocol = proptest::sample::select(vec![0u8, 4, 6, 17, 41, 43, 44, 47, 51, 60]);
    prop_oneof![
        ethertype.prop_map(|kind| kind.to_be_bytes().to_vec()),
        (protocol.clone(), any::<u8>()).prop_map(|(protocol, length)| {
            let mut header = vec![0x45, 0, 0, length, 0, 0, 0, 0, 64, protocol];
            header.extend([1; 10]);
            header
        }),
        (protocol.clone(), any::<u8>()).prop_map(|(protocol, length)| {
            let mut header = vec![0x60, 0, 0, 0, 0, length, protocol, 64];
            header.extend([1; 32]);
            header
        }),
        (protocol, 0u8..4).prop_map(|(next, units)| {
            let mut header = vec![next, units];
            header.resize((usize::from(units) + 1) * 8, 0);
            header
        }),
        Just(vec![0x20, 0, 0x65, 0x58, 1, 2, 3, 4]),
        Just(vec![
            0xc0, 1, 0x12, 0xb5, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 1, 0
        ]),
        Just(vec![0, 1, 0x01, 64]),
        Just(vec![0x11, 0, 0, 1, 0, 60, 0, 0x21]),
        Just(
            [
                &[0xc0, 1, 1, 0xbb, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2][..],
                &[0; 6]
            ]
            .concat()
        ),
    ]
}
