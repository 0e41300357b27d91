//! ICMP errors, which quote a packet of the connection.

use super::*;

const ROUTER: [u8; 4] = [203, 0, 113, 9];
const GATEWAY: [u8; 4] = [203, 0, 113, 77];
const REMOTE: &str = "198.51.100.77";

/// An ICMP error of a router about a packet of `remote` to the host, whose headers end after `kept` bytes.
fn error_v4(kind: [u8; 2], rest: [u8; 4], remote: IpAddr, kept: usize) -> (Vec<u8>, Layers) {
    let quoted = &packet(remote, ip("192.0.2.1"), &harmless_options())[14..];
    let mut bytes = [&LOCAL_MAC[..], &REMOTE_MAC, &[0x08, 0x00]].concat();
    bytes.extend([0x45, 0, 0, 200, 1, 2, 0, 0, 250, 1, 0xab, 0xcd]);
    bytes.extend([ROUTER, [192, 0, 2, 1]].concat());
    bytes.extend([&kind[..], &[0xab, 0xcd], &rest].concat());
    bytes.extend(&quoted[..kept.min(quoted.len())]);
    (bytes, ethernet(14, 34))
}

fn error_v6(kind: u8, rest: [u8; 4], kept: usize) -> (Vec<u8>, Layers) {
    let ends = ["2001:db8:2::77", "2001:db8:1::1"].map(ip);
    let quoted = &packet(ends[0], ends[1], &harmless_options())[14..];
    let mut bytes = [&LOCAL_MAC[..], &REMOTE_MAC, &[0x86, 0xdd]].concat();
    bytes.extend([0x60, 0, 0, 0, 0, 200, 58, 250]);
    bytes.extend([0x20, 1, 0x0d, 0xb8, 0, 9, 0, 0, 3, 3, 3, 3, 3, 3, 3, 3]);
    bytes.extend([0x20, 1, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    bytes.extend([&[kind, 0, 0xab, 0xcd][..], &rest].concat());
    bytes.extend(&quoted[..kept.min(quoted.len())]);
    (bytes, ethernet(14, 54))
}

#[test]
fn addresses_in_and_around_the_quote_are_pseudonyms_and_the_rest_stays() {
    let flow = netblock().for_flow(ip("192.0.2.1"), ip(REMOTE));
    let (bytes, layers) = error_v4([3, 4], [0, 17, 5, 0xdc], ip(REMOTE), 500);
    let mut want = bytes.clone();
    want[..12].fill(0);
    // IPv4, ICMP, quoted IPv4 and quoted TCP.
    for checksum in [24, 36, 52, 78] {
        want[checksum..checksum + 2].fill(0);
    }
    want[29] = 0;
    want[57] = 0;
    assert_eq!(anonymized(&flow, &bytes, layers), want);

    let flow = netblock().for_flow(ip("2001:db8:1::1"), ip("2001:db8:2::77"));
    let (bytes, layers) = error_v6(2, [0, 0, 5, 0], 500);
    let shown = anonymized(&flow, &bytes, layers);
    assert_eq!(shown[54..56], [2, 0]);
    assert_eq!(shown[56..62], [0, 0, 0, 0, 5, 0]);
    // The host's end is as elsewhere; neither the router's nor the peer's host part is left.
    assert_eq!(shown[38..54], bytes[38..54]);
    assert_eq!(shown[86..102], bytes[86..102]);
    assert!(!occurs(&[3, 3], &shown));
    assert_eq!(shown[70..86], flow_octets(flow.remote()));
    // Ports, numbers and options are.
    assert_eq!(shown[102..118], bytes[102..118]);
    assert_eq!(shown[118..120], [0, 0]);
    assert_eq!(shown[122..], bytes[122..]);
}

fn flow_octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(address) => address.octets(),
        IpAddr::V4(_) => panic!("an IPv4 address"),
    }
}

#[test]
fn a_quote_may_end_anywhere() {
    for anonymizer in both() {
        let flow = anonymizer.for_flow(ip("192.0.2.1"), ip(REMOTE));
        let whole = error_v4([11, 0], [0; 4], ip(REMOTE), 500);
        let whole = anonymized(&flow, &whole.0, whole.1);
        for kept in 0..=60 {
            let (bytes, layers) = error_v4([11, 0], [0; 4], ip(REMOTE), kept);
            let shown = anonymized(&flow, &bytes, layers);
            // Options that are cut are zeroed, as are those of a packet; all before them is there.
            if (28..=40).contains(&kept) {
                assert_eq!(shown, whole[..bytes.len()], "{kept}");
            }
            assert!(!occurs(&[198, 51, 100, 77], &shown), "{kept}");
            assert!(!occurs(&ROUTER, &shown), "{kept}");
        }
    }
}

#[test]
fn a_redirects_gateway_is_an_address() {
    for anonymizer in both() {
        let flow = anonymizer.for_flow(ip("192.0.2.1"), ip(REMOTE));
        let (bytes, layers) = error_v4([5, 1], GATEWAY, ip(REMOTE), 500);
        let shown = anonymized(&flow, &bytes, layers);
        assert!(!occurs(&GATEWAY, &shown));
        assert_ne!(shown[38..42], [0; 4]);
    }
}

#[test]
fn fields_that_no_error_uses_and_what_is_no_error_are_zeroed() {
    let flow = netblock().for_flow(ip("192.0.2.1"), ip(REMOTE));
    let rest = |kind, rest| {
        let (bytes, layers) = error_v4(kind, rest, ip(REMOTE), 500);
        anonymized(&flow, &bytes, layers)[34..42].to_vec()
    };
    assert_eq!(rest([3, 1], [198, 51, 100, 77]), [3, 1, 0, 0, 0, 51, 0, 0]);
    assert_eq!(rest([4, 0], [198, 51, 100, 77]), [4, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(rest([12, 0], [9, 51, 100, 77]), [12, 0, 0, 0, 9, 51, 0, 0]);
    for kind in [0, 8, 13, 17] {
        let (bytes, layers) = error_v4([kind, 0], [198, 51, 100, 77], ip(REMOTE), 500);
        let shown = anonymized(&flow, &bytes, layers);
        assert_eq!(shown[34], kind);
        assert!(shown[35..].iter().all(|byte| *byte == 0));
    }
    // IPv6's ICMP in an IPv4 packet: nobody knows what that is.
    let (mut bytes, layers) = error_v4([3, 1], [0; 4], ip(REMOTE), 500);
    bytes[23] = 58;
    let shown = anonymized(&flow, &bytes, layers);
    assert!(!occurs(&[198, 51, 100], &shown));
}

#[test]
fn quotes_of_anything_but_tcp_keep_an_ip_header() {
    let flow = netblock().for_flow(ip("192.0.2.1"), ip(REMOTE));
    let (mut bytes, layers) = error_v4([3, 1], [0; 4], ip(REMOTE), 500);
    bytes[51] = 17;
    let shown = anonymized(&flow, &bytes, layers);
    assert_eq!(shown[51], 17);
    assert!(shown[62..].iter().all(|byte| *byte == 0));
}
