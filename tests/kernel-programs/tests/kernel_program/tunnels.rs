//! Connections inside of tunnels, and what only looks like a tunnel.

use kernel_tests::frames::{ETHERNET, PAYLOAD, behind, extension, frame_v4, frame_v6, ipv4, ipv6};
use kernel_tests::kernel::Kernel;
use packet_headers_common::KernelDiscard;

use crate::admission::key;

const GRE: u8 = 47;
const UDP: u8 = 17;

/// An outer Ethernet header, and an outer packet of the version.
pub(crate) fn outer(six: bool, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let packet = if six {
        ipv6(protocol, payload)
    } else {
        ipv4(protocol, payload)
    };
    let mut frame = vec![6; 12];
    frame.extend(if six { [0x86, 0xdd] } else { [0x08, 0x00] });
    frame.extend(packet);
    frame
}

pub(crate) fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0xc0, 0x01];
    datagram.extend(port.to_be_bytes());
    datagram.extend(
        u16::try_from(8 + payload.len())
            .expect("a length")
            .to_be_bytes(),
    );
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

/// Every tunnel, over IPv4 and IPv6, with an inner frame: outer protocol and what it carries.
pub(crate) fn tunnels(inner: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let packet = &inner[ETHERNET..];
    let ethertype = &inner[12..14];
    let ip_in_ip = if packet[0] >> 4 == 4 { 4 } else { 41 };
    let with = |head: &[u8], rest: &[u8]| [head, rest].concat();
    let gre = |flags: u8, kind: &[u8], fields: usize, rest: &[u8]| {
        [&[flags, 0], kind, &vec![0x5a; fields * 4], rest].concat()
    };
    let vxlan = [0x08, 0, 0, 0, 0, 0, 42, 0];
    let geneve = |units: u8, kind: &[u8], rest: &[u8]| {
        let head = [&[units, 0], kind, &[0, 0, 42, 0]].concat();
        let options = vec![0x5a; usize::from(units) * 4];
        udp(6081, &[&head[..], &options, rest].concat())
    };
    let ethernet = [0x65, 0x58];
    let tagged = behind(&with(&[0x81, 0x00, 0, 5], ethertype), inner);
    vec![
        (ip_in_ip, packet.to_vec()),
        (GRE, gre(0x00, ethertype, 0, packet)),
        (GRE, gre(0x80, ethertype, 1, packet)),
        (GRE, gre(0x20, ethertype, 1, packet)),
        (GRE, gre(0xb0, ethertype, 3, packet)),
        (GRE, gre(0x30, &ethernet, 2, inner)),
        (UDP, udp(4789, &with(&vxlan, inner))),
        (UDP, udp(8472, &with(&vxlan, &tagged))),
        (UDP, geneve(0, &ethernet, inner)),
        (UDP, geneve(3, &ethernet, &tagged)),
        (UDP, geneve(63, ethertype, packet)),
    ]
}

#[test]
fn the_inner_connection_is_the_flow() {
    let mut kernel = Kernel::decapsulating();
    let mut plain = Kernel::plain();
    for inner in [frame_v4(&[], PAYLOAD), frame_v6(PAYLOAD)] {
        let ip = if inner[14] == 0x45 { 20 } else { 40 };
        for (protocol, carried) in tunnels(&inner) {
            for six in [false, true] {
                let frame = outer(six, protocol, &carried);
                let end = frame.len() - PAYLOAD.len();
                let taken = kernel.takes("ph_eth_ingress", &frame);
                assert_eq!(taken.headers, frame[..end]);
                let l4 = end - 20;
                assert_eq!(taken.offsets, [l4 - ip, l4].map(|at| at as u16));
                assert_eq!((taken.source_port, taken.sequence), (50_000, 7));
                assert_eq!(taken.wire_len, frame.len() as u32);
                if ip == 20 {
                    assert_eq!(taken.key, key());
                }
                plain.discards(&frame, KernelDiscard::NotTcp);
            }
        }
    }
}

#[test]
fn tunnels_are_found_behind_tags_and_extension_headers() {
    let mut kernel = Kernel::decapsulating();
    let inner = frame_v6(PAYLOAD);
    let mut options = extension(1);
    options[0] = 41;
    let frame = outer(true, 60, &[&options, &inner[14..]].concat());
    kernel.captures("ph_eth_ingress", &frame, frame.len() - PAYLOAD.len());
    let tagged = behind(&[0x81, 0x00, 0, 5, 0x86, 0xdd], &frame);
    kernel.captures("ph_eth_ingress", &tagged, tagged.len() - PAYLOAD.len());
    kernel.captures(
        "ph_raw_egress",
        &frame[14..],
        frame.len() - 14 - PAYLOAD.len(),
    );
    // What is not in a tunnel is what it was.
    kernel.captures("ph_eth_ingress", &inner, 74);
}

#[test]
fn what_only_looks_like_a_tunnel_is_counted() {
    let mut kernel = Kernel::decapsulating();
    let inner = frame_v4(&[], PAYLOAD);
    let packet = &inner[14..];
    let frame = |protocol, carried: &[u8]| outer(false, protocol, carried);
    let gre = |flags: u8, version: u8| [&[flags, version, 0x08, 0x00], packet].concat();
    let vxlan = |flags: u8| udp(4789, &[&[flags, 0, 0, 0, 0, 0, 42, 0], &inner[..]].concat());
    let geneve = |first: u8| {
        udp(
            6081,
            &[&[first, 0, 0x65, 0x58, 0, 0, 42, 0], &inner[..]].concat(),
        )
    };
    for (protocol, carried) in [
        (GRE, gre(0x00, 1)),
        (GRE, gre(0x40, 0)),
        (UDP, vxlan(0x00)),
        (UDP, geneve(0x40)),
        (UDP, udp(53, PAYLOAD)),
        (UDP, udp(4789, &[])),
        (1, PAYLOAD.to_vec()),
    ] {
        kernel.discards(&frame(protocol, &carried), KernelDiscard::NotTcp);
    }
    // Two tunnels, one in the other.
    kernel.discards(&frame(4, &ipv4(4, packet)), KernelDiscard::NotTcp);
    // ARP, and UDP, inside.
    let arp = behind(&[0x08, 0x06], &inner);
    let carried = udp(4789, &[&[8, 0, 0, 0, 0, 0, 42, 0], &arp[..]].concat());
    kernel.discards(&frame(UDP, &carried), KernelDiscard::NotTcp);
    kernel.discards(&frame(4, &ipv4(17, PAYLOAD)), KernelDiscard::NotTcp);
    // Inner headers that contradict themselves, or end too soon.
    let mut bad = packet.to_vec();
    bad[0] = 0x44;
    kernel.discards(&frame(4, &bad), KernelDiscard::Malformed);
    kernel.discards(&frame(4, &frame_v6(&[])[14..]), KernelDiscard::Malformed);
    kernel.discards(&frame(4, packet)[..60], KernelDiscard::Malformed);
    kernel.discards(&frame(GRE, &gre(0x00, 0))[..36], KernelDiscard::Malformed);
    // A later fragment of a tunnel's packet.
    let mut later = frame(GRE, &gre(0x00, 0));
    later[21] = 9;
    kernel.discards(&later, KernelDiscard::NotTcp);
}
