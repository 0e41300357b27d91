//! IP headers, extension headers, and the TCP header.

extern crate std;

use std::vec;
use std::vec::Vec;

use packet_headers_common::{KernelDiscard, LinkType};

use crate::parse::{MAX_EXTENSIONS, parse};

fn end(packet: &[u8]) -> Result<usize, KernelDiscard> {
    parse(&packet, LinkType::RawIp, false).map(|headers| headers.end)
}

/// An IPv6 packet with these extension headers, each `(type, bytes)`, and a TCP header.
fn packet(extensions: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut packet = vec![0u8; 40];
    packet[0] = 0x60;
    let mut next_at = 6;
    for (kind, bytes) in extensions {
        packet[next_at] = *kind;
        next_at = packet.len();
        packet.extend(bytes);
    }
    packet[next_at] = 6;
    let mut tcp = [0; 20];
    tcp[12] = 0x50;
    packet.extend(tcp);
    packet
}

/// An extension header of `units` times 8 bytes.
fn extension(units: usize) -> Vec<u8> {
    let mut bytes = vec![0u8; units * 8];
    bytes[1] = u8::try_from(units - 1).expect("at most 256 units");
    bytes
}

/// An authentication header of `units` times 4 bytes.
fn authentication(units: usize) -> Vec<u8> {
    let mut bytes = vec![0u8; units * 4];
    bytes[1] = u8::try_from(units - 2).expect("at most 257 units");
    bytes
}

#[test]
fn headers_are_followed_as_far_as_is_promised() {
    for units in [1, 32, 33, 120, 121, 256] {
        assert_eq!(end(&packet(&[(43, extension(units))])), Ok(60 + units * 8));
    }
    // The last TCP header that is looked at begins at 4088 here, the first that is not at 4096.
    let far = |units| end(&packet(&[(43, extension(256)), (60, extension(units))]));
    assert_eq!(far(250), Ok(4088 + 20));
    assert_eq!(far(251), Err(KernelDiscard::HeadersTooLong));
    let three = [
        (43, extension(256)),
        (60, extension(256)),
        (60, extension(256)),
    ];
    assert_eq!(end(&packet(&three)), Err(KernelDiscard::HeadersTooLong));
    // What is too far is not even looked for.
    let cut = &packet(&three)[..4137];
    assert_eq!(end(cut), Err(KernelDiscard::HeadersTooLong));
}

#[test]
fn an_ipv4_header_is_as_long_as_it_says_and_of_its_version() {
    let packet = |version: u8, words: u8| {
        let mut packet = vec![1u8; usize::from(words.max(5)) * 4 + 20];
        packet[..10].copy_from_slice(&[version << 4 | words, 0, 0, 0, 0, 0, 0, 0, 64, 6]);
        let l4 = usize::from(words) * 4;
        packet[l4 + 12] = 0x50;
        packet
    };
    for words in 5..=15 {
        let length = usize::from(words) * 4 + 20;
        assert_eq!(end(&packet(4, words)), Ok(length), "{words}");
    }
    for words in 0..5 {
        let short = end(&packet(4, words));
        assert_eq!(short, Err(KernelDiscard::Malformed), "{words}");
    }
    let other = [&[2; 12][..], &[0x08, 0x00], &packet(5, 5)].concat();
    let read = parse(&&other[..], LinkType::Ethernet, false);
    assert_eq!(read, Err(KernelDiscard::Malformed));
}

#[test]
fn extension_headers_come_in_any_order() {
    let kinds = [0u8, 43, 44, 51, 60, 135, 139, 140];
    let bytes = |kind| match kind {
        44 => vec![0, 77, 0, 1, 0, 0, 0, 1],
        51 => authentication(6),
        _ => extension(2),
    };
    for first in kinds {
        for second in kinds {
            let run = [first, second].map(|kind| (kind, bytes(kind)));
            let length: usize = run.iter().map(|(_, bytes)| bytes.len()).sum();
            assert_eq!(end(&packet(&run)), Ok(60 + length), "{first} {second}");
        }
    }
    let run = |number| vec![(60, extension(1)); number];
    assert_eq!(
        end(&packet(&run(MAX_EXTENSIONS))),
        Ok(60 + MAX_EXTENSIONS * 8)
    );
    let more = end(&packet(&run(MAX_EXTENSIONS + 1)));
    assert_eq!(more, Err(KernelDiscard::HeadersTooLong));
}

#[test]
fn a_jumbo_payload_tells_no_length() {
    // RFC 2675: option type 0xc2 of 4 bytes, and a payload length of 0.
    let jumbo = vec![0, 0, 0xc2, 4, 0, 1, 0x11, 0x70];
    assert_eq!(end(&packet(&[(0, jumbo)])), Ok(68));
}

#[test]
fn what_ends_the_walk_is_told() {
    for protocol in [17, 58, 59, 50, 253] {
        let mut other = packet(&[(60, extension(1))]);
        other[40] = protocol;
        assert_eq!(end(&other), Err(KernelDiscard::NotTcp));
    }
    let mut later = packet(&[(44, vec![0, 0, 0, 8, 0, 0, 0, 1])]);
    assert_eq!(end(&later), Err(KernelDiscard::LaterFragment));
    later[43] = 1;
    assert_eq!(end(&later), Ok(68));
    let whole = packet(&[(60, extension(3))]);
    for length in 2..whole.len() {
        assert_eq!(
            end(&whole[..length]),
            Err(KernelDiscard::Malformed),
            "{length}"
        );
    }
    assert_eq!(end(&whole[..1]), Err(KernelDiscard::NotIp));
}

#[test]
fn an_authentication_header_may_stand_in_ipv4() {
    for units in [2, 3, 6, 257] {
        let mut packet = vec![0u8; 20];
        packet[0] = 0x45;
        packet[9] = 51;
        let mut header = authentication(units);
        header[0] = 6;
        packet.extend(header);
        let l4 = packet.len();
        packet.extend([0; 20]);
        packet[l4 + 12] = 0x50;
        assert_eq!(end(&packet), Ok(l4 + 20));
        packet[20] = 51;
        assert_eq!(end(&packet), Err(KernelDiscard::NotTcp), "one is enough");
    }
}

#[test]
fn a_tcp_header_ends_where_its_ip_packet_ends_at_the_latest() {
    let mut packet = packet(&[]);
    packet.extend([0; 40]);
    for (told, words, want) in [
        (20, 5, Ok(60)),
        (20, 6, Err(KernelDiscard::Malformed)),
        (24, 6, Ok(64)),
        (60, 15, Ok(100)),
        (59, 15, Err(KernelDiscard::Malformed)),
        (9000, 15, Ok(100)),
        (0, 15, Ok(100)),
        (19, 5, Err(KernelDiscard::Malformed)),
        (60, 4, Err(KernelDiscard::Malformed)),
        (60, 0, Err(KernelDiscard::Malformed)),
    ] {
        packet[4..6].copy_from_slice(&u16::to_be_bytes(told));
        packet[52] = words << 4;
        assert_eq!(end(&packet), want, "{told} {words}");
    }
}

#[test]
fn an_ipv4_address_in_disguise_is_not_taken_for_the_real_one() {
    let from = |source: [u8; 16]| {
        let mut packet = packet(&[]);
        packet[8..24].copy_from_slice(&source);
        end(&packet)
    };
    let mut source = [0; 16];
    source[12..].copy_from_slice(&[192, 0, 2, 1]);
    // IPv4-compatible: obsolete, and an address of its own.
    assert_eq!(from(source), Ok(60));
    source[10..12].fill(0xff);
    assert_eq!(from(source), Err(KernelDiscard::Malformed));
    // NAT64's translators use this one (RFC 6052), and SIIT that one (RFC 2765).
    source[..4].copy_from_slice(&[0, 0x64, 0xff, 0x9b]);
    assert_eq!(from(source), Ok(60));
    let translated = [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 192, 0, 2, 1];
    assert_eq!(from(translated), Ok(60));
}
