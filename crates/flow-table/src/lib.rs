//! Which packet belongs to which connection, and when a connection's file is finished.
//!
//! Pure: records of packets, events and the time go in, [`Action`]s and counts come out. There is no
//! clock, no I/O, no thread and no lock; one table belongs to one shard, and nothing in it is shared.
//!
//! The state lies in [`connections`], whose transitions are the only code that changes it. The rules
//! stand above it as functions: who is named ([`rules::naming`]), whose time has come
//! ([`rules::time`]), and who goes when memory runs out ([`rules::memory`]).
//!
//! Whatever a packet, an event, a tick or a question triggers touches a bounded number of
//! connections, however many there are and whichever limits are reached; the search trees among the
//! indexes make that O(log n). `table/tests/touches.rs` counts.

mod action;
mod batch;
mod connections;
mod listing;
mod rules;
mod stats;
mod table;

pub use action::{Action, Hint};
pub use batch::{Batch, BatchCounts};
pub use connections::ConnectionState;
pub use listing::{Listed, Listing, ListingWalk};
pub use stats::{SharedTableStats, TableCounts, TableStats};
pub use table::{FlowTable, Limits};
