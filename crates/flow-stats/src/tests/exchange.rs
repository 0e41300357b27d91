//! Exchanges written by hand: packets with numbers counted from 0, the SYN's, at times in microseconds.

use std::net::{IpAddr, SocketAddr};

use crate::{Connection, NotTcp, Row, Segment};

/// The ends of all exchanges.
pub(super) const CLIENT: &str = "192.0.2.1:50000";
pub(super) const SERVER: &str = "198.51.100.7:443";

/// The sequence numbers of the SYNs.
const NUMBERS: [u32; 2] = [1_000_000, 5_000_000];

/// A packet.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    pub(super) ends: [SocketAddr; 2],
    pub(super) from_client: bool,
    pub(super) sequence: u32,
    pub(super) acknowledgment: u32,
    pub(super) flags: u16,
    pub(super) window: u16,
    pub(super) payload: u32,
    pub(super) options: Vec<u8>,
    pub(super) sack: Vec<[u32; 2]>,
    pub(super) identification: u16,
    pub(super) ttl: u8,
    pub(super) ecn: u8,
    pub(super) segments: u16,
}

/// An acknowledgment from the client.
pub(super) fn client(sequence: u32, acknowledgment: u32) -> Packet {
    Packet {
        ends: [CLIENT, SERVER].map(|end| end.parse().unwrap()),
        from_client: true,
        sequence,
        acknowledgment,
        flags: 0x10,
        window: 1000,
        payload: 0,
        options: Vec::new(),
        sack: Vec::new(),
        identification: 0,
        ttl: 64,
        ecn: 0,
        segments: 1,
    }
}

/// An acknowledgment from the server.
pub(super) fn server(sequence: u32, acknowledgment: u32) -> Packet {
    let mut packet = client(sequence, acknowledgment);
    packet.from_client = false;
    packet.ends.swap(0, 1);
    packet
}

impl Packet {
    pub(super) fn data(mut self, bytes: u32) -> Self {
        self.payload = bytes;
        self
    }

    pub(super) fn fin(mut self) -> Self {
        self.flags |= 0x01;
        self
    }

    pub(super) fn rst(mut self) -> Self {
        self.flags |= 0x04;
        self
    }

    /// Further flags.
    pub(super) fn flags(mut self, flags: u16) -> Self {
        self.flags |= flags;
        self
    }

    /// These flags and no others.
    pub(super) fn only(mut self, flags: u16) -> Self {
        self.flags = flags;
        self
    }

    pub(super) fn window(mut self, window: u16) -> Self {
        self.window = window;
        self
    }

    pub(super) fn id(mut self, identification: u16) -> Self {
        self.identification = identification;
        self
    }

    pub(super) fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    pub(super) fn ecn(mut self, ecn: u8) -> Self {
        self.ecn = ecn;
        self
    }

    pub(super) fn segments(mut self, segments: u16) -> Self {
        self.segments = segments;
        self
    }

    pub(super) fn between(mut self, client: &str, server: &str) -> Self {
        self.ends = [client, server].map(|end| end.parse().unwrap());
        if !self.from_client {
            self.ends.swap(0, 1);
        }
        self
    }

    pub(super) fn option(mut self, bytes: &[u8]) -> Self {
        self.options.extend(bytes);
        self
    }

    /// Timestamps: its own, and the echo.
    pub(super) fn ts(self, value: u32, echo: u32) -> Self {
        let data = [value.to_be_bytes(), echo.to_be_bytes()].concat();
        self.option(&[1, 1, 8, 10]).option(&data)
    }

    pub(super) fn mss(self, mss: u16) -> Self {
        self.option(&[2, 4]).option(&mss.to_be_bytes())
    }

    pub(super) fn scale(self, scale: u8) -> Self {
        self.option(&[1, 3, 3, scale])
    }

    /// Selective acknowledgments, counted as acknowledgments are.
    pub(super) fn sack(mut self, blocks: &[[u32; 2]]) -> Self {
        self.sack.extend(blocks);
        self
    }

    /// All options; `other` is the number of the other end's SYN.
    fn all_options(&self, other: u32) -> Vec<u8> {
        let mut options = self.options.clone();
        if !self.sack.is_empty() {
            let length = u8::try_from(2 + 8 * self.sack.len()).unwrap();
            options.extend([1, 1, 5, length]);
            let edges = self.sack.as_flattened().iter();
            options.extend(edges.flat_map(|edge| edge.wrapping_add(other).to_be_bytes()));
        }
        options.resize(options.len().next_multiple_of(4), 1);
        options
    }

    /// As IP carries it, up to the end of the TCP header. `numbers` are the SYNs'.
    pub(super) fn bytes(&self, numbers: [u32; 2]) -> Vec<u8> {
        let [own, other] = if self.from_client {
            numbers
        } else {
            [numbers[1], numbers[0]]
        };
        let options = self.all_options(other);
        let tcp_len = 20 + options.len();
        let [source, destination] = self.ends;
        let mut ip = Vec::new();
        match (source.ip(), destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let total = 20 + tcp_len + self.payload as usize;
                ip.extend([0x45, self.ecn]);
                ip.extend(u16::try_from(total).unwrap_or(0).to_be_bytes());
                ip.extend(self.identification.to_be_bytes());
                ip.extend([0x40, 0, self.ttl, 6, 0, 0]);
                ip.extend(source.octets());
                ip.extend(destination.octets());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let length = tcp_len + self.payload as usize;
                ip.extend([0x60, self.ecn << 4, 0, 0]);
                ip.extend(u16::try_from(length).unwrap_or(0).to_be_bytes());
                ip.extend([6, self.ttl]);
                ip.extend(source.octets());
                ip.extend(destination.octets());
            }
            mixed => panic!("{mixed:?}"),
        }
        ip.extend(source.port().to_be_bytes());
        ip.extend(destination.port().to_be_bytes());
        ip.extend(self.sequence.wrapping_add(own).to_be_bytes());
        let acknowledgment = match self.flags & 0x10 {
            0 => 0,
            _ => self.acknowledgment.wrapping_add(other),
        };
        ip.extend(acknowledgment.to_be_bytes());
        let offset = u16::try_from(tcp_len / 4).unwrap() << 12;
        ip.extend((offset | self.flags).to_be_bytes());
        ip.extend(self.window.to_be_bytes());
        ip.extend([0; 4]);
        ip.extend(options);
        ip
    }

    pub(super) fn at(&self, microseconds: i64, numbers: [u32; 2]) -> Result<Segment, NotTcp> {
        let ip = self.bytes(numbers);
        let wire = u32::try_from(ip.len()).unwrap() + self.payload;
        Segment::of_ip(microseconds * 1000, &ip, wire, self.segments)
    }
}

/// A connection, packet by packet.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    numbers: [u32; 2],
    connection: Option<Connection>,
}

impl Exchange {
    pub(super) fn new() -> Self {
        Self {
            numbers: NUMBERS,
            connection: None,
        }
    }

    /// With these sequence numbers of the SYNs.
    pub(super) fn numbered(numbers: [u32; 2]) -> Self {
        Self {
            numbers,
            connection: None,
        }
    }

    /// After a handshake of 10 ms to the server and 1 ms to the client, which ends at 11 ms.
    pub(super) fn open() -> Self {
        Self::new().opened()
    }

    pub(super) fn opened(mut self) -> Self {
        self.at(0, client(0, 0).only(0x02).mss(1460).scale(7));
        self.at(10_000, server(0, 1).only(0x12).mss(1400).scale(8));
        self.at(11_000, client(1, 1));
        self
    }

    /// A packet was captured.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "packets are made where they are given"
    )]
    pub(super) fn at(&mut self, microseconds: i64, packet: Packet) -> &mut Self {
        let segment = packet.at(microseconds, self.numbers).unwrap();
        match &mut self.connection {
            Some(connection) => connection.add(&segment),
            none => *none = Some(Connection::new(&segment)),
        }
        self
    }

    /// Whether a packet would begin another connection.
    pub(super) fn ends_with(&self, microseconds: i64, packet: &Packet) -> bool {
        let segment = packet.at(microseconds, self.numbers).unwrap();
        self.connection.as_ref().unwrap().is_succeeded_by(&segment)
    }

    pub(super) fn connection(&self) -> &Connection {
        self.connection.as_ref().unwrap()
    }

    pub(super) fn row(&self) -> Row {
        self.connection.as_ref().unwrap().row()
    }
}
