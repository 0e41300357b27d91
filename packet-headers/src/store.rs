//! The daemon's side of capture files: the threads around the crate `capture-files`, and what they
//! count and log.

pub(crate) mod directories;
mod maintenance;
mod no_room;
pub(crate) mod open_files;
pub mod publisher;
pub(crate) mod rows;
mod swept;
pub mod writer;

pub(crate) use maintenance::Maintenance;
pub(crate) use no_room::explain;
