//! TCP inside of tunnels.

extern crate std;

use std::vec;
use std::vec::Vec;

use packet_headers_common::record::TCP_SYN;
use packet_headers_common::{Endpoint, FlowKey, KernelDiscard, LinkType};

use crate::parse::{Headers, parse};

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0];
    packet.extend([192, 0, 2, 1, 192, 0, 2, 2]);
    packet.extend(payload);
    packet
}

fn tcp() -> Vec<u8> {
    let mut tcp = vec![0u8; 20];
    tcp[..4].copy_from_slice(&[0, 80, 0, 90]);
    tcp[12..14].copy_from_slice(&[0x50, 0x02]);
    tcp
}

fn inside(packet: &[u8]) -> Result<Headers, KernelDiscard> {
    parse(&packet, LinkType::RawIp, true)
}

#[test]
fn the_inner_headers_are_the_packet_s() {
    let packet = ipv4(4, &ipv4(6, &tcp()));
    let want = Headers {
        l3: 20,
        l4: 40,
        end: 60,
        key: FlowKey::new(
            Endpoint::v4([192, 0, 2, 1], 80),
            Endpoint::v4([192, 0, 2, 2], 90),
        ),
        from_low: true,
        sequence: 0,
        tcp_flags: TCP_SYN,
    };
    assert_eq!(inside(&packet), Ok(want));
    assert!(want.is_first_syn());
    assert_eq!(
        parse(&&packet[..], LinkType::RawIp, false),
        Err(KernelDiscard::NotTcp)
    );
}

#[test]
fn the_fields_of_gre_are_counted() {
    for flags in 0..=255u8 {
        let fields = [0x80, 0x20, 0x10]
            .into_iter()
            .filter(|bit| flags & bit != 0);
        let fields = fields.count();
        let mut gre = vec![flags, 0, 8, 0];
        gre.resize(4 + fields * 4, 0x5a);
        let packet = ipv4(47, &[&gre[..], &ipv4(6, &tcp())].concat());
        let l3 = inside(&packet).map(|headers| headers.l3);
        if flags & 0x40 == 0 {
            assert_eq!(l3, Ok(24 + fields * 4));
        } else {
            assert_eq!(l3, Err(KernelDiscard::NotTcp), "source routing");
        }
    }
}

#[test]
fn one_tunnel_is_followed_and_no_more() {
    let twice = ipv4(4, &ipv4(4, &ipv4(6, &tcp())));
    assert_eq!(inside(&twice), Err(KernelDiscard::NotTcp));
}

#[test]
fn an_inner_packet_that_ends_too_soon_is_malformed() {
    let whole = ipv4(4, &ipv4(6, &tcp()));
    for length in 20..whole.len() {
        assert_eq!(
            inside(&whole[..length]),
            Err(KernelDiscard::Malformed),
            "{length}"
        );
    }
}
