//! Draws a TCP connection from its packets: the time-sequence graph as tcptrace and xplot draw it, round-trip
//! times, throughput, and bytes in flight; and a UDP flow or a QUIC connection: its packets, throughput, and what the
//! spin bit says of round-trip times. As one SVG file or as one HTML page that needs nothing else.
//!
//! It is pure: [`Segment`](flow_stats::Segment)s, or [`Datagram`](flow_stats::Datagram)s, go in, in the order in which they were captured, and text
//! comes out. What a packet was is judged by `flow-stats`, so that a picture has as many retransmissions as
//! the connection's row says. docs/plot.md shows how to read the pictures.
//!
//! ```
//! use flow_plots::Recorder;
//! use flow_stats::Segment;
//!
//! # fn packet(from: u8, to: u8, sequence: u32, acknowledgment: u32, flags: u8) -> Vec<u8> {
//! #     let mut ip = vec![0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, from, 192, 0, 2, to];
//! #     ip.extend([0, from, 0, to]);
//! #     ip.extend(sequence.to_be_bytes());
//! #     ip.extend(acknowledgment.to_be_bytes());
//! #     ip.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
//! #     ip
//! # }
//! let syn = Segment::of_ip(0, &packet(1, 2, 1000, 0, 0x02), 40, 1)?;
//! let syn_ack = Segment::of_ip(20_000_000, &packet(2, 1, 5000, 1001, 0x12), 40, 1)?;
//!
//! // The times of the first and the last packet, as the connection's row has them.
//! let mut recorder = Recorder::new(&syn, (0, 20_000_000));
//! recorder.add(&syn_ack);
//! let picture = recorder.finish();
//! assert!(picture.svg().starts_with("<svg "));
//! # Ok::<(), flow_stats::NotTcp>(())
//! ```
//!
//! # How much it takes
//!
//! Memory and files are bounded, however long a connection is: marks are kept one by one as long as there are
//! few, and by columns of the picture when there are many. A picture says so where that happened.
//!
//! # How it is built
//!
//! Each file uses only those before it in this list: `scale`, `numbers`, `svg`, `thin`; `traces` (what is shown of one
//! direction), `subject` (what is drawn), `datagram_facts` and `facts` (what is said in words); `frame` (axes and legends), `panels`
//! (a file for each kind of graph), `drawing` and `page`; `picture`, `recorder`, `datagram_recorder`.

mod datagram_facts;
mod datagram_recorder;
mod drawing;
mod facts;
mod frame;
mod numbers;
mod page;
mod panels;
mod picture;
mod recorder;
mod scale;
mod subject;
mod svg;
#[cfg(test)]
mod tests;
mod thin;
mod traces;

pub use datagram_recorder::DatagramRecorder;
pub use picture::Picture;
pub use recorder::Recorder;
