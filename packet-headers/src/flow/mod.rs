//! Which flow gets which packet.

pub mod census;
mod connection;
pub mod gauges;
pub mod listing;
mod memory;
mod naming;
pub mod shard;
pub mod table;
mod timers;
pub mod uuid;

pub use connection::Timing;
