//! Every option and extension header: what of it stays.

use super::*;

fn hidden() -> FlowAnonymizer {
    netblock().for_flow(ip("192.0.2.1"), ip("198.51.100.77"))
}

fn hidden_v6() -> FlowAnonymizer {
    netblock().for_flow(ip("2001:db8:1::1"), ip("2001:db8:2:3:4:5:6:7"))
}

/// What becomes of TCP options in a packet.
fn tcp_options(options: &[u8]) -> Vec<u8> {
    let mut options = options.to_vec();
    options.resize(options.len().next_multiple_of(4), 0);
    let bytes = packet(ip("198.51.100.77"), ip("192.0.2.1"), &options);
    anonymized(&hidden(), &bytes, ethernet(14, 34)).split_off(54)
}

/// What becomes of IPv4 options in a raw packet.
fn ipv4_options(options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![
        0x40 | (5 + options.len() / 4) as u8,
        0,
        0,
        60,
        1,
        2,
        0x40,
        0,
        57,
        6,
        9,
        9,
    ];
    bytes.extend([198, 51, 100, 77, 192, 0, 2, 1]);
    bytes.extend(options);
    before_tcp(&hidden(), bytes)[20..].to_vec()
}

/// What becomes of one IPv6 extension header, of this type, before TCP.
fn extension(kind: u8, header: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0, 0, 60, kind, 57];
    bytes.extend([[7; 16], [8; 16]].concat());
    bytes.extend(header);
    before_tcp(&hidden_v6(), bytes)[40..].to_vec()
}

/// What becomes of an IP header, with all that belongs to it, before TCP.
fn before_tcp(flow: &FlowAnonymizer, mut bytes: Vec<u8>) -> Vec<u8> {
    let l4 = bytes.len();
    bytes.extend(tcp_header());
    let layers = Layers {
        link_type: LinkType::RawIp,
        l3: 0,
        l4,
    };
    anonymized(flow, &bytes, layers)[..l4].to_vec()
}

fn tcp_header() -> [u8; 20] {
    let mut header = [0x77; 20];
    header[12] = 0x50;
    header
}

#[test]
fn what_is_no_secret_is_untouched() {
    let options = harmless_options();
    let [remote, local] = [ip("198.51.100.77"), ip("192.0.2.1")];
    let bytes = packet(remote, local, &options);
    let mut want = bytes.clone();
    want[..12].fill(0);
    want[24..26].fill(0);
    want[29] = 0;
    want[50..52].fill(0);
    assert_eq!(anonymized(&hidden(), &bytes, ethernet(14, 34)), want);

    // The same with tags, of which the lower one is in the bytes of another EtherType.
    let mut tagged = bytes;
    tagged.splice(12..12, [0x88, 0xa8, 0x60, 0x64, 0x81, 0x00, 0x00, 0x65]);
    want.splice(12..12, [0x88, 0xa8, 0x60, 0x64, 0x81, 0x00, 0x00, 0x65]);
    assert_eq!(anonymized(&hidden(), &tagged, ethernet(22, 42)), want);

    let remote = ip("2001:db8:2:3:4:5:6:7");
    let bytes = packet(remote, ip("2001:db8:1::1"), &options);
    let mut want = bytes.clone();
    want[..12].fill(0);
    want[28..38].fill(0);
    want[70..72].fill(0);
    assert_eq!(anonymized(&hidden_v6(), &bytes, ethernet(14, 54)), want);
}

#[test]
fn both_directions_show_the_same_ends() {
    for (one, other) in [
        ("198.51.100.77", "192.0.2.1"),
        ("2001:db8::7", "2001:db8:1::1"),
    ] {
        for anonymizer in both() {
            let flow = anonymizer.for_flow(ip(other), ip(one));
            let layers = ethernet(14, if ip(one).is_ipv4() { 34 } else { 54 });
            let there = anonymized(&flow, &ack(ip(one), ip(other)), layers);
            let back = anonymized(&flow, &ack(ip(other), ip(one)), layers);
            assert_eq!(there.len(), back.len());
            let at = if ip(one).is_ipv4() { 26..34 } else { 22..54 };
            let (first, second) = there[at.clone()].split_at(at.len() / 2);
            assert_eq!(back[at], [second, first].concat());
            let shown = match flow.remote() {
                IpAddr::V4(shown) => shown.octets().to_vec(),
                IpAddr::V6(shown) => shown.octets().to_vec(),
            };
            assert_eq!(first, shown);
        }
    }
}

#[test]
fn a_connection_keeps_its_pseudonyms_when_the_hosts_addresses_change() {
    let [local, remote] = [ip("192.0.2.1"), ip("198.51.100.77")];
    let own = OwnAddresses::default();
    let anonymizer = Anonymizer::new(Method::Netblock, own.clone());
    let flow = anonymizer.for_flow(local, remote);
    own.update(&[remote].into_iter().collect(), std::time::Instant::now());
    assert_eq!(anonymizer.pseudonym(remote), remote);
    let bytes = anonymized(&flow, &ack(remote, local), ethernet(14, 34));
    assert_eq!(bytes[26..34], [198, 51, 100, 0, 192, 0, 2, 1]);
}

#[test]
fn a_mapped_address_on_the_wire_is_hidden_as_its_ipv4_address() {
    let bytes = ack(ip("::ffff:198.51.100.77"), ip("::ffff:192.0.2.1"));
    let shown = anonymized(&hidden(), &bytes, ethernet(14, 54));
    let mut want = bytes;
    want[..12].fill(0);
    want[37] = 0;
    want[70..72].fill(0);
    assert_eq!(shown, want);
}

#[test]
fn known_tcp_options_stay() {
    for known in [
        &[2, 4, 5, 0xb4][..],
        &[3, 3, 7],
        &[4, 2],
        &[8, 10, 1, 2, 3, 4, 5, 6, 7, 8],
        &[5, 10, 1, 2, 3, 4, 5, 6, 7, 8],
        &[
            1, 5, 26, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8,
        ],
        // MPTCP: capable, join, data sequence, remove address, priority, reset.
        &[30, 12, 0x01, 0x81, 1, 2, 3, 4, 5, 6, 7, 8],
        &[30, 12, 0x10, 2, 1, 2, 3, 4, 5, 6, 7, 8],
        &[30, 8, 0x20, 0x01, 9, 9, 9, 9],
        &[30, 4, 0x40, 2],
        &[30, 3, 0x51],
        &[30, 4, 0x80, 1],
    ] {
        let shown = tcp_options(known);
        assert_eq!(shown[..known.len()], *known);
        assert!(shown[known.len()..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn other_tcp_options_keep_kind_and_length() {
    // MD5, AO, fast open, the old fast open in an experimental kind, unknown, and known ones of a
    // length that they never have.
    for (kind, length) in [
        (19, 18),
        (29, 16),
        (34, 10),
        (254, 12),
        (253, 8),
        (77, 5),
        (2, 8),
        (5, 9),
    ] {
        let mut option = vec![0xee; length];
        option[..2].copy_from_slice(&[kind, length as u8]);
        let mut want = vec![0; length.next_multiple_of(4)];
        want[..2].copy_from_slice(&[kind, length as u8]);
        assert_eq!(tcp_options(&option), want);
    }
}

#[test]
fn of_an_announced_multipath_address_the_subtype_stays() {
    let announced = [30, 16, 0x31, 2, 198, 51, 100, 77, 1, 2, 3, 4, 5, 6, 7, 8];
    let mut want = [0; 16];
    want[..3].copy_from_slice(&[30, 16, 0x30]);
    assert_eq!(tcp_options(&announced), want);
    assert_eq!(
        tcp_options(&[30, 6, 0xf1, 2, 3, 4])[..6],
        [30, 6, 0xf0, 0, 0, 0]
    );
    assert_eq!(tcp_options(&[30, 2, 1, 1]), [30, 2, 1, 1]);
}

#[test]
fn a_list_of_tcp_options_that_does_not_add_up_is_zeroed_from_there() {
    assert_eq!(
        tcp_options(&[1, 3, 3, 7, 77, 9, 5, 6]),
        [1, 3, 3, 7, 0, 0, 0, 0]
    );
    assert_eq!(
        tcp_options(&[1, 3, 3, 7, 77, 1, 5, 6]),
        [1, 3, 3, 7, 0, 0, 0, 0]
    );
    assert_eq!(
        tcp_options(&[1, 3, 3, 7, 77, 0, 5, 6]),
        [1, 3, 3, 7, 0, 0, 0, 0]
    );
    assert_eq!(tcp_options(&[1, 1, 1, 77]), [1, 1, 1, 0]);
    // What stands behind the end.
    assert_eq!(
        tcp_options(&[1, 0, 198, 51, 100, 77, 1, 1]),
        [1, 0, 0, 0, 0, 0, 0, 0]
    );
}

#[test]
fn ipv4_options_are_blanked_but_router_alert() {
    assert_eq!(
        ipv4_options(&[1, 148, 4, 0, 7, 0, 0, 0]),
        [1, 148, 4, 0, 7, 0, 0, 0]
    );
    // Record route, loose and strict source route, time stamp, unknown, and a long router alert.
    for kind in [7, 131, 137, 68, 30, 148] {
        let route = [kind, 11, 12, 198, 51, 100, 77, 198, 51, 100, 78, 1];
        assert_eq!(
            ipv4_options(&route),
            [kind, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
        );
    }
    assert_eq!(ipv4_options(&[7, 9, 8, 198, 51, 100, 77, 1]), [0; 8]);
    assert_eq!(ipv4_options(&[1, 7, 1, 198]), [1, 0, 0, 0]);
    assert_eq!(ipv4_options(&[1, 0, 51, 100]), [1, 0, 0, 0]);
}

#[test]
fn ipv6_options_are_blanked_but_router_alert_and_jumbo() {
    for kind in [0, 60] {
        let kept = [6, 1, 0, 5, 2, 0, 1, 0, 0xc2, 4, 0, 1, 0, 0, 0, 0];
        assert_eq!(extension(kind, &kept), kept);
        // Padding that is not zero; a home address; an option that is longer than the header.
        let padded = [6, 0, 1, 4, 1, 2, 3, 4];
        assert_eq!(extension(kind, &padded), [6, 0, 1, 4, 0, 0, 0, 0]);
        let mut home = [9; 24];
        home[..6].copy_from_slice(&[6, 2, 1, 0, 0xc9, 16]);
        home[22] = 0;
        let mut want = [0; 24];
        want[..6].copy_from_slice(&home[..6]);
        assert_eq!(extension(kind, &home), want);
        let broken = [6, 0, 0, 30, 9, 2, 3, 4];
        assert_eq!(extension(kind, &broken), [6, 0, 0, 0, 0, 0, 0, 0]);
    }
}

#[test]
fn routing_headers_keep_what_is_no_address() {
    for (kind, kept) in [(0, 4), (2, 4), (3, 4), (4, 8), (200, 4)] {
        let mut header = [9; 24];
        header[..4].copy_from_slice(&[6, 2, kind, 1]);
        let mut want = [0; 24];
        want[..kept].copy_from_slice(&header[..kept]);
        assert_eq!(extension(43, &header), want);
    }
}

#[test]
fn a_fragment_header_stays_and_what_signs_or_moves_addresses_does_not() {
    // Its second byte is no length.
    for reserved in [0, 9] {
        let fragment = [6, reserved, 0, 1, 1, 2, 3, 4];
        assert_eq!(extension(44, &fragment), fragment);
    }
    let mut signed = [9; 24];
    signed[..2].copy_from_slice(&[6, 4]);
    let mut want = [0; 24];
    want[..12].copy_from_slice(&signed[..12]);
    assert_eq!(extension(51, &signed), want);
    for kind in [135, 139, 140] {
        let mut header = [9; 16];
        header[..2].copy_from_slice(&[6, 1]);
        let mut want = [0; 16];
        want[..2].copy_from_slice(&[6, 1]);
        assert_eq!(extension(kind, &header), want);
    }
}

#[test]
fn an_ip_header_that_does_not_lead_to_tcp_is_zeroed() {
    // SCTP, in name; and a header that is longer than what there is.
    assert_eq!(extension(44, &[132, 0, 0, 1, 198, 51, 100, 77]), [0; 8]);
    assert_eq!(extension(60, &[6, 1, 1, 4, 198, 51, 100, 77]), [0; 8]);
    assert_eq!(extension(50, &[6, 0, 1, 4, 198, 51, 100, 77]), [0; 8]);
    // Where nothing is missing, that is so without a TCP header, too.
    let mut sctp = vec![0x45, 0, 0, 60, 1, 2, 0x40, 0, 57, 132, 9, 9];
    sctp.extend([198, 51, 100, 77, 192, 0, 2, 1]);
    let layers = Layers {
        link_type: LinkType::RawIp,
        l3: 0,
        l4: 20,
    };
    assert_eq!(anonymized(&hidden(), &sctp, layers), [0; 20]);
}

#[test]
fn of_headers_that_are_cut_the_ip_header_stays_readable() {
    let mut whole = vec![0x60, 0, 0, 0, 0, 220, 43, 57];
    whole.extend(
        "2001:db8:2:3:4:5:6:7"
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
            .octets(),
    );
    whole.extend(
        "2001:db8:1::1"
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
            .octets(),
    );
    whole.extend([[6, 24, 4, 0, 0, 0, 0, 0], [0x5a; 8]].concat());
    let layers = Layers {
        link_type: LinkType::RawIp,
        l3: 0,
        l4: 240,
    };
    let shown = anonymized(&hidden_v6(), &whole, layers);
    assert_eq!(shown[..8], whole[..8]);
    assert!(!occurs(&[2, 0, 3, 0, 4, 0, 5], &shown));
    assert_ne!(shown[8..40], [0; 32]);
    assert_eq!(shown[40..], [0; 16]);
    assert_eq!(anonymized(&hidden_v6(), &whole[..39], layers), [0; 39]); // Where the cut is at the end of the fixed part.
    let kept = anonymized(&hidden_v6(), &whole[..40], layers);
    assert_eq!(kept, shown[..40]);

    let mut whole = vec![0x46, 0, 0, 60, 1, 2, 0x40, 0, 57, 6, 9, 9];
    whole.extend([198, 51, 100, 77, 192, 0, 2, 1, 7, 7]);
    let mut want = whole.clone();
    want[10..12].fill(0);
    want[15] = 0;
    want[20..].fill(0);
    for length in [20, 22] {
        let shown = anonymized(&hidden(), &whole[..length], layers);
        assert_eq!(shown, want[..length]);
    }
    assert_eq!(anonymized(&hidden(), &whole[..19], layers), [0; 19]);
}
