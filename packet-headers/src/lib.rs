//! The daemon: everything between the kernel programs and the files.

mod capture;
pub mod cli;
pub mod clock;
pub mod config;
pub mod doctor;
pub mod events;
mod exposition;
pub mod flows;
pub mod heartbeat;
pub mod host;
pub mod http;
pub mod kernel;
pub mod live;
mod load_options;
pub mod manual;
mod rate_limit;
pub mod run;
pub mod sandbox;
pub mod shard;
pub mod stats;
pub mod store;
pub mod terminal;
mod threads;
pub mod top;
mod unix_socket;
pub mod watch;
