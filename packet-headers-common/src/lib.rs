//! What crosses from the kernel programs to the daemon, and nothing else.
//!
//! Both sides compile this crate, with two compilers for two targets, so every layout that crosses
//! is asserted at compile time, and user space decodes by offset rather than by cast.
#![no_std]

pub mod admission;
pub mod counter;
pub mod event;
pub mod key;
pub mod record;
pub mod settings;

pub use admission::{FlowState, Home};
pub use counter::Counter;
pub use event::{EventRecord, Role, SocketEvent};
pub use key::{Endpoint, FlowKey};
pub use record::{Direction, LinkType, Packet, RecordHeader};
