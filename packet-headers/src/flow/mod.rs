//! Which flow gets which packet.

pub mod census;
mod connection;
pub mod demux;
pub mod gauges;
pub mod listing;
mod memory;
mod naming;
pub mod outbox;
pub mod shard;
pub mod table;
mod timers;
