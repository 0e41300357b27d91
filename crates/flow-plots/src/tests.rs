//! Pictures of exchanges written by hand, and of any packets.

mod any_packets;
mod datagrams;
mod exchange;
mod marks;
mod pictures;
mod size;
