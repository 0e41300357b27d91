//! The frames that the sender sends: TCP segments of many flows, the next one always of the next
//! flow.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use end_to_end::world::netns;
use etherparse::{PacketBuilder, TcpOptionElement};

/// Length of an Ethernet header and of a TCP header with timestamps, in bytes.
const ETHERNET: usize = 14;
const TCP: usize = 32;

/// What a segment of a full-size frame carries, in bytes.
const SEGMENT: usize = 1448;

/// The address of nobody: the receiving host drops the frame, so that its TCP is not measured.
/// Tools that capture see such frames all the same.
const NOBODY: [u8; 6] = [0x02, 0, 0, 0, 0, 0x99];

/// The version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    V4,
    V6,
}

/// Which frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The number of flows that they belong to.
    pub(crate) flows: u32,
    /// The length of each, in bytes, without the frame check sequence.
    pub(crate) size: usize,
    /// Over which network.
    pub(crate) network: Network,
    /// How many packets of the wire each stands for, as if GRO had merged them.
    pub(crate) segments: u16,
}

impl Shape {
    /// Frames of this size.
    pub(crate) const fn new(flows: u32, size: usize) -> Self {
        Self {
            flows,
            size,
            network: Network::V4,
            segments: 1,
        }
    }

    /// Frames without payload over IPv6.
    pub(crate) const fn v6(flows: u32) -> Self {
        Self {
            network: Network::V6,
            ..Self::new(flows, ETHERNET + 40 + TCP)
        }
    }

    /// Frames that stand for so many full-size ones.
    pub(crate) const fn merged(flows: u32, segments: u16) -> Self {
        let size = ETHERNET + 20 + TCP + SEGMENT * segments as usize;
        Self {
            segments,
            ..Self::new(flows, size)
        }
    }

    /// Length of the headers, in bytes: what is captured of a frame.
    pub(crate) const fn headers(self) -> usize {
        self.tcp_at() + TCP
    }

    /// Length of what comes after them.
    pub(crate) const fn payload(self) -> usize {
        self.size - self.headers()
    }

    const fn tcp_at(self) -> usize {
        match self.network {
            Network::V4 => ETHERNET + 20,
            Network::V6 => ETHERNET + 40,
        }
    }

    /// A `struct virtio_net_hdr` (uapi/linux/virtio_net.h): what comes before each frame, and tells
    /// the kernel how it was merged and that its checksum is still to be made.
    pub(crate) fn offload(self) -> [u8; 10] {
        const NEEDS_CHECKSUM: u8 = 1;
        const TCP_V4: u8 = 1;
        const TCP_V6: u8 = 4;
        /// Where a TCP header has its checksum.
        const CHECKSUM: u16 = 16;
        if self.segments == 1 {
            return [0; 10];
        }
        let kind = match self.network {
            Network::V4 => TCP_V4,
            Network::V6 => TCP_V6,
        };
        let lengths = [self.headers(), SEGMENT, self.tcp_at()];
        let mut header = [0; 10];
        (header[0], header[1]) = (NEEDS_CHECKSUM, kind);
        let fields = lengths.into_iter().map(|length| length as u16);
        for (field, value) in header[2..]
            .chunks_exact_mut(2)
            .zip(fields.chain([CHECKSUM]))
        {
            field.copy_from_slice(&value.to_ne_bytes());
        }
        header
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.flows {
            1 => write!(out, "1 flow")?,
            many => write!(out, "{many} flows")?,
        }
        if self.network == Network::V6 {
            write!(out, " over IPv6")?;
        }
        match self.segments {
            1 => write!(out, ", {} bytes", self.size),
            many => write!(out, ", {many} segments of {SEGMENT} bytes"),
        }
    }
}

/// The host's end of every flow.
pub(crate) fn host(network: Network) -> SocketAddr {
    let [v4, v6] = netns::first(0);
    let address = match network {
        Network::V4 => v4,
        Network::V6 => v6,
    };
    SocketAddr::new(address, 443)
}

/// The peer's end of a flow. There are thousands of addresses, as a busy server sees them.
pub(crate) fn peer(network: Network, flow: u32) -> SocketAddr {
    let [_, _, high, low] = (flow / 4).to_be_bytes();
    let port = 40_000 + (flow % 4) as u16;
    let address = match network {
        Network::V4 => IpAddr::V4(Ipv4Addr::new(10, 99, high, low)),
        Network::V6 => {
            let last = u16::from_be_bytes([high, low]);
            IpAddr::V6(Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, last))
        }
    };
    SocketAddr::new(address, port)
}

/// The headers of a flow's frames.
pub(crate) fn headers(shape: Shape, flow: u32) -> Vec<u8> {
    let (from, to) = (peer(shape.network, flow), host(shape.network));
    let timestamps = [
        TcpOptionElement::Noop,
        TcpOptionElement::Noop,
        TcpOptionElement::Timestamp(flow, 1),
    ];
    let ethernet = PacketBuilder::ethernet2([0x02, 0, 0, 0, 0, 1], NOBODY);
    let ip = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ethernet.ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => ethernet.ipv6(from.octets(), to.octets(), 64),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            unreachable!("both ends have addresses of one network")
        }
    };
    let builder = ip
        .tcp(from.port(), to.port(), flow, 65_000)
        .ack(1)
        .options(&timestamps)
        .expect("the options fit");
    let payload = vec![b'.'; shape.payload()];
    let mut frame = Vec::with_capacity(shape.size);
    let written = builder.write(&mut frame, &payload);
    written.expect("a vector takes everything");
    frame.truncate(shape.headers());
    frame
}
