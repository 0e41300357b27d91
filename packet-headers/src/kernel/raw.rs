//! Capture without eBPF: sockets whose rings have headers and nothing else, and the daemon does what the
//! programs do otherwise.
//!
//! A shard has one socket. A classic BPF program cuts each packet behind its headers before the kernel copies
//! it (`crates/packet-rings`); the shard's thread makes of what it finds there the records that the programs
//! write, and leaves out what they would leave out. It takes `CAP_NET_RAW` to open the sockets, and nothing
//! from then on.

mod choice;
mod filters;
mod records;
mod source;
mod tally;
mod taps;

pub(crate) use self::filters::SharedFilters;
pub(crate) use self::source::RawSource;
pub(super) use self::tally::Tallies;
pub(super) use self::taps::Tapped;
pub(crate) use self::taps::Taps;
