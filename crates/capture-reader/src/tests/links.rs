//! Where IP is found, by link type.

use super::common::{Order, classic, read};

const IP: &[u8] = b"\x45 an IP packet";

fn found(link_type: u32, before: &[u8], ip: &[u8]) -> Option<(Vec<u8>, u32)> {
    let bytes = [before, ip].concat();
    let file = classic(
        Order::Little,
        0xa1b2_c3d4,
        link_type,
        &[(0, 0, bytes.len() as u32 + 100, &bytes)],
    );
    let mut found = None;
    let end = read(&file, |_, packet| {
        found = packet.ip().map(|(ip, wire_len)| (ip.to_vec(), wire_len));
    });
    assert!(end.is_none());
    found
}

#[test]
fn ip_is_found_behind_every_link_header() {
    const MACS: [u8; 12] = [0xee; 12];
    let ethernet = |rest: &[u8]| [&MACS, rest].concat();
    for (name, link_type, before) in [
        ("Ethernet", 1, ethernet(b"\x08\x00")),
        ("802.1Q", 1, ethernet(b"\x81\x00\x00\x05\x08\x00")),
        (
            "QinQ",
            1,
            ethernet(b"\x88\xa8\x00\x05\x81\x00\x00\x06\x86\xdd"),
        ),
        (
            "PPPoE",
            1,
            ethernet(b"\x88\x64\x11\x00\x00\x01\x00\x30\x00\x21"),
        ),
        ("raw", 101, vec![]),
        ("raw, another number", 12, vec![]),
        ("IPv4", 228, vec![]),
        ("BSD loopback", 0, b"\x02\x00\x00\x00".to_vec()),
        ("OpenBSD loopback", 108, b"\x00\x00\x00\x02".to_vec()),
        ("cooked", 113, [&[0; 14][..], b"\x08\x00"].concat()),
        (
            "cooked, with a tag",
            113,
            [&[0; 14][..], b"\x81\x00\x00\x05\x08\x00"].concat(),
        ),
        ("cooked 2", 276, [b"\x08\x00", &[0; 18][..]].concat()),
        ("PPP", 9, b"\xff\x03\x00\x21".to_vec()),
        ("PPP, short", 9, b"\x21".to_vec()),
    ] {
        let want = Some((IP.to_vec(), IP.len() as u32 + 100));
        assert_eq!(found(link_type, &before, IP), want, "{name}");
        // Whatever is missing, nothing is found in it.
        for length in 0..before.len() {
            assert!(
                found(link_type, &before[..length], &[]).is_none(),
                "{name} {length}"
            );
        }
    }
}

#[test]
fn what_is_not_ip_is_passed_over() {
    for (link_type, bytes) in [
        (
            1,
            &b"\xee\xee\xee\xee\xee\xee\xee\xee\xee\xee\xee\xee\x08\x06 ARP"[..],
        ),
        (
            1,
            b"\xee\xee\xee\xee\xee\xee\xee\xee\xee\xee\xee\xee\x08\x00\x15 of no version",
        ),
        (101, b"\x00"),
        (147, IP),
    ] {
        assert_eq!(found(link_type, bytes, &[]), None, "{bytes:?}");
    }
}
