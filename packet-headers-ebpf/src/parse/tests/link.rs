//! What stands before an IP header.

extern crate std;

use std::vec;
use std::vec::Vec;

use packet_headers_common::{KernelDiscard, LinkType};

use crate::parse::{MAX_LABELS, MAX_TAGS, parse};

/// An Ethernet frame with these bytes behind its addresses, and a SYN over IPv4 behind them.
fn frame(between: &[u8]) -> Vec<u8> {
    let mut ip = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
    ip.extend([192, 0, 2, 1, 192, 0, 2, 2]);
    let mut tcp = vec![0u8; 20];
    tcp[12..14].copy_from_slice(&[0x50, 0x02]);
    [&[0x02; 12], between, &ip, &tcp].concat()
}

/// Where the IP header is found.
fn l3(between: &[u8]) -> Result<usize, KernelDiscard> {
    parse(&&frame(between)[..], LinkType::Ethernet, false).map(|headers| headers.l3)
}

#[test]
fn tags_of_every_ethertype_are_passed() {
    for kind in [[0x81, 0x00], [0x88, 0xa8], [0x91, 0x00]] {
        for tags in 0..=MAX_TAGS {
            let tag = [&kind[..], &[0, 7]].concat().repeat(tags);
            assert_eq!(l3(&[&tag[..], &[8, 0]].concat()), Ok(14 + tags * 4));
        }
    }
    let tags = [0x81, 0, 0, 7].repeat(MAX_TAGS + 1);
    assert_eq!(
        l3(&[&tags[..], &[8, 0]].concat()),
        Err(KernelDiscard::NotIp)
    );
}

#[test]
fn labels_are_passed_to_the_bottom_of_their_stack() {
    for labels in 0..MAX_LABELS {
        for kind in [[0x88, 0x47], [0x88, 0x48]] {
            let stack = [0, 1, 0, 64].repeat(labels);
            let between = [&kind[..], &stack, &[0, 1, 1, 64]].concat();
            assert_eq!(l3(&between), Ok(14 + (labels + 1) * 4));
        }
    }
    let stack = [0, 1, 0, 64].repeat(MAX_LABELS);
    let between = [&[0x88, 0x47][..], &stack, &[0, 1, 1, 64]].concat();
    assert_eq!(l3(&between), Err(KernelDiscard::HeadersTooLong));
    assert_eq!(
        l3(&[0x88, 0x47, 0, 1, 1, 64, 0, 0, 0, 0]),
        Err(KernelDiscard::NotIp)
    );
}

#[test]
fn a_pppoe_session_is_passed() {
    let between = |first: u8, code: u8, protocol: [u8; 2]| {
        [&[0x88, 0x64, first, code, 0, 9, 0, 42][..], &protocol].concat()
    };
    assert_eq!(l3(&between(0x11, 0, [0x00, 0x21])), Ok(22));
    // A compressed protocol number has one byte; the next one begins the IP header.
    let compressed = [0x88, 0x64, 0x11, 0, 0, 9, 0, 41, 0x21];
    assert_eq!(l3(&compressed), Ok(21));
    let as_v6 = l3(&[&compressed[..8], &[0x57]].concat());
    assert_eq!(as_v6, Err(KernelDiscard::Malformed), "the packet is IPv4");
    let as_v6 = l3(&between(0x11, 0, [0x00, 0x57]));
    assert_eq!(as_v6, Err(KernelDiscard::Malformed), "the packet is IPv4");
    assert_eq!(
        l3(&between(0x11, 0, [0xc0, 0x21])),
        Err(KernelDiscard::NotIp)
    );
    assert_eq!(
        l3(&between(0x11, 9, [0x00, 0x21])),
        Err(KernelDiscard::Malformed)
    );
    assert_eq!(
        l3(&between(0x12, 0, [0x00, 0x21])),
        Err(KernelDiscard::Malformed)
    );
}

#[test]
fn a_frame_that_ends_in_its_link_header_is_counted() {
    let whole = frame(&[0x81, 0, 0, 7, 0x88, 0x47, 0, 1, 0, 64, 0, 1, 1, 64]);
    let end = |length: usize| {
        parse(&&whole[..length], LinkType::Ethernet, false).map(|headers| headers.end)
    };
    for length in 0..18 {
        assert_eq!(end(length), Err(KernelDiscard::NotIp), "{length}");
    }
    for length in 18..26 {
        assert_eq!(end(length), Err(KernelDiscard::Malformed), "{length}");
    }
    for length in 26..28 {
        assert_eq!(end(length), Err(KernelDiscard::NotIp), "{length}");
    }
    for length in 28..66 {
        assert_eq!(end(length), Err(KernelDiscard::Malformed), "{length}");
    }
    assert_eq!(end(66), Ok(66));
}
