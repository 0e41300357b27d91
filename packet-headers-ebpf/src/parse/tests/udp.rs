//! UDP, against frames of an independent builder and parser.

use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use packet_headers_common::{Endpoint, FlowKey, KernelDiscard, LinkType};
use proptest::prelude::*;

use super::super::{Datagram, Found, Headers, find, parse_datagram};
use super::{Vec, piece, vec};

fn datagram(six: bool, ports: [u16; 2], payload: usize) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]);
    let mut frame = Vec::new();
    let payload = vec![0xa5; payload];
    if six {
        let builder = builder.ipv6([1; 16], [2; 16], 64).udp(ports[0], ports[1]);
        builder.write(&mut frame, &payload).expect("a frame");
    } else {
        let builder = builder.ipv4([1; 4], [2; 4], 64).udp(ports[0], ports[1]);
        builder.write(&mut frame, &payload).expect("a frame");
    }
    frame
}

fn parse(frame: &[u8]) -> Result<Datagram, KernelDiscard> {
    parse_datagram(&frame, LinkType::Ethernet, false)
}

#[test]
fn a_datagram_is_measured_to_the_byte() {
    let frame = datagram(false, [50_000, 53], 30);
    let key = FlowKey::new(Endpoint::v4([1; 4], 50_000), Endpoint::v4([2; 4], 53));
    let headers = Headers {
        l3: 14,
        l4: 34,
        end: 42,
        key,
        from_low: true,
        sequence: 0,
        tcp_flags: 0,
    };
    let want = Datagram {
        headers,
        payload: 30,
    };
    assert_eq!(parse(&frame), Ok(want));
    assert_eq!(find(&&frame[..], LinkType::Ethernet, false), Ok(Found::Udp));
}

#[test]
fn the_payload_is_what_both_headers_say_and_the_packet_has() {
    let frame = datagram(false, [50_000, 53], 30);
    for (udp, ip, want) in [
        (38, 58, 30),
        (0, 58, 30),
        (0, 0, 30),
        (7, 58, 0),
        (8, 58, 0),
        (9, 58, 1),
        (u16::MAX, 58, 30),
        (38, 40, 12),
        (38, 28, 0),
        (38, u16::MAX, 30),
    ] {
        let mut frame = frame.clone();
        frame[16..18].copy_from_slice(&u16::to_be_bytes(ip));
        frame[38..40].copy_from_slice(&u16::to_be_bytes(udp));
        let found = parse(&frame).expect("UDP");
        assert_eq!((found.headers.end, found.payload), (42, want), "{udp} {ip}");
    }
}

proptest! {
    #[test]
    fn valid_datagrams_agree_with_an_independent_parser(
        six: bool,
        ports: [u16; 2],
        payload in 0usize..200,
        padding in 0usize..40,
    ) {
        let mut frame = datagram(six, ports, payload);
        frame.resize(frame.len() + padding, 0x5a);
        let found = parse(&frame).expect("UDP");
        let sliced = SlicedPacket::from_ethernet(&frame).expect("a packet");
        let Some(TransportSlice::Udp(udp)) = sliced.transport else {
            panic!("no UDP");
        };
        let at = udp.payload().as_ptr() as usize - frame.as_ptr() as usize;
        prop_assert_eq!((found.headers.end, found.payload), (at, udp.payload().len()));
    }

    #[test]
    fn broken_datagrams_are_never_read_past(
        six: bool,
        damage in proptest::collection::vec((0usize..70, any::<u8>()), 0..4),
        cut in 20usize..120,
        decapsulate: bool,
    ) {
        let mut frame = datagram(six, [50_000, 4789], 60);
        for (at, value) in damage {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        frame.truncate(cut);
        if let Ok(found) = parse_datagram(&&frame[..], LinkType::Ethernet, decapsulate) {
            let headers = found.headers;
            prop_assert!(headers.l3 < headers.l4 && headers.l4 + 8 == headers.end);
            prop_assert!(headers.end + found.payload <= frame.len());
        }
    }

    #[test]
    fn headers_in_any_order_never_panic(
        pieces in proptest::collection::vec(piece(), 1..12),
        decapsulate: bool,
    ) {
        let bytes = [&[0x02; 12][..], &pieces.concat()].concat();
        if let Ok(found) = parse_datagram(&&bytes[..], LinkType::Ethernet, decapsulate) {
            prop_assert!(found.headers.end + found.payload <= bytes.len());
        }
    }
}
