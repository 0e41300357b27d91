//! UDP, and QUIC in it.

use proptest::prelude::*;

use super::*;

const REMOTE: &str = "198.51.100.77";

/// A UDP packet of the remote end, with this behind its header.
fn datagram(shown: &[u8]) -> (Vec<u8>, Layers) {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2(REMOTE_MAC, LOCAL_MAC)
        .ipv4([198, 51, 100, 77], [192, 0, 2, 1], 57)
        .udp(50_123, 443)
        .write(&mut bytes, shown)
        .unwrap();
    (bytes, ethernet(14, 34))
}

fn datagram_v6(shown: &[u8]) -> (Vec<u8>, Layers) {
    let ends = ["2001:db8:2::77", "2001:db8:1::1"].map(|end| match ip(end) {
        IpAddr::V6(end) => end.octets(),
        IpAddr::V4(_) => panic!("an IPv4 address"),
    });
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2(REMOTE_MAC, LOCAL_MAC)
        .ipv6(ends[0], ends[1], 57)
        .udp(50_123, 443)
        .write(&mut bytes, shown)
        .unwrap();
    (bytes, ethernet(14, 54))
}

fn flow() -> FlowAnonymizer {
    netblock().for_flow(ip("192.0.2.1"), ip(REMOTE))
}

fn long(version: [u8; 4], ids: [&[u8]; 2]) -> Vec<u8> {
    let mut shown = vec![0xcd];
    shown.extend(version);
    for id in ids {
        shown.push(id.len() as u8);
        shown.extend(id);
    }
    shown
}

/// What is shown of this behind the UDP header.
fn shown(bytes: &[u8]) -> Vec<u8> {
    let (packet, layers) = datagram(bytes);
    anonymized(&flow(), &packet, layers)[42..].to_vec()
}

#[test]
fn ports_and_length_stay_and_the_checksum_does_not() {
    let (bytes, layers) = datagram(&[]);
    assert_ne!(bytes[40..42], [0, 0]);
    let mut want = bytes.clone();
    want[..12].fill(0);
    want[24..26].fill(0);
    want[29] = 0;
    want[40..42].fill(0);
    assert_eq!(anonymized(&flow(), &bytes, layers), want);

    let v6 = netblock().for_flow(ip("2001:db8:1::1"), ip("2001:db8:2::77"));
    let (bytes, layers) = datagram_v6(&[]);
    let found = anonymized(&v6, &bytes, layers);
    assert_eq!(found[54..60], bytes[54..60]);
    assert_eq!(found[60..], [0, 0]);
}

#[test]
fn connection_ids_are_blank_and_the_rest_of_what_quic_shows_stays() {
    let version = [0x6b, 0x33, 0x43, 0xcf];
    let found = shown(&long(version, [&[0xa1; 8], &[0xa2; 20]]));
    assert_eq!(found, long(version, [&[0; 8], &[0; 20]]));
    assert_eq!(shown(&long(version, [&[], &[]])), long(version, [&[], &[]]));
    // A short header: the first byte has the spin bit.
    let found = shown(&[&[0x65][..], &[0xa1; 20]].concat());
    assert_eq!(found, [&[0x65][..], &[0; 20]].concat());
    assert_eq!(shown(&[0x65]), [0x65]);
}

#[test]
fn a_header_that_is_cut_shows_nothing_more() {
    let (bytes, layers) = datagram(&long([0, 0, 0, 1], [&[0xa1; 8], &[0xa2; 8]]));
    let whole = anonymized(&flow(), &bytes, layers);
    for cut in 42..bytes.len() {
        assert_eq!(
            anonymized(&flow(), &bytes[..cut], layers),
            whole[..cut],
            "{cut}"
        );
    }
    for cut in 34..42 {
        let found = anonymized(&flow(), &bytes[..cut], layers);
        assert_eq!(found[34..], vec![0; cut - 34], "{cut}");
    }
}

proptest! {
    /// As of a server that derives them from the address of its client, or one that is known by them elsewhere.
    #[test]
    fn nothing_tells_which_connection_it_is(
        ids in proptest::collection::vec(any::<[u8; 2]>(), 0..40),
        split in 0usize..=20,
        rest in any::<[u8; 2]>(),
        is_long: bool,
    ) {
        let packet = |which: usize| {
            let ids: Vec<u8> = ids.iter().map(|id| id[which]).collect();
            let (one, other) = ids.split_at(split.min(ids.len()));
            let mut shown = match is_long {
                true => long([0, 0, 0, 1], [one, other]),
                false => [&[0x45], &ids[..]].concat(),
            };
            shown.push(rest[which]);
            shown
        };
        prop_assert_eq!(shown(&packet(0)), shown(&packet(1)));
    }
}
