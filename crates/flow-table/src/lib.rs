//! Which packet belongs to which connection, and when a connection's file is finished.
//!
//! Pure: packet records, events and the time go in, [`Action`]s and counts come out. There is no
//! clock, no I/O, no thread and no lock. Each shard has its own table, and nothing in it is shared.
//!
//! The state is in [`connections`], whose transitions are the only code that changes it. The rules
//! are functions on top of it: which connection gets a name ([`rules::naming`]), which timers have
//! expired ([`rules::time`]), and what goes when memory runs out ([`rules::memory`]).
//!
//! Each packet, event, tick or list request touches a bounded number of connections, however many
//! there are and whichever limits are reached; the search trees among the indexes make that
//! O(log n). `table/tests/touches.rs` counts them.

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
