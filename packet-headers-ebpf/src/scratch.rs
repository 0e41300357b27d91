//! A place in memory for the programs of UDP, where the verifier does not know what lies. What goes through it is no
//! longer known by the way that led here, so that it need not look at the rest of the program for each such way.

use core::hint::black_box;

use packet_headers_common::DatagramState;
use packet_headers_ebpf::parse::{Datagram, Network};

use crate::kept::Kept;

/// What a program works with. The map of it has one for each processor.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Scratch {
    /// The IP header of the packet.
    pub(crate) network: Network,
    /// The packet.
    pub(crate) datagram: Datagram,
    /// What is known of its flow.
    pub(crate) flow: DatagramState,
    /// What is kept of it.
    pub(crate) kept: Kept,
}

/// Writes a value to a place in [`Scratch`], and reads it.
#[inline(always)]
pub(crate) fn through<T: Copy>(place: &mut T, value: T) -> T {
    *place = value;
    // The compiler does not know that it is the same.
    *black_box(place)
}
