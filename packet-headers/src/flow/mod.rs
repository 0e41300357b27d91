//! Which flow gets which packet.

mod connection;
mod memory;
mod naming;
pub mod shard;
pub mod table;
pub mod uuid;

pub use connection::Timing;
