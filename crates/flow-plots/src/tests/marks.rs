//! A picture has as many marks as the connection's row says.

use flow_stats::{Direction, IcmpError};

use super::exchange::{ACK, FIN, Packet, RST, client, handshake, lossy, numbered, picture, server};
use crate::{Picture, Recorder};

/// Compares the marks of both directions with the row.
pub(super) fn agree(picture: &Picture) {
    let subject = &picture.0;
    for way in [0, 1] {
        let (sent, answered) = (subject.direction(way), subject.direction(1 - way));
        let traces = &subject.ways[way].traces;
        let bars = &traces.bars;
        let Direction {
            fast_retransmit_packets: fast,
            timeout_retransmit_packets: timeout,
            ..
        } = sent;
        assert_eq!(bars.fast.count, *fast);
        assert_eq!(bars.timeout.count, *timeout);
        let again = sent.retransmit_packets - fast - timeout;
        assert_eq!(bars.again.count, again);
        assert_eq!(bars.reordered.count, sent.reordered_packets);
        assert_eq!(bars.duplicate.count, sent.duplicate_packets);
        assert_eq!(bars.probe.count, sent.keep_alives + sent.window_probes);
        assert_eq!(bars.duplicate_ack.count, answered.duplicate_acks);
        assert_eq!(traces.rtt.count, sent.rtt_samples);
        assert_eq!(traces.ts_rtt.count, sent.ts_rtt_samples);
        let least = traces.rtt.iter().map(|bar| bar.low).min();
        let least = least.map(|time| u64::try_from((time + 500) / 1000).unwrap());
        assert_eq!(least, sent.min_rtt_us);
        let most = traces.in_flight.max().unwrap_or(0);
        assert_eq!(u64::try_from(most).unwrap(), sent.in_flight_max_bytes);
        let new: u64 = traces.rates.steps.iter().map(|step| step.1).sum();
        assert_eq!(new, sent.goodput_bytes);
        if sent.stray_packets == 0 {
            let all: u64 = traces.rates.steps.iter().map(|step| step.0).sum();
            assert_eq!(all, sent.payload_bytes);
        }
    }
}

#[test]
fn marks_are_as_many_as_the_row_says() {
    let picture = picture(&lossy());
    agree(&picture);
    let (row, bars) = (picture.row(), &picture.0.ways[0].traces.bars);
    let counts = [
        bars.new.count,
        bars.fast.count,
        bars.timeout.count,
        bars.reordered.count,
        bars.duplicate_ack.count,
        bars.sack.count,
        bars.dsack.count,
        bars.zero_window.count,
    ];
    // Those new are the SYN, nine packets of data, and the FIN.
    assert_eq!(counts, [11, 1, 1, 1, 4, 4, 1, 1]);
    assert_eq!(row.client.spurious_retransmit_packets, 1);
    assert_eq!(row.server.zero_windows, 1);
}

#[test]
fn numbers_go_on_where_they_wrap() {
    let plain = numbered(&lossy(), [10, 20]).svg();
    let wrapping = numbered(&lossy(), [u32::MAX - 5_000, u32::MAX]).svg();
    assert!(
        plain == wrapping,
        "the same picture, whatever the first number is"
    );
}

#[test]
fn bars_go_from_the_first_byte_to_the_last() {
    let mut packets = handshake();
    packets.push((20_000, client(1, 1).data(1000)));
    let picture = picture(&packets);
    let way = &picture.0.ways[0];
    let bars: Vec<_> = way.traces.bars.new.iter().collect();
    let relative = |place: i64| place - way.places.0;
    assert_eq!(bars.len(), 2, "the SYN, and data");
    assert_eq!((relative(bars[1].low), relative(bars[1].high)), (1, 1001));
    assert_eq!(bars[1].time, 20_000_000);
}

#[test]
fn windows_are_scaled_and_those_of_syns_are_not() {
    let mut packets = handshake();
    packets.push((20_000, client(1, 1).data(1000)));
    packets.push((30_000, server(1, 1001).window(50)));
    let picture = picture(&packets);
    let way = &picture.0.ways[0];
    let windows: Vec<_> = way.traces.window.iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(windows, [65_000, 50 << 7]);
    let edges: Vec<_> = way
        .traces
        .edge
        .iter()
        .map(|(_, place)| place - way.places.0)
        .collect();
    assert_eq!(edges, [65_001, 1001 + (50 << 7)]);
}

#[test]
fn an_overtaken_acknowledgment_takes_nothing_back() {
    let mut packets = handshake();
    packets.push((20_000, client(1, 1).data(1000)));
    packets.push((21_000, client(1001, 1).data(1000)));
    packets.push((30_000, server(1, 2001)));
    packets.push((30_001, server(1, 1001)));
    let way = &picture(&packets).0.ways[0];
    let places: Vec<_> = way
        .traces
        .acknowledged
        .iter()
        .map(|(_, at)| at - way.places.0)
        .collect();
    assert_eq!(places, [1, 2001]);
}

#[test]
fn a_reset_is_shown_in_both_directions() {
    let mut packets = handshake();
    packets.push((20_000, client(1, 1).data(10)));
    packets.push((21_000, server(1, 11).data(10)));
    packets.push((22_000, client(11, 11).flags(RST | ACK)));
    let picture = picture(&packets);
    for way in &picture.0.ways {
        let resets = way
            .traces
            .flags
            .shown
            .iter()
            .filter(|flag| flag.word == "RST");
        assert_eq!(resets.count(), 1);
    }
}

#[test]
fn the_client_is_who_began_whoever_was_captured_first() {
    let answer: Packet = server(0, 1).flags(0x12);
    let data = [1, 6].map(|number| (i64::from(number) * 1000, client(number, 1).data(5)));
    let picture = picture(&[(0, answer), data[0].clone(), data[1].clone()]);
    assert_eq!(picture.row().client_port, 50_000);
    assert_eq!(picture.0.ways[0].traces.bars.new.count, 2);
    assert_eq!(picture.0.direction(0).payload_bytes, 10);
}

/// A router's error about a packet of the client that was too big.
fn error(microseconds: i64) -> IcmpError {
    let mut ip = vec![
        0x45, 0, 0, 56, 0, 0, 0, 0, 250, 1, 0, 0, 203, 0, 113, 9, 192, 0, 2, 1,
    ];
    ip.extend([3, 4, 0, 0, 0, 0, 5, 0]);
    ip.extend([
        0x45, 0, 5, 220, 0, 0, 0x40, 0, 60, 6, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7,
    ]);
    ip.extend([50_000_u16, 443].map(u16::to_be_bytes).as_flattened());
    ip.extend([0; 4]);
    IcmpError::of_ip(microseconds * 1000, &ip).unwrap()
}

#[test]
fn icmp_errors_are_marked_where_they_came_and_hide_no_end() {
    let mut packets = handshake();
    packets.push((20_000, client(1, 1).data(1000)));
    let segments: Vec<_> = packets
        .iter()
        .map(|(time, packet)| packet.at(*time, [1, 1]))
        .collect();
    let mut recorder = Recorder::new(&segments[0], (0, 30_000_000));
    segments[1..]
        .iter()
        .for_each(|segment| recorder.add(segment));
    for microsecond in 0..100 {
        recorder.add_error(&error(21_000 + microsecond));
    }
    recorder.add(&client(1001, 1).flags(FIN | ACK).at(30_000, [1, 1]));
    let picture = recorder.finish();
    let shown = |way: usize| {
        let flags = picture.0.ways[way].traces.flags.shown.iter();
        flags.map(|flag| flag.word).collect::<Vec<_>>()
    };
    let words = shown(0);
    assert_eq!((words[1], words.last()), ("ICMP", Some(&"FIN")));
    assert!(!shown(1).contains(&"ICMP"));
    let svg = picture.svg();
    assert!(svg.contains("100\u{a0}ICMP errors"));
}
