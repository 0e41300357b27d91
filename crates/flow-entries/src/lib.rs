//! A shard's part of the table of flows, into which the kernel programs look for each packet.
//!
//! What lies where, and the programs' side of the protocol: [`packet_headers_common::flow_entry`]. The
//! shard's side:
//!
//! 1. [`Entries::admit`] writes an entry into a place of its bucket that has been empty for a while, and
//!    stores the token last: from then on the programs find it.
//! 2. [`Entries::retire`] says that the capture is over, unless a program has said that another
//!    connection has begun on the four-tuple.
//! 3. [`Entries::release`] clears the token: from then on no program finds the entry. Those that have
//!    found it before end long before the place is used again.
//!
//! None of it needs a system call or a lock. Where the bucket has no place, the caller has to keep the
//! connection elsewhere.

mod entries;
mod mapping;
mod memory;

pub use entries::Entries;
pub use mapping::Mapping;
pub use memory::{Memory, Shown};

#[cfg(test)]
mod tests;
