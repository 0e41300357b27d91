//! Transfers that are computed, not made: a sender, a path and a receiver as RFC 5681, 6298 and 6675 have
//! them, packet by packet, and the same ones each time. Pictures in docs are drawn of them.

mod capture;
pub mod examples;
mod quic;
mod transfer;

pub use capture::{DatagramWritten, SegmentWritten, write, write_datagrams};
pub use transfer::{Pause, Transfer};
