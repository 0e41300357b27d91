use std::convert::Infallible;

use super::*;

/// An IP packet of this protocol, from a port of a host to port 443, which carries this.
fn packet(protocol: u8, (host, port): (u8, u16), carried: &[u8]) -> Vec<u8> {
    let length = u16::try_from(24 + carried.len()).unwrap();
    let mut ip = vec![0x45, 0];
    ip.extend(length.to_be_bytes());
    ip.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    ip.extend([10, 0, 0, host, 10, 0, 0, 100]);
    ip.extend(port.to_be_bytes());
    ip.extend([1, 187]);
    ip.extend(carried);
    ip
}

const SYN: &[u8] = &[0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0];
const EMPTY: &[u8] = &[0, 8, 0, 0];

#[test]
fn a_flood_of_one_protocol_finishes_nothing_of_the_other() {
    let (mut flows, mut finished) = (Flows::new(false), Vec::new());
    let mut finish = |taken: Taken| {
        finished.push((taken.number(), matches!(taken, Taken::Connection(_))));
        Ok::<_, Infallible>(())
    };
    let mut add = |protocol: u8, from: (u8, u16)| {
        let added = if protocol == 6 {
            let ip = packet(protocol, from, SYN);
            flows.add(0, &Segment::of_ip(0, &ip, 40, 1).unwrap(), &mut finish)
        } else {
            let ip = packet(protocol, from, EMPTY);
            let datagram = Datagram::of_ip(0, &ip, 28, 1).unwrap();
            flows.add_datagram(0, &datagram, &mut finish)
        };
        added.unwrap().number
    };
    // The same ends, by both protocols.
    let one = (1, 7);
    assert_eq!(
        [add(6, one), add(17, one), add(6, one), add(17, one)],
        [0, 1, 0, 1]
    );
    for port in 0..=u16::MAX {
        add(17, (2, port));
    }
    add(17, (3, 7));
    assert_eq!(add(6, one), 0);
    add(6, (4, 7));
    assert_eq!(finished, [(1, false), (2, false)]);
    assert_eq!(flows.early(), 2);
    let mut left = Vec::new();
    let mut finish = |taken: Taken| {
        left.push(taken.number());
        Ok::<_, Infallible>(())
    };
    flows.finish(&mut finish).unwrap();
    assert!(
        left.is_sorted() && left[0] == 0,
        "in the order in which they began"
    );
    assert_eq!(left.len(), 65_538);
}
