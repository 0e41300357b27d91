//! What addresses become.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn prefix_preserving(key: &str) -> Anonymizer {
    let mut bytes = [0; 32];
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&key[2 * n..2 * n + 2], 16).unwrap();
    }
    let method = Method::PrefixPreserving(Key::new(bytes).unwrap());
    Anonymizer::new(method, OwnAddresses::default())
}

/// How many bits two addresses have in common from the front.
fn common(one: IpAddr, other: IpAddr) -> u32 {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => panic!("{one} and {other} are of two families"),
    }
}

#[test]
fn prefix_preserving_gives_the_published_vectors() {
    // draft-denis-ipcrypt, appendix "ipcrypt-pfx Test Vectors".
    let basic = "0123456789abcdeffedcba98765432101032547698badcfeefcdab8967452301";
    let prefix = "2b7e151628aed2a6abf7158809cf4f3ca9f5ba40db214c3798f2e1c23456789a";
    for (key, real, shown) in [
        (basic, "0.0.0.0", "151.82.155.134"),
        (basic, "255.255.255.255", "94.185.169.89"),
        (basic, "192.0.2.1", "100.115.72.131"),
        (
            basic,
            "2001:db8::1",
            "c180:5dd4:2587:3524:30ab:fa65:6ab6:f88",
        ),
        (prefix, "10.0.0.47", "19.214.210.244"),
        (prefix, "10.0.0.129", "19.214.210.80"),
        (prefix, "10.0.0.234", "19.214.210.30"),
        (prefix, "172.16.5.193", "210.78.229.136"),
        (prefix, "172.16.97.42", "210.78.179.241"),
        (prefix, "172.16.248.177", "210.78.121.215"),
        (
            prefix,
            "2001:db8::a5c9:4e2f:bb91:5a7d",
            "7cec:702c:1243:f70:1956:125:b9bd:1aba",
        ),
        (
            prefix,
            "2001:db8::7234:d8f1:3c6e:9a52",
            "7cec:702c:1243:f70:a3ef:c8e:95c1:cd0d",
        ),
        (
            prefix,
            "2001:db8::f1e0:937b:26d4:8c1a",
            "7cec:702c:1243:f70:443c:c8e:6a62:b64d",
        ),
        (
            prefix,
            "2001:db8:3a5c::e7d1:4b9f:2c8a:f673",
            "7cec:702c:3503:bef:e616:96bd:be33:a9b9",
        ),
        (
            prefix,
            "2001:db8:9f27::b4e2:7a3d:5f91:c8e6",
            "7cec:702c:a504:b74e:194a:3d90:b047:2d1a",
        ),
        (
            prefix,
            "2001:db8:d8b4::193c:a5e7:8b2f:46d1",
            "7cec:702c:f840:aa67:1b8:e84f:ac9d:77fb",
        ),
    ] {
        assert_eq!(
            prefix_preserving(key).pseudonym(ip(real)),
            ip(shown),
            "{real}"
        );
    }
}

#[test]
fn netblock_keeps_the_network_and_zeroes_the_rest() {
    for (real, shown) in [
        ("198.51.100.77", "198.51.100.0"),
        ("2001:db8:1234:5678:9abc:def0:1234:5678", "2001:db8:1234::"),
        ("::ffff:198.51.100.77", "198.51.100.0"),
        // 6to4 has the whole IPv4 address, 198.51.100.77, in the first 48 bits.
        ("2002:c633:644d:1::1", "2002:c633:6400::"),
        // NAT64 (RFC 6052) has it in the last 32.
        ("64:ff9b::c633:644d", "64:ff9b::"),
    ] {
        assert_eq!(netblock().pseudonym(ip(real)), ip(shown));
    }
}

#[test]
fn netblock_leaves_own_addresses_as_they_are_and_prefix_preserving_does_not() {
    let own: OwnAddresses = [ip("198.51.100.77"), ip("2001:db8::7")]
        .into_iter()
        .collect();
    let anonymizer = Anonymizer::new(Method::Netblock, own.clone());
    assert_eq!(
        anonymizer.pseudonym(ip("198.51.100.77")),
        ip("198.51.100.77")
    );
    assert_eq!(
        anonymizer.pseudonym(ip("::ffff:198.51.100.77")),
        ip("198.51.100.77")
    );
    assert_eq!(anonymizer.pseudonym(ip("2001:db8::7")), ip("2001:db8::7"));
    assert_eq!(
        anonymizer.pseudonym(ip("198.51.100.78")),
        ip("198.51.100.0")
    );
    let flow = anonymizer.for_flow(ip("192.0.2.1"), ip("198.51.100.77"));
    assert_eq!(flow.remote(), ip("198.51.100.77"));

    let anonymizer = Anonymizer::new(Method::PrefixPreserving(key()), own);
    let flow = anonymizer.for_flow(ip("198.51.100.77"), ip("198.51.100.78"));
    assert_ne!(flow.local(), ip("198.51.100.77"));
    assert_eq!(flow.local(), anonymizer.pseudonym(ip("198.51.100.77")));
    assert_eq!(common(flow.local(), flow.remote()), 30);
}

#[test]
fn the_local_end_is_an_own_address_whatever_interfaces_have() {
    let flow = netblock().for_flow(ip("::ffff:192.0.2.9"), ip("198.51.100.77"));
    assert_eq!(flow.local(), ip("192.0.2.9"));
    assert_eq!(flow.remote(), ip("198.51.100.0"));
    let loopback = netblock().for_flow(ip("127.0.0.5"), ip("127.0.0.5"));
    assert_eq!(loopback.remote(), ip("127.0.0.5"));
}

#[test]
fn in_transit_no_end_is_local_unless_it_is_an_own_address() {
    let transit = netblock().for_transit(ip("::ffff:192.0.2.9"), ip("198.51.100.77"));
    assert_eq!(transit.local(), ip("192.0.2.0"));
    assert_eq!(transit.remote(), ip("198.51.100.0"));
    let bytes = ack(ip("198.51.100.77"), ip("192.0.2.9"));
    let shown = anonymized(&transit, &bytes, ethernet(14, 34));
    assert_eq!(shown[26..34], [198, 51, 100, 0, 192, 0, 2, 0]);

    let own: OwnAddresses = [ip("198.51.100.77")].into_iter().collect();
    let anonymizer = Anonymizer::new(Method::Netblock, own);
    let transit = anonymizer.for_transit(ip("192.0.2.9"), ip("198.51.100.77"));
    assert_eq!(transit.remote(), ip("198.51.100.77"));
}

proptest! {
    #[test]
    fn an_equal_prefix_stays_equal(
        one: u128, other: u128, v4: bool, shared in 0u32..=128
    ) {
        // Two addresses that share at least so many bits.
        let shared = if v4 { shared % 33 } else { shared };
        let address = |bits: u128| if v4 {
            IpAddr::V4(Ipv4Addr::from_bits((bits >> 96) as u32))
        } else {
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        };
        let mask = u128::MAX.checked_shl(128 - shared).unwrap_or(0);
        let (one, other) = (address(one), address(one & mask | other & !mask));
        prop_assume!(one.to_canonical() == one && other.to_canonical() == other);
        let real = common(one, other);
        let [netblock, prefix_preserving] = both();
        prop_assert!(common(netblock.pseudonym(one), netblock.pseudonym(other)) >= real);
        // Not one bit more, so that no two become one.
        let shown = common(prefix_preserving.pseudonym(one), prefix_preserving.pseudonym(other));
        prop_assert_eq!(shown, real);
    }
}
