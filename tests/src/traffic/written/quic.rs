//! A download by QUIC, as the client's host sees it: a handshake of two round trips, slow start, and a queue on the path
//! that grows until the sender notices.

use super::capture::DatagramWritten;

/// How long a packet takes on an empty path, how long it takes to be sent, and how long the server thinks: nanoseconds.
const DELAY: u64 = 20_000_000;
const SENDING: u64 = 1_000_000;
const THINKING: u64 = 3_000_000;

/// How long the client takes to acknowledge, in nanoseconds.
const REACTION: u64 = 50_000;

/// Bytes of payload in a full datagram, and in an acknowledgment.
const FULL: u16 = 1_252;
const ACKNOWLEDGMENT: u16 = 33;

/// How many datagrams the server sends in the first round trip, and in how many that doubles.
const FIRST: u64 = 10;
const DOUBLINGS: u64 = 4;

/// How many round trips there are.
const ROUNDS: u64 = 22;

/// How much the queue of the path grows by in a round trip, and how long it gets at most: nanoseconds.
const GROWTH: u64 = 4_000_000;
const QUEUE: u64 = 28_000_000;

/// The IDs of the client and of the server.
const IDS: [&[u8]; 2] = [b"client", b"theserver"];

/// The packets of the download, in the order of time.
pub(super) fn download() -> Vec<DatagramWritten> {
    let mut packets = handshake();
    // The server's bit is the client's, and the client's is the opposite of the server's.
    let mut arrives = 2 * DELAY + THINKING + 1_200_000 + round_trip(0);
    for round in 0..ROUNDS {
        let bit = round % 2 == 1;
        let count = FIRST << round.min(DOUBLINGS);
        let next = round_trip(round + 1);
        let spread = next.min(count * SENDING) / count;
        for number in 0..count {
            let time = arrives + number * spread;
            // What is left of the server's answers to small requests.
            let payload = if number % 40 == 39 { 500 } else { FULL };
            packets.push(short(time, true, (bit, payload)));
            if number % 2 == 1 || number == 0 {
                packets.push(short(time + REACTION, false, (!bit, ACKNOWLEDGMENT)));
            }
        }
        arrives += next + REACTION;
    }
    packets.sort_by_key(|packet| packet.time);
    packets
}

/// How long a round trip takes, which fills the queue of the path from some on.
fn round_trip(round: u64) -> u64 {
    2 * DELAY + round.saturating_sub(DOUBLINGS) * GROWTH % QUEUE
}

/// The client's Initial, the server's answer, and the client's first packet with a short header, which asks for the data.
fn handshake() -> Vec<DatagramWritten> {
    let answered = 2 * DELAY + THINKING;
    vec![
        long(0, false, (0xc0, b"tobegin!")),
        long(answered, true, (0xc0, IDS[0])),
        long(answered + 600_000, true, (0xe0, IDS[0])),
        long(answered + 1_000_000, false, (0xe0, IDS[1])),
        short(answered + 1_200_000, false, (false, 120)),
    ]
}

/// A packet of version 1 with a long header, that begins with this byte, and has this destination.
fn long(time: u64, from_server: bool, (first, destination): (u8, &[u8])) -> DatagramWritten {
    let source = IDS[usize::from(from_server)];
    let mut captured = vec![first, 0, 0, 0, 1];
    for id in [destination, source] {
        captured.extend(u8::try_from(id.len()));
        captured.extend(id);
    }
    DatagramWritten {
        time,
        from_server,
        payload: 1_200,
        captured,
    }
}

/// A packet with a short header and this spin bit.
fn short(time: u64, from_server: bool, (bit, payload): (bool, u16)) -> DatagramWritten {
    let destination = IDS[usize::from(!from_server)];
    let mut captured = vec![if bit { 0x60 } else { 0x40 }];
    captured.extend(destination);
    DatagramWritten {
        time,
        from_server,
        payload,
        captured,
    }
}
