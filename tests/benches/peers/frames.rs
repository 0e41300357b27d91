//! The frames that the sender sends: TCP segments of so many flows, one of each flow after another.

use std::net::{Ipv4Addr, SocketAddrV4};

use end_to_end::world::netns;
use etherparse::{PacketBuilder, TcpOptionElement};

/// Bytes of an Ethernet, an IPv4 and a TCP header with timestamps: what a captured packet keeps.
pub(crate) const HEADERS: usize = 14 + 20 + 32;

/// Nobody's: the receiving host looks at the frame and drops it, so that what is measured is not its
/// TCP. Interfaces show such frames to whoever captures.
const NOBODY: [u8; 6] = [0x02, 0, 0, 0, 0, 0x99];

/// Which frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// How many flows they belong to.
    pub(crate) flows: u32,
    /// Bytes of each on the wire, without the frame check sequence.
    pub(crate) size: usize,
}

/// Where the host's end of every flow is.
pub(crate) fn host() -> SocketAddrV4 {
    let [std::net::IpAddr::V4(address), _] = netns::first(0) else {
        unreachable!("the first of a subnet's addresses is its IPv4 one");
    };
    SocketAddrV4::new(address, 443)
}

/// Where the peer's end of a flow is: thousands of addresses, as busy servers see.
pub(crate) fn peer(flow: u32) -> SocketAddrV4 {
    let [_, _, high, low] = (flow / 4).to_be_bytes();
    let port = 40_000 + (flow % 4) as u16;
    SocketAddrV4::new(Ipv4Addr::new(10, 99, high, low), port)
}

/// The headers of a flow's frames.
pub(crate) fn headers(flow: u32, size: usize) -> Vec<u8> {
    let (from, to) = (peer(flow), host());
    let timestamps = [
        TcpOptionElement::Noop,
        TcpOptionElement::Noop,
        TcpOptionElement::Timestamp(flow, 1),
    ];
    let builder = PacketBuilder::ethernet2([0x02, 0, 0, 0, 0, 1], NOBODY)
        .ipv4(from.ip().octets(), to.ip().octets(), 64)
        .tcp(from.port(), to.port(), flow, 65_000)
        .ack(1)
        .options(&timestamps)
        .expect("the options fit");
    let payload = vec![b'.'; size - HEADERS];
    let mut frame = Vec::with_capacity(size);
    let written = builder.write(&mut frame, &payload);
    written.expect("a vector takes everything");
    frame.truncate(HEADERS);
    frame
}
