//! What a test sends: real TCP connections, and frames that belong to no socket.

pub mod bulk;
pub mod burst;
pub mod conversation;
pub mod corpus;
pub mod ends;
pub mod flood;
pub mod ip_option_connections;
pub mod pair;
pub mod short_connections;
pub mod steady;
pub mod tcp_shapes;

pub use conversation::*;
