//! Packets written by hand, with numbers counted from 0, the SYN's, at times in microseconds.

use flow_stats::Segment;

use crate::{Picture, Recorder};

pub(super) const FIN: u16 = 0x01;
pub(super) const SYN: u16 = 0x02;
pub(super) const RST: u16 = 0x04;
pub(super) const ACK: u16 = 0x10;

/// A packet.
#[derive(Debug, Clone, Default)]
pub(super) struct Packet {
    pub(super) from_server: bool,
    pub(super) numbers: (u32, u32),
    pub(super) flags: u16,
    pub(super) window: u16,
    pub(super) payload: u32,
    pub(super) options: Vec<u8>,
    pub(super) sack: Vec<[u32; 2]>,
    pub(super) segments: u16,
}

/// An acknowledgment of the client.
pub(super) fn client(sequence: u32, acknowledgment: u32) -> Packet {
    Packet {
        numbers: (sequence, acknowledgment),
        flags: ACK,
        window: 100,
        segments: 1,
        ..Packet::default()
    }
}

/// An acknowledgment of the server.
pub(super) fn server(sequence: u32, acknowledgment: u32) -> Packet {
    Packet {
        from_server: true,
        ..client(sequence, acknowledgment)
    }
}

impl Packet {
    pub(super) fn data(mut self, payload: u32) -> Self {
        self.payload = payload;
        self
    }

    pub(super) fn flags(mut self, flags: u16) -> Self {
        self.flags = flags;
        self
    }

    pub(super) fn window(mut self, window: u16) -> Self {
        self.window = window;
        self
    }

    pub(super) fn segments(mut self, segments: u16) -> Self {
        self.segments = segments;
        self
    }

    pub(super) fn sack(mut self, blocks: &[[u32; 2]]) -> Self {
        self.sack.extend(blocks);
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

    /// Decoded, with these numbers of the client's and the server's SYN.
    pub(super) fn at(&self, microseconds: i64, first: [u32; 2]) -> Segment {
        let (own, other) = (
            usize::from(self.from_server),
            usize::from(!self.from_server),
        );
        let mut options = self.options.clone();
        if !self.sack.is_empty() {
            options.extend([1, 1, 5, u8::try_from(2 + 8 * self.sack.len()).unwrap()]);
            let edges = self.sack.as_flattened().iter();
            options.extend(edges.flat_map(|edge| edge.wrapping_add(first[other]).to_be_bytes()));
        }
        options.resize(options.len().next_multiple_of(4).min(40), 1);
        let tcp = 20 + options.len();
        let total = 20 + tcp + self.payload as usize;
        let mut ip = vec![0x45, 0];
        ip.extend(u16::try_from(total).unwrap_or(0).to_be_bytes());
        ip.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        let ends = [[192, 0, 2, 1], [198, 51, 100, 7]];
        let ports = [50_000_u16, 443];
        ip.extend([ends[own], ends[other]].as_flattened());
        ip.extend(ports[own].to_be_bytes());
        ip.extend(ports[other].to_be_bytes());
        ip.extend(self.numbers.0.wrapping_add(first[own]).to_be_bytes());
        let acknowledgment = match self.flags & ACK {
            0 => 0,
            _ => self.numbers.1.wrapping_add(first[other]),
        };
        ip.extend(acknowledgment.to_be_bytes());
        ip.extend((u16::try_from(tcp / 4).unwrap() << 12 | self.flags & 0x1ff).to_be_bytes());
        ip.extend(self.window.to_be_bytes());
        ip.extend([0; 4]);
        ip.extend(options);
        let wire = u32::try_from(20 + tcp)
            .unwrap()
            .saturating_add(self.payload);
        Segment::of_ip(microseconds.saturating_mul(1000), &ip, wire, self.segments).unwrap()
    }
}

/// A handshake of 10 ms to the server and 1 ms to the client, which ends at 11 ms.
pub(super) fn handshake() -> Vec<(i64, Packet)> {
    let options = [2, 4, 5, 0xb4, 4, 2, 1, 1, 1, 3, 3, 7];
    vec![
        (0, client(0, 0).flags(SYN).option(&options).window(65_000)),
        (
            10_000,
            server(0, 1)
                .flags(SYN | ACK)
                .option(&options)
                .window(65_000),
        ),
        (11_000, client(1, 1)),
    ]
}

/// What is drawn of packets.
pub(super) fn picture(packets: &[(i64, Packet)]) -> Picture {
    numbered(packets, [1_000_000, 5_000_000])
}

/// What is drawn of packets with these numbers of the SYNs.
pub(super) fn numbered(packets: &[(i64, Packet)], first: [u32; 2]) -> Picture {
    let segments: Vec<_> = packets
        .iter()
        .map(|(time, packet)| packet.at(*time, first))
        .collect();
    recorded(&segments)
}

/// What is drawn of segments.
pub(super) fn recorded(segments: &[Segment]) -> Picture {
    let times = || segments.iter().map(Segment::time);
    let span = (times().min().unwrap(), times().max().unwrap());
    let mut recorder = Recorder::new(&segments[0], span);
    segments[1..]
        .iter()
        .for_each(|segment| recorder.add(segment));
    recorder.finish()
}

/// An upload of ten packets of 1000 bytes: the second is lost and sent again by three duplicate ACKs, the
/// fifth comes late, the last is sent again after a timeout, and that was for nothing.
pub(super) fn lossy() -> Vec<(i64, Packet)> {
    let mut packets = handshake();
    let data = |number: u32| client(number * 1000 + 1, 1).data(1000).ts(20, 1);
    for (number, time) in [
        (0, 20),
        (1, 21),
        (2, 22),
        (3, 23),
        (5, 24),
        (4, 24),
        (6, 25),
        (7, 26),
    ] {
        packets.push((time * 1000, data(number)));
    }
    packets.push((30_000, server(1, 1001).ts(25, 20)));
    for right in [4001, 6001, 7001, 8001] {
        packets.push((
            32_000 + i64::from(right),
            server(1, 1001).ts(26, 20).sack(&[[2001, right]]),
        ));
    }
    packets.push((42_000, data(1)));
    packets.push((52_000, server(1, 8001).ts(40, 20)));
    packets.push((53_000, data(8)));
    packets.push((54_000, data(9).ts(53, 1)));
    packets.push((64_000, server(1, 9001).ts(50, 20).window(0)));
    packets.push((600_000, data(9).ts(600, 1)));
    packets.push((610_000, server(1, 10_001).ts(600, 20)));
    packets.push((
        611_000,
        server(1, 10_001).ts(601, 20).sack(&[[9001, 10_001]]),
    ));
    packets.push((620_000, client(10_001, 1).flags(ACK | FIN)));
    packets.push((630_000, server(1, 10_002).flags(ACK | FIN)));
    packets.push((631_000, client(10_002, 2)));
    packets
}
