//! Follows the streams of packet records that the kernel programs write into shared memory.
//!
//! What lies where, `packet_headers_common::segment` says. The programs' side of the protocol:
//!
//! 1. Take a free segment when the next record may not fit, and write into the one that is left where
//!    it ends, and where the stream goes on.
//! 2. Write the record behind the last one.
//! 3. Store the position, which says how far the stream is written, as one word.
//!
//! The reader's side:
//!
//! 1. [`Reader::read`] loads the position of every stream once. All that they show is written, and
//!    nobody changes it.
//! 2. [`Batch::records`] yields these records where they lie.
//! 3. Dropping the [`Batch`] gives the segments back that the streams have left.
//!
//! A stream has one writer and one reader, and a segment one owner: it is free, or of one stream. So
//! nothing is locked but the stacks of free segments, once in some hundred packets.

mod follower;
mod mapping;
mod memory;
mod reader;

pub use mapping::{Mapping, Maps, settles};
pub use memory::{Free, Link, Memory, Piece};
pub use reader::{Batch, Reader, Records};

#[cfg(test)]
mod tests;
