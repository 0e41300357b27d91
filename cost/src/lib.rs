//! The user-space data path without a kernel: synthetic records go in, files come out.

pub mod cases;
pub mod path;
pub mod traffic;
