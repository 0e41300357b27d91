//! Everything that is counted: the daemon's counters, the kernel's, and the ways to read both, as a
//! report and as metrics.

pub mod backlog;
pub mod balance;
pub mod counters;
pub mod distribution;
pub mod durations;
pub mod losses;
pub mod lull;
pub(crate) mod prometheus;
pub mod reading;
pub mod report;
pub mod rows;
pub mod shard;
pub mod sources;
pub mod verdicts;

pub use self::counters::Counters;
pub use self::sources::CounterSources;
