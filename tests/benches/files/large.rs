//! A capture of connections that take place at the same time, as tcpdump would write it: headers only, in
//! microseconds, which is what all programs read.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};

/// A capture: each connection has a handshake, and then by turns a segment of its server and its
/// acknowledgment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capture {
    pub(crate) packets: u32,
    pub(crate) connections: u32,
}

/// 2026-11-29, in seconds since 1970.
const BEGIN: u64 = 1_795_910_400;
/// Time between two packets, in microseconds.
const PACE: u64 = 2;
/// Bytes of payload of a segment of the server.
const SEGMENT: u32 = 1_448;
/// What is captured of each packet: Ethernet, IPv4, TCP with timestamps.
const LENGTH: usize = 14 + 20 + 32;

const SYN: u8 = 2;
const ACK: u8 = 16;

impl Capture {
    /// Writes it; its bytes.
    pub(crate) fn write(self, path: &Path) -> Result<u64> {
        let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
        let mut out = BufWriter::new(file);
        // Microseconds, version 2.4, Ethernet.
        for word in [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 262_144, 1_u32] {
            out.write_all(&word.to_le_bytes())?;
        }
        for number in 0..self.packets {
            let connection = number % self.connections;
            let packet = Packet::new(connection, number / self.connections);
            let time = u64::from(number) * PACE;
            packet.write(&mut out, time)?;
        }
        let file = out.into_inner()?;
        Ok(file.metadata()?.len())
    }
}

/// A packet of a connection.
struct Packet {
    connection: u32,
    from_server: bool,
    flags: u8,
    sequence: u32,
    acknowledgment: u32,
    payload: u32,
}

impl Packet {
    /// Packet `turn` of a connection, from 0.
    fn new(connection: u32, turn: u32) -> Self {
        // Where the client and the server begin to count.
        let first = [
            connection.wrapping_mul(1_000_003),
            connection.wrapping_mul(7_919),
        ];
        let sent = |turn: u32| (turn.saturating_sub(2) / 2).wrapping_mul(SEGMENT);
        let [client, server] = [first[0].wrapping_add(1), first[1].wrapping_add(1)];
        let (from_server, flags, sequence, acknowledgment, payload) = match turn {
            0 => (false, SYN, first[0], 0, 0),
            1 => (true, SYN | ACK, first[1], client, 0),
            turn if turn % 2 == 0 => (false, ACK, client, server.wrapping_add(sent(turn)), 0),
            turn => (true, ACK, server.wrapping_add(sent(turn)), client, SEGMENT),
        };
        Self {
            connection,
            from_server,
            flags,
            sequence,
            acknowledgment,
            payload,
        }
    }

    fn write(&self, out: &mut impl Write, time: u64) -> Result<()> {
        let (seconds, microseconds) = (BEGIN + time / 1_000_000, time % 1_000_000);
        let length = LENGTH as u32;
        let stamp = (time / 1_000) as u32;
        for word in [
            seconds as u32,
            microseconds as u32,
            length,
            length + self.payload,
        ] {
            out.write_all(&word.to_le_bytes())?;
        }
        let client = ([10, 0, 0, 1], 1_024 + (self.connection % 60_000) as u16);
        let other = (self.connection / 60_000) as u8;
        let server = ([192, 0, 2, other], 443_u16);
        let (from, to) = if self.from_server {
            (server, client)
        } else {
            (client, server)
        };
        let mut packet = Vec::with_capacity(LENGTH);
        packet.extend([0; 12]);
        packet.extend([0x08, 0x00, 0x45, 0]);
        packet.extend((52 + self.payload as u16).to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        packet.extend(from.0);
        packet.extend(to.0);
        packet.extend(from.1.to_be_bytes());
        packet.extend(to.1.to_be_bytes());
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.acknowledgment.to_be_bytes());
        packet.extend([0x80, self.flags, 0xff, 0xff, 0, 0, 0, 0, 1, 1, 8, 10]);
        packet.extend(stamp.to_be_bytes());
        packet.extend(stamp.saturating_sub(1).to_be_bytes());
        out.write_all(&packet)?;
        Ok(())
    }
}
