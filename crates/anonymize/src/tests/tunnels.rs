//! What a connection is carried in.

use super::*;

/// Tunnel ends.
const NEAR: [u8; 4] = [203, 0, 113, 41];
const FAR: [u8; 4] = [203, 0, 113, 42];
const ENDS_V6: [u8; 32] = {
    let mut ends = [0xab; 32];
    ends[31] = 0xac;
    ends
};

/// An outer IPv4 header, behind Ethernet.
fn outer_v4(protocol: u8) -> Vec<u8> {
    let mut header = macs(0x0800);
    header.extend([0x45, 0, 0, 99, 1, 2, 0x40, 0, 63, protocol, 0xcc, 0xcc]);
    header.extend([NEAR, FAR].concat());
    header
}

/// An outer IPv6 header, behind Ethernet.
fn outer_v6(next: u8) -> Vec<u8> {
    let mut header = macs(0x86dd);
    header.extend([0x6a, 0xbc, 0xde, 0xf1, 0, 99, next, 63]);
    header.extend(ENDS_V6);
    header
}

fn macs(ethertype: u16) -> Vec<u8> {
    [&LOCAL_MAC[..], &REMOTE_MAC, &ethertype.to_be_bytes()].concat()
}

fn udp(port: u16) -> Vec<u8> {
    [&[0xee, 0xee][..], &port.to_be_bytes(), &[0, 99, 0xcc, 0xcc]].concat()
}

/// What stands before the connection's own IPv4 header.
fn carriers() -> Vec<Vec<u8>> {
    [links(), over_ip(), over_udp(), combined()].concat()
}

fn links() -> Vec<Vec<u8>> {
    let entropy = [0, 1, 0, 63, 0, 0, 0x70, 63, 0xee, 0xee, 0xe1, 63];
    let pseudo_wire = [0, 1, 1, 63, 0, 0, 0, 9];
    let segments = [143, 2, 4, 0, 0, 0, 0, 0];
    vec![
        macs(0x0800),
        [&macs(0x8100)[..], &[0x20, 0x64, 0x08, 0x00]].concat(),
        [&macs(0x8847)[..], &entropy].concat(),
        [&macs(0x8847)[..], &pseudo_wire, &macs(0x0800)].concat(),
        [&macs(0x8864)[..], &[0x11, 0, 0, 7, 0, 99, 0x00, 0x21]].concat(),
        [&outer_v6(43)[..], &segments, &ENDS_V6[..16], &macs(0x0800)].concat(),
    ]
}

fn over_ip() -> Vec<Vec<u8>> {
    let gre = [0xb0, 0, 8, 0, 0xcc, 0xcc, 0, 0, 0, 0, 4, 2, 0, 0, 0, 5];
    let gre_ethernet = [0x20, 0, 0x65, 0x58, 0, 0, 42, 0xee];
    let mut gre_ppp = vec![0x30, 0x81, 0x88, 0x0b, 0, 9, 0, 1];
    gre_ppp.extend([0, 0, 0, 5, 0, 0, 0, 6, 0xff, 3, 0, 0x21]);
    vec![
        outer_v4(4),
        outer_v6(4),
        [&outer_v4(47)[..], &gre].concat(),
        [&outer_v4(47)[..], &gre_ethernet, &macs(0x0800)].concat(),
        [&outer_v4(47)[..], &gre_ppp].concat(),
        [&outer_v4(97)[..], &[0x30, 0], &macs(0x0800)].concat(),
        [outer_v4(41), outer_v6(47)[14..].to_vec(), vec![0, 0, 8, 0]].concat(),
    ]
}

fn over_udp() -> Vec<Vec<u8>> {
    let vxlan = [8, 0, 0, 0, 0, 0, 42, 0];
    let vxlan_gpe = [0x0c, 0, 0, 1, 0, 0, 42, 0];
    let mut geneve = vec![2, 0, 0x65, 0x58, 0, 0, 42, 0];
    geneve.extend([1, 2, 3, 1, 0xcc, 0xcc, 0xcc, 0xcc]);
    vec![
        [&outer_v4(17)[..], &udp(4789), &vxlan, &macs(0x0800)].concat(),
        [
            &outer_v6(17)[..],
            &udp(8472),
            &vxlan,
            &macs(0x8100),
            &[0, 5, 8, 0],
        ]
        .concat(),
        [&outer_v4(17)[..], &udp(4790), &vxlan_gpe].concat(),
        [&outer_v4(17)[..], &udp(6081), &geneve, &macs(0x0800)].concat(),
        [&outer_v4(17)[..], &udp(6635), &[0, 1, 1, 63]].concat(),
    ]
}

/// One in the other, and what is seldom set.
fn combined() -> Vec<Vec<u8>> {
    let pppoe =
        |protocol: [u8; 2]| [&macs(0x8864)[..], &[0x11, 0, 0, 7, 0, 99], &protocol].concat();
    let two_labels = [0, 1, 0, 63, 0, 1, 1, 63, 0, 0, 0, 9];
    // It does not say what follows, so that is Ethernet.
    let vxlan_gpe = [0x08, 0, 0, 9, 0, 0, 42, 0];
    vec![
        [&macs(0x8847)[..], &two_labels, &macs(0x0800)].concat(),
        [&macs(0x8847)[..], &[0, 1, 1, 63], &outer_v4(4)[14..]].concat(),
        [&pppoe([0x00, 0x57])[..], &outer_v6(4)[14..]].concat(),
        [&pppoe([0x02, 0x81])[..], &[0, 1, 1, 63]].concat(),
        // A PPP protocol number of one byte.
        [&macs(0x8864)[..], &[0x11, 0, 0, 7, 0, 99, 0x21]].concat(),
        [&outer_v4(17)[..], &udp(4790), &vxlan_gpe, &macs(0x0800)].concat(),
    ]
}

/// How many examples there are.
pub(super) const COUNT: usize = 24;

pub(super) fn example(which: usize) -> (Vec<u8>, Layers) {
    let mut bytes = carriers().swap_remove(which);
    let l3 = bytes.len();
    let inner = ack(ip("198.51.100.77"), ip("192.0.2.1"));
    bytes.extend(&inner[14..]);
    (bytes, ethernet(l3, l3 + 20))
}

/// Whether what stands before is understood: it is not all zero then.
fn is_understood(shown: &[u8], l3: usize) -> bool {
    l3 == 14 || shown[14..l3].iter().any(|byte| *byte != 0)
}

#[test]
fn no_carrier_tells_an_address() {
    assert_eq!(carriers().len(), COUNT);
    for which in 0..COUNT {
        let (bytes, layers) = example(which);
        for anonymizer in both() {
            let flow = anonymizer.for_flow(ip("192.0.2.1"), ip("198.51.100.77"));
            let shown = anonymized(&flow, &bytes, layers);
            assert!(is_understood(&shown, layers.l3), "{which}: {shown:02x?}");
            for secret in [
                &LOCAL_MAC[..],
                &REMOTE_MAC,
                &NEAR,
                &FAR,
                &[198, 51, 100, 77],
                &ENDS_V6[..8],
                // Checksums, hashes of what is carried, and options of unknown meaning.
                &[0xcc],
                &[0xee],
            ] {
                assert!(!occurs(secret, &shown), "{which}: {shown:02x?}");
            }
            // The connection's own headers look as they do without a tunnel.
            let plain = ack(ip("198.51.100.77"), ip("192.0.2.1"));
            let plain = anonymized(&flow, &plain, ethernet(14, 34));
            assert_eq!(shown[layers.l3..], plain[14..]);
        }
    }
}

#[test]
fn a_carrier_keeps_what_is_no_secret() {
    let flow = netblock().for_flow(ip("192.0.2.1"), ip("198.51.100.77"));
    let shown = |which| {
        let (bytes, layers) = example(which);
        anonymized(&flow, &bytes, layers)[14..layers.l3].to_vec()
    };
    assert_eq!(shown(2), [0, 1, 0, 63, 0, 0, 0x70, 63, 0, 0, 1, 63]);
    assert_eq!(shown(4), [0x11, 0, 0, 7, 0, 99, 0x00, 0x21]);
    let outer = [
        0x45, 0, 0, 99, 1, 2, 0x40, 0, 63, 4, 0, 0, 203, 0, 113, 0, 203, 0, 113, 0,
    ];
    assert_eq!(shown(6), outer);
    assert_eq!(
        shown(8)[20..],
        [0xb0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 5]
    );
    let mut vxlan = vec![0, 0, 0x12, 0xb5, 0, 99, 0, 0, 8, 0, 0, 0, 0, 0, 42, 0];
    vxlan.extend([0; 12]);
    vxlan.extend([8, 0]);
    assert_eq!(shown(13)[20..], vxlan);
    assert_eq!(
        shown(16)[28..44],
        [2, 0, 0x65, 0x58, 0, 0, 42, 0, 1, 2, 3, 1, 0, 0, 0, 0]
    );
    // A flow label that a tunnel gives is a hash of what it carries.
    assert_eq!(shown(7)[..8], [0x6a, 0xb0, 0, 0, 0, 99, 4, 63]);
}

#[test]
fn an_own_tunnel_end_stays_and_pseudonyms_of_ends_do_not_change_within_a_file() {
    let own: OwnAddresses = [IpAddr::from(NEAR)].into_iter().collect();
    let anonymizer = Anonymizer::new(Method::Netblock, own.clone());
    let flow = anonymizer.for_flow(ip("192.0.2.1"), ip("198.51.100.77"));
    let (bytes, layers) = example(6);
    for _ in 0..2 {
        let shown = anonymized(&flow, &bytes, layers);
        assert_eq!(shown[26..34], [203, 0, 113, 41, 203, 0, 113, 0]);
        own.update(
            &[IpAddr::from(FAR)].into_iter().collect(),
            std::time::Instant::now(),
        );
    }
}

#[test]
fn a_carrier_that_is_not_understood_is_zeroed_but_for_its_ethertype() {
    let flow = netblock().for_flow(ip("192.0.2.1"), ip("198.51.100.77"));
    for carrier in [
        [&macs(0x894f)[..], &[7; 10]].concat(),
        // A port that nobody knows, a header too short, and one that leads past the connection's.
        [&outer_v4(17)[..], &udp(9999), &[7; 8], &macs(0x0800)].concat(),
        [&outer_v4(4)[..14 + 19]].concat(),
        [&outer_v4(17)[..], &udp(4789), &[7; 4]].concat(),
        // GRE with a source route, and of a version that only carries PPP; and a header that does not
        // lead to one of IP.
        [&outer_v4(47)[..], &[0x40, 0, 8, 0, 7, 7, 7, 7]].concat(),
        [&outer_v4(47)[..], &[0x40, 0, 8, 0]].concat(),
        [&outer_v4(47)[..], &[0, 1, 8, 0]].concat(),
        [&outer_v4(17)[..]].concat(),
    ] {
        let l3 = carrier.len();
        let inner = ack(ip("198.51.100.77"), ip("192.0.2.1"));
        let bytes = [&carrier, &inner[14..]].concat();
        let shown = anonymized(&flow, &bytes, ethernet(l3, l3 + 20));
        let mut want = vec![0; l3];
        want[12..14].copy_from_slice(&carrier[12..14]);
        assert_eq!(shown[..l3], want);
        assert_eq!(shown[l3..l3 + 12], [&inner[14..24], &[0, 0]].concat());
    }
}
