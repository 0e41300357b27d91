//! Capture files of connections that never took place, as the daemon would name them: many, and quickly
//! made.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use anyhow::Result;

/// When the first connection begins, in nanoseconds since 1970: 2026-11-29.
pub const BEGIN: u64 = 1_795_910_400_000_000_000;

/// Time between the beginnings of two connections, and between two packets of one, in nanoseconds: so
/// that connections take place at the same time, and no two packets do.
const STEP: u64 = 100_003;
const PACE: u64 = 1_000_000;

/// Payload of the client's and of the server's one segment.
const ASKED: u32 = 100;
const ANSWERED: u32 = 1_000;

const SYN: u8 = 2;
const ACK: u8 = 16;
const FIN: u8 = 1;

/// Packets of each connection.
pub const PACKETS: usize = 10;

/// Who sent a packet of a connection, its flags and the length of its payload.
const EXCHANGE: [(bool, u8, u32); PACKETS] = [
    (true, SYN, 0),
    (false, SYN | ACK, 0),
    (true, ACK, 0),
    (true, ACK, ASKED),
    (false, ACK, 0),
    (false, ACK, ANSWERED),
    (true, ACK, 0),
    (true, FIN | ACK, 0),
    (false, FIN | ACK, 0),
    (true, ACK, 0),
];

/// The ends of connection `number`, the client first.
#[must_use]
pub fn ends(number: u32) -> [SocketAddrV4; 2] {
    let address = u32::from(Ipv4Addr::new(10, 0, 0, 0)) + number / 50_000;
    let port = 1_024 + (number % 50_000) as u16;
    let server = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 443);
    [SocketAddrV4::new(Ipv4Addr::from(address), port), server]
}

/// The UUID of connection `number`.
#[must_use]
pub fn uuid(number: u32) -> String {
    format!("host_1795910400_unsafe_{number:016X}")
}

/// Makes the files of so many connections, in a directory for each of 28 days; their paths.
///
/// # Errors
/// They cannot be written.
pub fn make(root: &Path, connections: u32) -> Result<Vec<PathBuf>> {
    for day in 1..=28 {
        fs::create_dir_all(root.join(format!("2026/11/{day:02}")))?;
    }
    let file = |number: u32| {
        let day = number % 28 + 1;
        let path = root.join(format!("2026/11/{day:02}/{}.pcap", uuid(number)));
        fs::write(&path, contents(number))?;
        Ok(path)
    };
    (0..connections).map(file).collect()
}

/// The file of connection `number`.
#[must_use]
pub fn contents(number: u32) -> Vec<u8> {
    let mut file = Vec::with_capacity(24 + PACKETS * 70);
    // Nanoseconds, version 2.4, Ethernet.
    for word in [0xa1b2_3c4d, 4 << 16 | 2, 0, 0, 262_144, 1_u32] {
        file.extend(word.to_le_bytes());
    }
    let [client, server] = ends(number);
    let mut sequence = [number.wrapping_mul(1_000_003), 77];
    let mut time = BEGIN + u64::from(number) * STEP;
    for (from_client, flags, payload) in EXCHANGE {
        let (sender, other) = if from_client { (0, 1) } else { (1, 0) };
        let [from, to] = if from_client {
            [client, server]
        } else {
            [server, client]
        };
        let numbers = [sequence[sender], sequence[other]];
        let packet = packet([from, to], numbers, flags, payload);
        let length = packet.len() as u32;
        for word in [
            (time / 1_000_000_000) as u32,
            (time % 1_000_000_000) as u32,
            length,
            length + payload,
        ] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
        let occupied = payload + u32::from(flags & (SYN | FIN) != 0);
        sequence[sender] = sequence[sender].wrapping_add(occupied);
        time += PACE;
    }
    file
}

/// Ethernet, IPv4 and TCP headers.
fn packet(
    [from, to]: [SocketAddrV4; 2],
    [sequence, other]: [u32; 2],
    flags: u8,
    payload: u32,
) -> Vec<u8> {
    let acknowledged = if flags & ACK == 0 { 0 } else { other };
    let length = 40 + payload as u16;
    let mut packet = vec![0; 12];
    packet.extend([0x08, 0x00, 0x45, 0]);
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    packet.extend(from.ip().octets());
    packet.extend(to.ip().octets());
    packet.extend(from.port().to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend(acknowledged.to_be_bytes());
    packet.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    packet
}

/// The file of connection `number` as pcapng of the client's host, at whose end these comments are.
#[must_use]
pub fn pcapng(number: u32, comments: &[&str]) -> Vec<u8> {
    const PCAP_HEADER_LEN: usize = 24;
    const COMMENT: u16 = 1;
    let [client, server] = ends(number);
    let about = format!("uuid={} local={client} remote={server}", uuid(number));
    let mut section = words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]);
    section.extend(option(COMMENT, about.as_bytes()));
    let mut file = block(0x0a0d_0d0a, section);
    // Ethernet; a resolution of nanoseconds.
    let mut interface = words(&[1, 262_144]);
    interface.extend(option(9, &[9]));
    file.extend(block(1, interface));
    let contents = contents(number);
    let mut records = &contents[PCAP_HEADER_LEN..];
    while let Some((head, rest)) = records.split_first_chunk::<16>() {
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| head[at + byte]));
        let time = u64::from(word(0)) * 1_000_000_000 + u64::from(word(4));
        let (packet, rest) = rest.split_at(word(8) as usize);
        let times = [(time >> 32) as u32, time as u32];
        let mut body = words(&[0, times[0], times[1], word(8), word(12)]);
        body.extend(padded(packet));
        file.extend(block(6, body));
        records = rest;
    }
    let mut statistics = words(&[0, 0, 0]);
    for comment in comments {
        statistics.extend(option(COMMENT, comment.as_bytes()));
    }
    file.extend(block(5, statistics));
    file
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn block(kind: u32, body: Vec<u8>) -> Vec<u8> {
    let length = body.len() as u32 + 12;
    [words(&[kind, length]), body, words(&[length])].concat()
}

fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let head = [code, value.len() as u16].map(u16::to_le_bytes);
    [head.as_flattened(), &padded(value)].concat()
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(4), 0);
    padded
}
