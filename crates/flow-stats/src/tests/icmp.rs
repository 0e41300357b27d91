//! ICMP errors that quote a packet of the connection.

use super::exchange::{client, server};
use crate::{Connection, IcmpError};

/// An ICMP error with these eight bytes that quotes the beginning of a packet.
fn error_v4(header: [u8; 8], quoted: &[u8]) -> Vec<u8> {
    let mut ip = vec![
        0x45, 0, 0, 200, 0, 1, 0, 0, 250, 1, 0, 0, 203, 0, 113, 9, 192, 0, 2, 1,
    ];
    ip.extend([&header[..], quoted].concat());
    ip
}

fn error_v6(header: [u8; 8], quoted: &[u8]) -> Vec<u8> {
    let mut ip = vec![0x60, 0, 0, 0, 0, 200, 58, 250];
    ip.extend([9; 32]);
    ip.extend([&header[..], quoted].concat());
    ip
}

const TOO_BIG: [u8; 8] = [3, 4, 0, 0, 0, 0, 0x05, 0x14];

#[test]
fn they_tell_whom_they_are_about_and_how_large_a_packet_may_be() {
    let quoted = client(1, 1).data(100).bytes([0, 0]);
    let error = IcmpError::of_ip(7, &error_v4(TOO_BIG, &quoted)).unwrap();
    let segment = client(1, 1).at(0, [0, 0]).unwrap();
    assert_eq!((error.ends(), error.time()), (segment.ends(), 7));
    let mut connection = Connection::new(&segment);
    let before = connection.row();
    assert_eq!((before.icmp.errors, before.icmp.mtu_bytes), (Some(0), None));
    connection.add_error(&error);
    // A smaller one counts; an older router tells none.
    for mtu in [5, 2, 0] {
        connection.add_error(&IcmpError::of_ip(8, &error_v4(mtu_of(mtu), &quoted)).unwrap());
    }
    let after = connection.row();
    assert_eq!(
        (after.icmp.errors, after.icmp.mtu_bytes),
        (Some(4), Some(512))
    );
    // Nothing else has changed.
    let icmp = before.icmp.clone();
    assert_eq!(crate::Row { icmp, ..after }, before);
}

fn mtu_of(high: u8) -> [u8; 8] {
    [3, 4, 0, 0, 0, 0, high, 0]
}

#[test]
fn each_version_has_its_own() {
    let v6 = client(1, 1).between("[2001:db8::1]:5", "[2001:db8::2]:6");
    let quoted = v6.bytes([0, 0]);
    let error = IcmpError::of_ip(0, &error_v6([2, 0, 0, 0, 0, 0, 5, 0], &quoted)).unwrap();
    let ends = error.ends();
    assert_eq!((ends.0.port(), ends.1.port()), (5, 6));
    for kind in [1, 3, 4] {
        let error = error_v6([kind, 0, 0, 0, 0, 0, 0, 0], &quoted);
        assert!(IcmpError::of_ip(0, &error).is_some());
    }
    let quoted_v4 = server(1, 1).bytes([0, 0]);
    for kind in [3, 4, 5, 11, 12] {
        let error = error_v4([kind, 0, 0, 0, 0, 0, 0, 0], &quoted_v4);
        assert!(IcmpError::of_ip(0, &error).is_some());
    }
    // Echoes, neighbours, and one version that quotes the other.
    for other in [
        error_v4([8, 0, 0, 0, 0, 0, 0, 0], &quoted_v4),
        error_v4([2, 0, 0, 0, 0, 0, 0, 0], &quoted_v4),
        error_v6([128, 0, 0, 0, 0, 0, 0, 0], &quoted),
        error_v6([137, 0, 0, 0, 0, 0, 0, 0], &quoted),
        error_v4(TOO_BIG, &quoted),
        error_v6([1, 0, 0, 0, 0, 0, 0, 0], &quoted_v4),
    ] {
        assert_eq!(IcmpError::of_ip(0, &other), None);
    }
}

#[test]
fn a_quote_may_end_behind_the_ports() {
    let quoted = client(1, 1).bytes([0, 0]);
    for kept in 0..=quoted.len() {
        let error = IcmpError::of_ip(0, &error_v4(TOO_BIG, &quoted[..kept]));
        assert_eq!(error.is_some(), kept >= 24, "{kept}");
    }
    let mut udp = quoted.clone();
    udp[9] = 17;
    assert_eq!(IcmpError::of_ip(0, &error_v4(TOO_BIG, &udp)), None);
    let mut later = quoted;
    later[7] = 1;
    assert_eq!(IcmpError::of_ip(0, &error_v4(TOO_BIG, &later)), None);
}
