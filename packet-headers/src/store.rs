//! The daemon's side of capture files: the threads around the crate `capture-files`, and what they
//! count and log.

pub(crate) mod directories;
mod maintenance;
pub mod publisher;
pub mod writer;

pub(crate) use maintenance::Maintenance;
