//! Capture files: packets in memory, and what a file is made of.

pub mod block;
pub mod compress;
pub mod format;
pub mod interface_names;
pub mod layout;
pub mod record;
pub mod scan;

pub use interface_names::InterfaceNames;
