//! The daemon: everything between the kernel programs and the files.

pub mod accounts;
mod banner;
mod capture;
pub mod cli;
pub mod clock;
pub mod config;
pub mod doctor;
pub mod durations;
pub mod events;
pub mod heartbeat;
pub mod host;
pub mod http;
pub mod kernel;
pub mod ledger;
pub mod losses;
pub mod metrics;
mod pipeline;
mod privileges;
mod rate_limit;
pub mod run;
pub mod shard;
mod signals;
mod stdout;
pub mod store;
pub mod summary;
mod threads;
pub mod top;
