//! What a test sends: real TCP connections, UDP and QUIC, and frames that belong to no socket.
//!
//! Uses [`crate::world`] alone. Every payload is made of a marker ([`payload`]), so that it is
//! recognized wherever it must not be.

pub mod bulk;
pub mod burst;
pub mod capture_files;
pub mod connection;
pub mod conversation;
pub mod corpus;
pub mod datagrams;
mod ends;
pub mod flood;
pub mod ip_option_connections;
pub mod ip_packets;
pub mod of_each_kind;
pub mod pair;
pub mod payload;
pub mod plan;
pub mod quic;
pub mod short_connections;
pub mod steady;
pub mod storm;
pub mod tcp_shapes;
pub mod upload;
pub mod written;

pub use connection::{Connection, Observer};
pub use conversation::{Conversation, between, open, reopen, run};
pub use plan::{Ending, Family, Plan, Side};
