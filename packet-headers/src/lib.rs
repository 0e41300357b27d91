//! The daemon: everything between the kernel programs and the files.

pub mod accounts;
pub mod cli;
pub mod clock;
pub mod events;
pub mod flow;
pub mod interfaces;
pub mod kernel;
mod rate_limit;
pub mod run;
pub mod store;
pub mod summary;
