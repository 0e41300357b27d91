//! The daemon: everything between the kernel programs and the files.

pub mod accounts;
pub mod addresses;
pub mod anonymize;
mod capture;
pub mod cli;
pub mod clock;
pub mod config;
pub mod doctor;
pub mod events;
pub mod flow;
pub mod http;
pub mod interfaces;
pub mod kernel;
pub mod losses;
mod netlink;
pub mod obstacle;
mod pipeline;
mod rate_limit;
pub mod run;
mod screen;
mod signals;
pub mod store;
pub mod summary;
mod threads;
pub mod top;
