use std::convert::Infallible;

use super::*;

const SECOND: i64 = 1_000_000_000;
const SYN: u8 = 2;
const ACK: u8 = 16;
const FIN: u8 = 1;
const RST: u8 = 4;

/// A segment from a client's port to port 443, or back.
fn segment(port: u16, from_client: bool, flags: u8, sequence: u32) -> Segment {
    let mut ip = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
    let (client, server) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let ([from, to], [from_port, to_port]) = if from_client {
        ([client, server], [port, 443])
    } else {
        ([server, client], [443, port])
    };
    ip.extend([from, to].as_flattened());
    ip.extend(from_port.to_be_bytes());
    ip.extend(to_port.to_be_bytes());
    ip.extend(sequence.to_be_bytes());
    ip.extend([0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    Segment::of_ip(0, &ip, 40, 1).unwrap()
}

struct Table {
    connections: Connections,
    numbers: Numbers,
    finished: Vec<u64>,
}

impl Table {
    fn new(is_of_one: bool, most: usize) -> Self {
        let connections = Connections::with_most(is_of_one, most);
        Self {
            connections,
            numbers: Numbers::default(),
            finished: Vec::new(),
        }
    }

    fn add(&mut self, time: i64, segment: &Segment) -> Added {
        let mut finish = |taken: Taken| {
            self.finished.push(taken.number());
            Ok::<_, Infallible>(())
        };
        self.connections
            .add(time, segment, &mut self.numbers, &mut finish)
            .unwrap()
    }

    /// A packet of an open connection.
    fn packet(&mut self, time: i64, port: u16) -> u64 {
        self.add(time, &segment(port, true, ACK, 1)).number
    }

    fn close(&mut self, time: i64, port: u16) {
        self.add(time, &segment(port, true, FIN | ACK, 1));
        self.add(time, &segment(port, false, FIN | ACK, 1));
    }

    fn rest(self) -> Vec<u64> {
        let rest = self.connections.into_rest();
        let mut rest: Vec<_> = rest.iter().map(Taken::number).collect();
        rest.sort_unstable();
        rest
    }
}

#[test]
fn both_directions_are_of_one_connection() {
    let mut table = Table::new(false, 9);
    assert_eq!(
        table.add(0, &segment(7, true, SYN, 1)),
        Added {
            number: 0,
            is_first: true
        }
    );
    assert_eq!(
        table.add(1, &segment(7, false, SYN | ACK, 1)),
        Added {
            number: 0,
            is_first: false
        }
    );
    assert_eq!(
        table.add(2, &segment(8, false, ACK, 1)),
        Added {
            number: 1,
            is_first: true
        }
    );
    assert_eq!(table.rest(), [0, 1]);
}

#[test]
fn a_syn_behind_an_end_begins_another_one_unless_somebody_knows_better() {
    for (is_of_one, numbers) in [(false, [0, 1]), (true, [0, 0])] {
        let mut table = Table::new(is_of_one, 9);
        table.add(0, &segment(7, true, SYN, 1));
        table.add(0, &segment(7, false, RST | ACK, 1));
        // What comes late is still of the first.
        assert_eq!(table.add(1, &segment(7, true, SYN, 1)).number, numbers[0]);
        assert_eq!(
            table.add(1, &segment(7, true, SYN, 900_000)).number,
            numbers[1]
        );
        assert_eq!(table.finished.len(), usize::from(!is_of_one));
    }
}

#[test]
fn who_is_silent_for_an_hour_is_finished() {
    let mut table = Table::new(false, 9);
    table.packet(0, 7);
    table.packet(0, 8);
    table.close(3 * SECOND, 9);
    table.packet(SILENCE, 8);
    table.packet(SILENCE + 2 * SECOND, 10);
    assert_eq!(table.finished, [0]);
    table.packet(SILENCE + 4 * SECOND, 10);
    assert_eq!(table.finished, [0, 2]);
    // A clock that goes back finishes nobody.
    table.packet(0, 11);
    assert_eq!(table.rest(), [1, 3, 4]);
}

#[test]
fn at_the_limit_those_go_that_have_ended_and_then_the_longest_silent_which_is_counted() {
    let mut table = Table::new(false, 3);
    table.packet(0, 7);
    table.packet(1, 8);
    table.close(2, 9);
    table.packet(3, 7);
    table.packet(4, 10);
    assert_eq!((&*table.finished, table.connections.early), (&[2][..], 0));
    table.packet(5, 11);
    assert_eq!(
        (&*table.finished, table.connections.early),
        (&[2, 1][..], 1)
    );
    // Who sends again has a second row.
    assert_eq!(table.packet(6, 8), 5);
    assert_eq!(table.connections.early, 2);
}
