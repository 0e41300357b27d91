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

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next, 64];
    packet.extend([0x20; 16]);
    packet.extend([0x30; 16]);
    packet.extend(payload);
    packet
}

fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&[2; 12][..], &ethertype.to_be_bytes(), payload].concat()
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0xc0, 0];
    header.extend(port.to_be_bytes());
    header.extend([0; 4]);
    ipv4(17, &[&header[..], payload].concat())
}

fn vxlan(flags: u8, frame: &[u8]) -> Vec<u8> {
    [&[flags, 0, 0, 0, 0, 0, 42, 0][..], frame].concat()
}

/// GENEVE with so many units of options.
fn geneve(version: u8, units: u8, carries: u16, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![version << 6 | units, 0];
    header.extend(carries.to_be_bytes());
    header.extend([0, 0, 42, 0]);
    header.resize(8 + usize::from(units) * 4, 0x5a);
    [&header[..], payload].concat()
}

/// Where the inner IP header is.
fn l3(packet: &[u8]) -> Result<usize, KernelDiscard> {
    inside(packet).map(|headers| headers.l3)
}

#[test]
fn either_ip_carries_either() {
    let (four, six) = (ipv4(6, &tcp()), ipv6(6, &tcp()));
    assert_eq!(l3(&ipv4(41, &six)), Ok(20));
    assert_eq!(l3(&ipv6(4, &four)), Ok(40));
    assert_eq!(l3(&ipv6(41, &six)), Ok(40));
    let gre = |kind: u16, payload: &[u8]| {
        let kind = kind.to_be_bytes();
        ipv4(47, &[&[0, 0, kind[0], kind[1]], payload].concat())
    };
    assert_eq!(l3(&gre(0x0800, &four)), Ok(24));
    assert_eq!(l3(&gre(0x86dd, &six)), Ok(24));
    assert_eq!(l3(&gre(0x6558, &ethernet(0x86dd, &six))), Ok(38));
    // What it carries is not IP; a frame in it that is none; another version.
    assert_eq!(l3(&gre(0x0806, &four)), Err(KernelDiscard::NotTcp));
    let arp = ethernet(0x0806, &four);
    assert_eq!(l3(&gre(0x6558, &arp)), Err(KernelDiscard::NotTcp));
    assert_eq!(l3(&gre(0x6558, &[2; 9])), Err(KernelDiscard::NotTcp));
    for version in 1..8 {
        let other = ipv4(47, &[&[0, version, 8, 0], &four[..]].concat());
        assert_eq!(l3(&other), Err(KernelDiscard::NotTcp), "{version}");
    }
}

#[test]
fn vxlan_carries_frames_on_either_port() {
    let frame = ethernet(0x0800, &ipv4(6, &tcp()));
    for port in [4789, 8472] {
        assert_eq!(l3(&udp(port, &vxlan(0x08, &frame))), Ok(20 + 8 + 8 + 14));
        assert_eq!(l3(&udp(port, &vxlan(0xff, &frame))), Ok(20 + 8 + 8 + 14));
        // Without a network, it is something else.
        let other = udp(port, &vxlan(0xf7, &frame));
        assert_eq!(l3(&other), Err(KernelDiscard::NotTcp));
    }
    let elsewhere = udp(4788, &vxlan(0x08, &frame));
    assert_eq!(l3(&elsewhere), Err(KernelDiscard::NotTcp));
    let short = udp(4789, &vxlan(0x08, &[])[..7]);
    assert_eq!(l3(&short), Err(KernelDiscard::NotTcp));
}

#[test]
fn geneve_carries_anything_behind_its_options() {
    let (four, six) = (ipv4(6, &tcp()), ipv6(6, &tcp()));
    let frame = ethernet(0x0800, &four);
    for units in 0..64 {
        let at = 20 + 8 + 8 + usize::from(units) * 4;
        let carried = |kind, payload: &[u8]| l3(&udp(6081, &geneve(0, units, kind, payload)));
        assert_eq!(carried(0x6558, &frame), Ok(at + 14));
        assert_eq!(carried(0x0800, &four), Ok(at));
        assert_eq!(carried(0x86dd, &six), Ok(at));
        assert_eq!(carried(0x0806, &four), Err(KernelDiscard::NotTcp));
    }
    for version in 1..4 {
        let other = udp(6081, &geneve(version, 0, 0x6558, &frame));
        assert_eq!(l3(&other), Err(KernelDiscard::NotTcp), "{version}");
    }
}
