//! A capture of packets that were never sent, as this daemon writes it: headers only, in nanoseconds.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Flags of TCP.
pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;

/// The ends: the client and the server.
const ADDRESSES: [[u8; 4]; 2] = [[192, 0, 2, 1], [198, 51, 100, 7]];
const PORTS: [u16; 2] = [50_000, 443];

/// The first sequence numbers. The server's soon wrap around.
const FIRST: [u32; 2] = [1_000_000, u32::MAX - 100_000];

/// When the first packet was captured: nanoseconds since 1970.
const BEGIN: u64 = 1_795_960_800_000_000_000;

/// A UDP packet.
#[derive(Debug, Clone)]
pub struct DatagramWritten {
    /// When it was captured, in nanoseconds since the first one.
    pub time: u64,
    /// Whether the server sent it.
    pub from_server: bool,
    /// Bytes of payload.
    pub payload: u16,
    /// The first of them, as far as they are captured.
    pub captured: Vec<u8>,
}

impl DatagramWritten {
    /// Its headers, from Ethernet's to UDP's, and what is captured behind.
    fn headers(&self) -> Result<Vec<u8>> {
        let mut bytes = below(self.from_server, 17, (0, 8 + usize::from(self.payload)))?;
        bytes.extend(ports(self.from_server).map(u16::to_be_bytes).as_flattened());
        bytes.extend((self.payload + 8).to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(&self.captured);
        Ok(bytes)
    }
}

/// The ports of the sender and of the receiver.
fn ports(from_server: bool) -> [u16; 2] {
    let [client, server] = PORTS;
    if from_server {
        [server, client]
    } else {
        [client, server]
    }
}

/// The headers of Ethernet and IPv4 of a packet with this identification and so many bytes behind them.
fn below(
    from_server: bool,
    protocol: u8,
    (identification, length): (u16, usize),
) -> Result<Vec<u8>> {
    let (from, to) = (usize::from(from_server), usize::from(!from_server));
    let mut bytes = Vec::new();
    for end in [to, from] {
        bytes.extend([2, 0, 0, 0, 0, u8::try_from(end)?]);
    }
    bytes.extend([8, 0, 0x45, 0]);
    bytes.extend(u16::try_from(20 + length)?.to_be_bytes());
    bytes.extend(identification.to_be_bytes());
    bytes.extend([0x40, 0, 64, protocol, 0, 0]);
    bytes.extend(ADDRESSES[from]);
    bytes.extend(ADDRESSES[to]);
    Ok(bytes)
}

/// A segment. Sequence numbers count from the SYN's, which is 0.
#[derive(Debug, Clone, Default)]
pub struct SegmentWritten {
    /// When it was captured, in nanoseconds since the first one.
    pub time: u64,
    /// Whether the server sent it.
    pub from_server: bool,
    /// Its sequence number.
    pub sequence: u32,
    /// What it acknowledges, if it has ACK.
    pub acknowledgment: u32,
    /// Its flags.
    pub flags: u8,
    /// Its window, as the header has it.
    pub window: u16,
    /// Bytes of payload.
    pub payload: u16,
    /// Its options.
    pub options: Vec<u8>,
    /// Its identification.
    pub identification: u16,
}

impl SegmentWritten {
    /// Adds the option Timestamps.
    pub(super) fn stamp(&mut self, value: u32, echo: u32) {
        self.options.extend([1, 1, 8, 10]);
        self.options.extend(value.to_be_bytes());
        self.options.extend(echo.to_be_bytes());
    }

    /// Adds the option SACK, of blocks counted from the SYN of the other end.
    pub(super) fn sack(&mut self, blocks: &[(u32, u32)]) {
        if let Some(length) = u8::try_from(blocks.len() * 8 + 2)
            .ok()
            .filter(|length| *length > 2)
        {
            let first = FIRST[usize::from(!self.from_server)];
            self.options.extend([1, 1, 5, length]);
            for edge in blocks.iter().flat_map(|(left, right)| [left, right]) {
                self.options.extend(edge.wrapping_add(first).to_be_bytes());
            }
        }
    }

    /// Its headers, from Ethernet's to TCP's.
    fn headers(&self) -> Result<Vec<u8>> {
        let (from, to) = (
            usize::from(self.from_server),
            usize::from(!self.from_server),
        );
        let tcp = 20 + self.options.len();
        let length = tcp + usize::from(self.payload);
        let mut bytes = below(self.from_server, 6, (self.identification, length))?;
        bytes.extend(ports(self.from_server).map(u16::to_be_bytes).as_flattened());
        bytes.extend(self.sequence.wrapping_add(FIRST[from]).to_be_bytes());
        let acknowledgment = match self.flags & ACK {
            0 => 0,
            _ => self.acknowledgment.wrapping_add(FIRST[to]),
        };
        bytes.extend(acknowledgment.to_be_bytes());
        bytes.extend([u8::try_from(tcp / 4)? << 4, self.flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(&self.options);
        Ok(bytes)
    }
}

/// Writes a capture of segments, in the order of time.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, segments: &[SegmentWritten]) -> Result<()> {
    let packets = segments.iter().map(|segment| {
        let headers = segment.headers()?;
        let length = headers.len() + usize::from(segment.payload);
        Ok((segment.time, length, headers))
    });
    write_packets(path, packets)
}

/// Writes a capture of UDP packets, in the order of time.
///
/// # Errors
/// The file cannot be written.
pub fn write_datagrams(path: &Path, datagrams: &[DatagramWritten]) -> Result<()> {
    let packets = datagrams.iter().map(|datagram| {
        let headers = datagram.headers()?;
        let captured = headers.len() - datagram.captured.len();
        Ok((
            datagram.time,
            captured + usize::from(datagram.payload),
            headers,
        ))
    });
    write_packets(path, packets)
}

/// Writes packets: when each was captured, its length on the wire, and what is captured of it.
fn write_packets(
    path: &Path,
    packets: impl Iterator<Item = Result<(u64, usize, Vec<u8>)>>,
) -> Result<()> {
    let mut file = Vec::new();
    // Nanoseconds, version 2.4, no time zone, Ethernet.
    file.extend(0xa1b2_3c4d_u32.to_le_bytes());
    file.extend([2, 0, 4, 0]);
    file.extend([0; 8]);
    file.extend(262_144_u32.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    for packet in packets {
        let (time, wire_len, captured) = packet?;
        let time = BEGIN + time;
        let (seconds, nanoseconds) = (time / 1_000_000_000, time % 1_000_000_000);
        file.extend(u32::try_from(seconds)?.to_le_bytes());
        file.extend(u32::try_from(nanoseconds)?.to_le_bytes());
        file.extend(u32::try_from(captured.len())?.to_le_bytes());
        file.extend(u32::try_from(wire_len)?.to_le_bytes());
        file.extend(captured);
    }
    fs::write(path, file).with_context(|| format!("writing {}", path.display()))
}
