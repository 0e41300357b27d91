//! The comparison itself: it accepts equal captures, and finds every difference.

use super::*;
use crate::verify::pcap::Transport;

pub(super) const NANOSECOND: Duration = Duration::from_nanos(1);

const fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// A packet of `len` bytes on the wire, all of which are captured, 54 of them headers.
fn packet(way: bool, time: Duration, sequence: u32, len: u32) -> Packet {
    let (a, b) = ("10.0.0.1:1", "10.0.0.2:2");
    let (from, to) = if way { (a, b) } else { (b, a) };
    Packet {
        time,
        wire_len: len,
        captured: vec![sequence.to_le_bytes()[0]; len as usize],
        header_len: 54,
        transport: Transport::Tcp,
        transport_header_len: 20,
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        sequence,
        opens: sequence == 0,
        ends: false,
        synchronizes: sequence == 0,
    }
}

pub(super) fn tcpdump() -> Vec<Packet> {
    vec![
        packet(true, micros(1), 0, 54),
        packet(false, micros(2), 1, 54),
        packet(true, micros(3), 2, 100),
        packet(false, micros(4), 3, 54),
    ]
}

pub(super) fn ours() -> Vec<Packet> {
    let mut packets = tcpdump();
    for packet in &mut packets {
        packet.captured.truncate(54);
    }
    packets
}

#[test]
fn equal_captures_are_equal() {
    equal(&ours(), &tcpdump()).unwrap();
    equal_until(&ours(), &tcpdump(), Duration::MAX).unwrap();
    equal_until(&ours()[..3], &tcpdump(), micros(4)).unwrap();
}

#[test]
fn every_difference_is_told() {
    type Change = fn(&mut Vec<Packet>);
    let cases: [(Change, &str); 8] = [
        (|p| p[2].wire_len = 54, "wire length"),
        (|p| p[2].captured.push(0), "55 bytes captured of 54"),
        (|p| p[2].captured.truncate(53), "53 bytes captured of 54"),
        (|p| p[2].captured[53] ^= 1, "header byte 53"),
        (|p| p[3].time += PREEMPTED + NANOSECOND, "the times are"),
        (|p| p[2].time = NANOSECOND, "order of time"),
        (|p| drop(p.pop()), "we have 1 packets, tcpdump has 2"),
        (|p| p[1].from.set_port(9), "another connection"),
    ];
    for (change, told) in cases {
        let mut packets = ours();
        change(&mut packets);
        let message = equal(&packets, &tcpdump()).unwrap_err().to_string();
        assert!(message.contains(told), "{message}");
    }
}

#[test]
fn gaps_are_where_they_may_be() {
    let mut theirs = tcpdump();
    let long = 200;
    theirs.extend((4..long).map(|n| packet(true, TOLERANCE * n, n, 54)));
    let mut ours = theirs.clone();
    ours.iter_mut()
        .for_each(|packet| packet.captured.truncate(54));
    assert_eq!(equal_but(&ours, &theirs, |_| false).unwrap(), 0);
    ours.drain(10..190);
    assert_eq!(equal_but(&ours, &theirs, |_| true).unwrap(), 180);
    let error = equal_but(&ours, &theirs, |packet| packet.sequence != 20).unwrap_err();
    assert!(error.to_string().contains("missing is"), "{error}");
    ours[11].captured[53] ^= 1;
    assert!(equal_but(&ours, &theirs, |_| true).is_err());
}

#[test]
fn packets_may_overtake() {
    let mut theirs = tcpdump();
    theirs.swap(0, 2);
    equal(&ours(), &theirs).unwrap();
}

#[test]
fn times_are_far_apart_for_a_few_packets_only() {
    let late = |count: usize| {
        let mut late = ours();
        for packet in &mut late[4 - count..] {
            packet.time += TOLERANCE + NANOSECOND;
        }
        equal(&late, &tcpdump())
    };
    late(FEW).unwrap();
    let error = late(FEW + 1).unwrap_err().to_string();
    assert!(error.contains("4 of 4 packets"), "{error}");
}

#[test]
fn a_capture_that_ends_early_is_told() {
    let moment = Duration::from_nanos(3_500);
    let error = equal_until(&ours()[..2], &tcpdump(), moment).unwrap_err();
    assert!(error.to_string().contains("500ns before"), "{error}");
    let mut holed = ours();
    holed.remove(0);
    for packet in &mut holed {
        packet.time += TOLERANCE;
    }
    let mut theirs = tcpdump();
    theirs[2].time += 2 * TOLERANCE;
    theirs[3].time += 2 * TOLERANCE;
    let error = equal_until(&holed, &theirs, Duration::ZERO).unwrap_err();
    assert!(error.to_string().contains("before the end"), "{error}");
    let error = equal_until(&ours(), &tcpdump()[..3], Duration::ZERO).unwrap_err();
    assert!(
        error.to_string().contains("tcpdump does not have"),
        "{error}"
    );
}

#[test]
fn a_new_syn_is_a_new_connection_and_a_repeated_one_is_not() {
    let mut packets = tcpdump();
    packets.insert(1, packet(true, Duration::from_nanos(1_500), 0, 54));
    let mut again = packet(true, micros(9), 7, 54);
    again.opens = true;
    packets.push(again.clone());
    let (a, b) = (again.from, again.to);
    let oracle = Oracle::new(packets);
    assert_eq!(oracle.connection(a, b, 0).unwrap().len(), 5);
    assert_eq!(oracle.connection(b, a, 1).unwrap(), [again]);
    assert!(oracle.connection(a, b, 2).is_err());
}
