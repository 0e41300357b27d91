//! What the packets of a TCP connection, a QUIC connection or another UDP flow say about it: one row of figures for
//! each.
//!
//! Packets go in as [`Segment`]s or [`Datagram`]s, in the order in which they were captured, and a [`Row`] comes out, at
//! any time. It is pure: no I/O, no clock; and a connection takes a few kilobytes however long it is.
//!
//! ```
//! use flow_stats::{Connection, Segment};
//!
//! # fn packet(from: u8, to: u8, sequence: u32, acknowledgment: u32, flags: u8) -> Vec<u8> {
//! #     let mut ip = vec![0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, from, 192, 0, 2, to];
//! #     ip.extend([0, from, 0, to]);
//! #     ip.extend(sequence.to_be_bytes());
//! #     ip.extend(acknowledgment.to_be_bytes());
//! #     ip.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
//! #     ip
//! # }
//! // IP packets, as far as they were captured, and their length on the wire.
//! let syn = Segment::of_ip(0, &packet(1, 2, 1000, 0, 0x02), 40, 1)?;
//! let syn_ack = Segment::of_ip(20_000_000, &packet(2, 1, 5000, 1001, 0x12), 40, 1)?;
//!
//! let mut connection = Connection::new(&syn);
//! connection.add(&syn_ack);
//! let row = connection.row();
//! assert_eq!(row.client_port, 1);
//! assert_eq!(row.client.handshake_rtt_us, Some(20_000));
//! # Ok::<(), flow_stats::NotTcp>(())
//! ```
//!
//! [`COLUMNS`] has the definition of each figure. docs/rows.md shows where they differ from what tshark,
//! tcptrace and the kernel call by the same name.
//!
//! # What is believed
//!
//! Whatever packets say, nothing panics and nothing grows. Sequence numbers are places on a line, not on a
//! circle: each is taken for the nearest one to those that are known. What is far from them is a stray packet
//! and counts for nothing.
//!
//! # How it is built
//!
//! Each rule has a file, and each file uses only those before it in this list: `sequence`, `options`, `ip`,
//! `segment`, `judgment`, `marks` (of IP headers); then, for what one end sent, `counts`, `holes` (which numbers were
//! seen), `quantiles`, `rtt`, `syn`, `window`, `flight`, `rate`, `loss` (what was sent again, and why), `side` (all of these together); then
//! `column`, `words`, `community_id`, `icmp` (errors about a connection), `connection`; for UDP `datagram`, `spin`
//! (round-trip times by QUIC's spin bit), `quic`, `datagrams`; and of all `transport`, `kernel` and `owned` (what the host
//! of an end adds), `row` and `datagram_row`.

mod column;
mod community_id;
mod connection;
mod counts;
mod datagram;
mod datagram_row;
mod datagrams;
mod flight;
mod holes;
mod icmp;
mod ip;
mod judgment;
mod kernel;
mod loss;
mod marks;
mod options;
mod owned;
mod quantiles;
mod quic;
mod rate;
mod row;
mod rtt;
mod segment;
mod sequence;
mod side;
mod spin;
mod syn;
#[cfg(test)]
mod tests;
mod transport;
mod window;
mod words;

pub use column::{Column, Kind, Time, Value, time_of_text, time_text};
pub use community_id::community_id;
pub use connection::Connection;
pub use datagram::Datagram;
pub use datagrams::{DatagramJudgment, Datagrams};
pub use icmp::{Icmp, IcmpError};
pub use ip::NotTcp;
pub use judgment::{Cause, Judgment, PacketKind};
pub use kernel::Kernel;
pub use owned::Owned;
pub use quic::Quic;
pub use row::{COLUMNS, Direction, Row};
pub use segment::Segment;
pub use transport::Transport;
pub use words::{BeganBy, Ecn, Ended, Handshake, Protocol};
