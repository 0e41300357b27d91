//! The frames that the sender sends: TCP segments of many flows, the next one always of the next
//! flow.

use std::net::{Ipv4Addr, SocketAddrV4};

use end_to_end::world::netns;
use etherparse::{PacketBuilder, TcpOptionElement};

/// Length of an Ethernet, an IPv4 and a TCP header with timestamps, in bytes: what is captured of a
/// packet.
pub(crate) const HEADERS: usize = 14 + 20 + 32;

/// The address of nobody: the receiving host drops the frame, so that its TCP is not measured.
/// Tools that capture see such frames all the same.
const NOBODY: [u8; 6] = [0x02, 0, 0, 0, 0, 0x99];

/// Which frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The number of flows that they belong to.
    pub(crate) flows: u32,
    /// The length of each on the wire, in bytes, without the frame check sequence.
    pub(crate) size: usize,
}

/// The host's end of every flow.
pub(crate) fn host() -> SocketAddrV4 {
    let [std::net::IpAddr::V4(address), _] = netns::first(0) else {
        unreachable!("the first of a subnet's addresses is its IPv4 one");
    };
    SocketAddrV4::new(address, 443)
}

/// The peer's end of a flow. There are thousands of addresses, as a busy server sees them.
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
