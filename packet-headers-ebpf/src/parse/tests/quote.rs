//! ICMP errors, against an independent parser, and against anything.

extern crate std;

use std::vec;
use std::vec::Vec;

use etherparse::{Icmpv4Type, Icmpv6Type, LaxNetSlice, LaxSlicedPacket, PacketBuilder};
use packet_headers_common::{Endpoint, FlowKey, KernelDiscard, LinkType};
use proptest::prelude::*;

use super::super::{Found, Headers, MAX_OFFSET, find, parse_error};

/// A TCP packet of IP with these options and this payload.
fn quoted(six: bool, options: &[u8], payload: usize, ports: [u16; 2]) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = if six {
        PacketBuilder::ipv6([0x20; 16], [0x21; 16], 60)
    } else {
        PacketBuilder::ipv4([198, 51, 100, 1], [192, 0, 2, 1], 60)
    };
    let tcp = builder.tcp(ports[0], ports[1], 77, 1).options_raw(options);
    tcp.expect("options that fit")
        .write(&mut packet, &vec![0xa5; payload])
        .expect("a packet");
    packet
}

/// An error that quotes so many bytes of it, and what a frame is padded with.
fn error(six: bool, kind: u8, quoted: &[u8], padding: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]);
    let (code_u8, bytes5to8) = (0, [0; 4]);
    if six {
        let kind = Icmpv6Type::Unknown {
            type_u8: kind,
            code_u8,
            bytes5to8,
        };
        let builder = ethernet.ipv6([0x30; 16], [0x20; 16], 64).icmpv6(kind);
        builder.write(&mut frame, quoted).expect("a frame");
    } else {
        let kind = Icmpv4Type::Unknown {
            type_u8: kind,
            code_u8,
            bytes5to8,
        };
        let builder = ethernet.ipv4([203, 0, 113, 9], [198, 51, 100, 1], 64);
        builder
            .icmpv4(kind)
            .write(&mut frame, quoted)
            .expect("a frame");
    }
    frame.extend(vec![0xee; padding]);
    frame
}

/// Where the quoted TCP header ends, as far as it is quoted, by another parser; without the ports there is no
/// use for it.
fn independent_end(quoted: &[u8]) -> Option<usize> {
    let ip = LaxSlicedPacket::from_ip(quoted).ok()?.net?;
    let tcp = match &ip {
        LaxNetSlice::Ipv4(ip) => ip.payload().payload,
        LaxNetSlice::Ipv6(ip) => ip.payload().payload,
        LaxNetSlice::Arp(_) => return None,
    };
    let length = tcp
        .get(12)
        .map_or(tcp.len(), |words| usize::from(words >> 4) * 4);
    let at = tcp.as_ptr() as usize - quoted.as_ptr() as usize;
    (tcp.len() >= 8).then_some(at + length.min(tcp.len()))
}

#[test]
fn an_error_is_about_the_connection_that_it_quotes() {
    let frame = error(false, 3, &quoted(false, &[], 99, [50_000, 443]), 0);
    let source = Endpoint::v4([198, 51, 100, 1], 50_000);
    let key = FlowKey::new(source, Endpoint::v4([192, 0, 2, 1], 443));
    let want = Headers {
        l3: 14,
        l4: 34,
        end: 14 + 20 + 8 + 40,
        key,
        from_low: key.is_low(&source),
        sequence: 77,
        tcp_flags: 0,
    };
    assert_eq!(
        parse_error(&&frame[..], LinkType::Ethernet, false),
        Ok(want)
    );
    assert_eq!(
        find(&&frame[..], LinkType::Ethernet, false),
        Ok(Found::Icmp)
    );
}

/// What follows may be padding, or what RFC 4884 has there.
#[test]
fn a_quoted_packet_ends_where_it_says() {
    for (six, told, header) in [(false, 2, 20_usize), (true, 4, 0)] {
        let packet = quoted(six, &[1; 12], 99, [1, 2]);
        for length in 0..60 {
            let mut short = packet.clone();
            let says = u16::try_from(header + length).expect("a length");
            short[told..told + 2].copy_from_slice(&says.to_be_bytes());
            let frame = error(six, 3, &short, 0);
            let ip = if six { 40 } else { 20 };
            let found = parse_error(&&frame[..], LinkType::Ethernet, false);
            let want = match length {
                // Of IPv6, as of a jumbo packet: it does not say.
                0 if six => Ok(32),
                0..8 => Err(KernelDiscard::BadQuote),
                length => Ok(length.min(32)),
            };
            let start = frame.len() - short.len() + ip;
            assert_eq!(found.map(|found| found.end - start), want, "{six} {length}");
        }
    }
}

#[test]
fn tcp_is_no_error_and_an_echo_quotes_nothing() {
    let tcp = quoted(false, &[], 5, [1, 2]);
    let found = parse_error(&&tcp[..], LinkType::RawIp, false);
    assert_eq!(found, Err(KernelDiscard::NotTcp));
    for kind in 0..=255 {
        let frame = error(false, kind, &tcp, 0);
        let is_error = [3, 4, 5, 11, 12].contains(&kind);
        let found = parse_error(&&frame[..], LinkType::Ethernet, false);
        assert_eq!(found.is_ok(), is_error, "{kind}");
        let frame = error(true, kind, &quoted(true, &[], 5, [1, 2]), 0);
        let found = parse_error(&&frame[..], LinkType::Ethernet, false);
        assert_eq!(found.is_ok(), (1..=4).contains(&kind), "{kind}");
        // The other version's packet.
        let frame = error(false, kind, &quoted(true, &[], 5, [1, 2]), 0);
        assert!(parse_error(&&frame[..], LinkType::Ethernet, false).is_err());
    }
}

proptest! {
    #[test]
    fn quotes_end_where_an_independent_parser_says(
        six in any::<bool>(),
        options in proptest::collection::vec(Just(1u8), 0..=40),
        payload in 0usize..100,
        kept in 0usize..200,
        padding in 0usize..50,
        ports in any::<[u16; 2]>(),
    ) {
        let quoted = quoted(six, &options, payload, ports);
        let quoted = &quoted[..kept.min(quoted.len())];
        let frame = error(six, 3, quoted, padding);
        let ours = parse_error(&&frame[..], LinkType::Ethernet, false);
        let start = frame.len() - padding - quoted.len();
        match independent_end(quoted) {
            Some(end) => prop_assert_eq!(ours.map(|ours| ours.end), Ok(start + end)),
            None => prop_assert_eq!(ours, Err(KernelDiscard::BadQuote)),
        }
    }

    #[test]
    fn broken_errors_are_counted_and_never_read_past(
        six in any::<bool>(),
        damage in proptest::collection::vec((0usize..160, any::<u8>()), 1..5),
        cut in 0usize..300,
        decapsulate in any::<bool>(),
    ) {
        let quoted = quoted(six, &[1; 12], 60, [1, 2]);
        let mut frame = error(six, 1 + 2 * u8::from(!six), &quoted, 10);
        for (at, byte) in damage {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        frame.truncate(cut);
        if let Ok(headers) = parse_error(&&frame[..], LinkType::Ethernet, decapsulate) {
            prop_assert!(headers.l3 < headers.l4 && headers.l4 + 8 + 20 + 8 <= headers.end);
            prop_assert!(headers.end <= frame.len() && headers.l4 <= MAX_OFFSET);
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_reason_to_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..3000),
        six in any::<bool>(),
        decapsulate in any::<bool>(),
    ) {
        let frame = error(six, 3, &bytes[..bytes.len().min(1000)], 0);
        for bytes in [&bytes, &frame] {
            for link in [LinkType::Ethernet, LinkType::RawIp] {
                if let Ok(headers) = parse_error(&&bytes[..], link, decapsulate) {
                    prop_assert!(headers.end <= bytes.len());
                }
            }
        }
    }
}
