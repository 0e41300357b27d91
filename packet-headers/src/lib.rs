//! The daemon: everything between the kernel programs and the files.

pub mod accounts;
pub mod addresses;
mod capture;
pub mod cli;
pub mod clock;
pub mod config;
pub mod doctor;
pub mod durations;
pub mod events;
pub mod flow;
pub mod http;
pub mod interfaces;
pub mod kernel;
pub mod ledger;
pub mod losses;
pub mod metrics;
mod netlink;
mod pipeline;
mod privileges;
mod rate_limit;
pub mod run;
mod screen;
mod signals;
pub mod store;
pub mod summary;
mod threads;
pub mod top;
