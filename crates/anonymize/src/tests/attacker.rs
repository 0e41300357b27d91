//! Who has the files, knows every other field, and tries all addresses.

use super::*;

/// Sums up 16-bit words (RFC 1071): ffff over a header whose checksum is right.
fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| {
        u32::from(u16::from_be_bytes([
            word[0],
            word.get(1).copied().unwrap_or(0),
        ]))
    });
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// Which addresses of the network fit the IPv4 header checksum, and which the TCP checksum.
fn fitting_v4(bytes: &[u8]) -> [Vec<u8>; 2] {
    let l4 = 14 + usize::from(bytes[14] & 0x0f) * 4;
    let mut fits = [vec![], vec![]];
    for guess in 0..=255 {
        let mut bytes = bytes.to_vec();
        bytes[29] = guess;
        if sum(&bytes[14..l4]) == 0xffff {
            fits[0].push(guess);
        }
        let mut pseudo = bytes[26..34].to_vec();
        pseudo.extend([0, 6, 0, (bytes.len() - l4) as u8]);
        pseudo.extend(&bytes[l4..]);
        if sum(&pseudo) == 0xffff {
            fits[1].push(guess);
        }
    }
    fits
}

/// Which of the low 16 bits of the IPv6 source fit the TCP checksum.
fn fitting_v6(bytes: &[u8], l4: usize, destination: [u8; 16]) -> Vec<u16> {
    let mut pseudo = bytes[22..38].to_vec();
    pseudo.extend(destination);
    pseudo.extend([0, 0, 0, (bytes.len() - l4) as u8, 0, 0, 0, 6]);
    pseudo.extend(&bytes[l4..]);
    (0..=u16::MAX)
        .filter(|guess| {
            pseudo[14..16].copy_from_slice(&guess.to_be_bytes());
            sum(&pseudo) == 0xffff
        })
        .collect()
}

fn remote(last: u8) -> IpAddr {
    IpAddr::from([198, 51, 100, last])
}

/// A cookie or signature that depends on everything in the address, as a real one does.
fn secret_of(address: IpAddr) -> [u8; 16] {
    let IpAddr::V4(address) = address else {
        panic!("an IPv6 address");
    };
    u128::from(address.to_bits())
        .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
        .to_be_bytes()
}

fn md5(address: IpAddr) -> Vec<u8> {
    [&[19, 18][..], &secret_of(address), &[1, 1]].concat()
}

fn fast_open(address: IpAddr) -> Vec<u8> {
    [&[34, 18][..], &secret_of(address), &[1, 1]].concat()
}

fn announced(address: IpAddr) -> Vec<u8> {
    let IpAddr::V4(octets) = address else {
        panic!("an IPv6 address");
    };
    [
        &[30, 16, 0x30, 2][..],
        &octets.octets(),
        &secret_of(address)[..8],
    ]
    .concat()
}

/// An ACK with IPv4 options that record a route, by way of the sender.
fn routed(address: IpAddr) -> Vec<u8> {
    let IpAddr::V4(octets) = address else {
        panic!("an IPv6 address");
    };
    let mut header = etherparse::Ipv4Header::new(
        20,
        57,
        etherparse::IpNumber::TCP,
        octets.octets(),
        [192, 0, 2, 1],
    )
    .unwrap();
    let options = [&[7, 7, 8][..], &octets.octets(), &[0]].concat();
    header.options = (&options[..]).try_into().unwrap();
    let mut tcp = TcpHeader::new(50_123, 443, 0x1234_5678, 29_200);
    tcp.ack = true;
    tcp.checksum = tcp.calc_checksum_ipv4(&header, &[]).unwrap();
    header.header_checksum = header.calc_header_checksum();
    let mut bytes = [&LOCAL_MAC[..], &REMOTE_MAC, &[0x08, 0x00]].concat();
    header.write(&mut bytes).unwrap();
    tcp.write(&mut bytes).unwrap();
    bytes
}

/// An IPv6 ACK with a segment routing header whose segments and HMAC tell the source.
fn segment_routed(source: [u8; 16], destination: [u8; 16]) -> (Vec<u8>, usize) {
    let mut tcp = TcpHeader::new(50_123, 443, 0x1234_5678, 29_200);
    tcp.ack = true;
    tcp.checksum = tcp
        .calc_checksum_ipv6_raw(source, destination, &[])
        .unwrap();
    let mut bytes = [&LOCAL_MAC[..], &REMOTE_MAC, &[0x86, 0xdd]].concat();
    bytes.extend([0x60, 0, 0, 0, 0, 100, 43, 57]);
    bytes.extend([source, destination].concat());
    // Type 4, no segments left, two segments, an HMAC.
    bytes.extend([6, 9, 4, 0, 1, 0, 0, 0]);
    bytes.extend([source, destination].concat());
    bytes.extend([5, 38, 0, 0, 0, 0, 0, 1]);
    bytes.extend([source, source].concat());
    let l4 = bytes.len();
    assert_eq!(l4, 14 + 40 + 80);
    tcp.write(&mut bytes).unwrap();
    (bytes, l4)
}

/// Two files cannot be told apart that only differ in who it was.
fn indistinguishable(build: impl Fn(IpAddr) -> Vec<u8>) {
    let all = || (0..=255).map(|last| (last, build(remote(last))));
    // The test is awake: where only the address is hidden, what is left gives it away.
    for (last, mut bytes) in all() {
        bytes[29] = 0;
        assert_eq!(fitting_v4(&bytes)[0], [last]);
    }
    for anonymizer in both() {
        let mut seen = None;
        for (last, bytes) in all() {
            let l4 = 14 + usize::from(bytes[14] & 0x0f) * 4;
            let flow = anonymizer.for_flow(ip("192.0.2.1"), remote(last));
            let mut bytes = anonymized(&flow, &bytes, ethernet(14, l4));
            assert!(!occurs(&[198, 51, 100, last], &bytes) || last == 0);
            assert!(!occurs(&LOCAL_MAC, &bytes) && !occurs(&REMOTE_MAC, &bytes));
            let fits = fitting_v4(&bytes);
            assert!(fits.iter().all(|fits| fits.len() != 1 || fits[0] != last));
            // A pseudonym differs, as it should; it does so by the key alone.
            bytes[26..30].fill(0);
            assert_eq!(seen.get_or_insert_with(|| bytes.clone()), &bytes);
        }
    }
}

#[test]
fn the_checksums_of_a_pure_ack_give_nothing_back() {
    let local = ip("192.0.2.1");
    // In a copy where they stay, each of them does.
    for last in [1, 77, 254] {
        let mut bytes = ack(remote(last), local);
        bytes[29] = 0;
        assert_eq!(fitting_v4(&bytes), [[last], [last]]);
    }
    indistinguishable(|remote| ack(remote, local));
    indistinguishable(|remote| packet(remote, local, &harmless_options()));
}

/// Neither its own checksum nor one of those that it quotes: they all cover the address.
#[test]
fn an_icmp_error_gives_nothing_back() {
    let build = |last: u8| {
        let quoted = ack(remote(last), ip("192.0.2.1"));
        let mut icmp = [&[3, 1, 0, 0, 0, 0, 0, 0][..], &quoted[14..]].concat();
        let checksum = !sum(&icmp);
        icmp[2..4].copy_from_slice(&checksum.to_be_bytes());
        let mut bytes = [&LOCAL_MAC[..], &REMOTE_MAC, &[0x08, 0x00]].concat();
        bytes.extend([
            0x45, 0, 0, 68, 1, 2, 0, 0, 250, 1, 0, 0, 203, 0, 113, 9, 192, 0, 2, 1,
        ]);
        let checksum = !sum(&bytes[14..34]);
        bytes[24..26].copy_from_slice(&checksum.to_be_bytes());
        bytes.extend(icmp);
        bytes
    };
    // The test is awake.
    assert_ne!(build(1)[36..38], build(2)[36..38]);
    for anonymizer in both() {
        let mut seen = None;
        for last in 0..=255 {
            let flow = anonymizer.for_flow(ip("192.0.2.1"), remote(last));
            let mut bytes = anonymized(&flow, &build(last), ethernet(14, 34));
            assert!(!occurs(&[198, 51, 100, last], &bytes) || last == 0);
            // The pseudonym.
            bytes[54..58].fill(0);
            assert_eq!(seen.get_or_insert_with(|| bytes.clone()), &bytes);
        }
    }
}

#[test]
fn options_that_are_made_of_an_address_give_nothing_back() {
    let local = ip("192.0.2.1");
    for option in [md5, fast_open, announced] {
        assert_ne!(option(remote(1)), option(remote(2)));
        indistinguishable(|remote| packet(remote, local, &option(remote)));
    }
}

#[test]
fn a_recorded_route_gives_nothing_back() {
    indistinguishable(routed);
}

#[test]
fn a_segment_routing_header_gives_nothing_back() {
    let destination = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let source = |low: u16| {
        let mut source = [0x20, 1, 0xd, 0xb8, 0, 2, 0, 3, 4, 5, 6, 7, 8, 9, 0, 0];
        source[14..].copy_from_slice(&low.to_be_bytes());
        source
    };
    // With the checksum, 16 bits come back.
    let (mut bytes, l4) = segment_routed(source(0xbeef), destination);
    bytes[36..38].fill(0);
    assert_eq!(fitting_v6(&bytes, l4, destination), [0xbeef]);

    let mut seen = None;
    let anonymized_at = |low| {
        let flow = netblock().for_flow(destination.into(), source(low).into());
        let (bytes, l4) = segment_routed(source(low), destination);
        anonymized(&flow, &bytes, ethernet(14, l4))
    };
    for low in 0..=u16::MAX {
        let bytes = anonymized_at(low);
        assert!(!occurs(&source(low)[6..], &bytes));
        assert_eq!(seen.get_or_insert_with(|| bytes.clone()), &bytes);
    }
    let bytes = anonymized_at(0xbeef);
    assert_ne!(fitting_v6(&bytes, l4, destination), [0xbeef]);
    assert!(!occurs(&LOCAL_MAC, &bytes) && !occurs(&REMOTE_MAC, &bytes));
}
