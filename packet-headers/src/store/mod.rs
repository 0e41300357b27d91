//! Files: what is in them, where they are, and who writes them.

pub mod block;
pub mod layout;
pub mod partial;
pub mod writer;
