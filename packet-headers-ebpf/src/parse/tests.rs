//! Against frames of an independent builder and parser, and against anything.

extern crate std;

use std::vec;
use std::vec::Vec;

use etherparse::{PacketBuilder, PacketHeaders, SlicedPacket, TransportSlice};
use packet_headers_common::record::MAX_HEADERS;
use packet_headers_common::{Counter, Endpoint, FlowKey, LinkType};
use proptest::prelude::*;

use super::{Headers, parse};

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
        first_syn: false,
    };
    assert_eq!(parse(&&frame[..], LinkType::Ethernet), Ok(want));
    let raw = Headers {
        l3: 0,
        l4: 20,
        end: 40,
        ..want
    };
    assert_eq!(parse(&&frame[22..], LinkType::RawIp), Ok(raw));
}

#[test]
fn the_largest_record_is_the_bound() {
    let mut packet = vec![0u8; 2000];
    packet[0] = 0x60;
    packet[6] = 60;
    let mut fill = |units: usize| {
        packet[40] = 6;
        packet[41] = u8::try_from(units - 1).expect("at most 256 units");
        let l4 = 40 + units * 8;
        packet[l4 + 12] = 0x50;
        parse(&&packet[..], LinkType::RawIp).map(|headers| headers.end)
    };
    assert_eq!(fill(1), Ok(68));
    assert_eq!(fill(120), Ok(1020));
    assert_eq!(fill(121), Err(Counter::HeadersTooLong));
    assert_eq!(fill(200), Err(Counter::HeadersTooLong));
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
        let ours = parse(&&frame[..], LinkType::Ethernet).expect("TCP");
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
        if let Ok(headers) = parse(&&frame[..], LinkType::Ethernet) {
            prop_assert!(headers.l3 < headers.l4 && headers.l4 + 20 <= headers.end);
            prop_assert!(headers.end <= frame.len() && headers.end <= MAX_HEADERS);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1500)) {
        for link in [LinkType::Ethernet, LinkType::RawIp] {
            if let Ok(headers) = parse(&&bytes[..], link) {
                prop_assert!(headers.end <= bytes.len());
            }
        }
    }
}
