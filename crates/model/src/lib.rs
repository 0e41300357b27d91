//! The vocabulary of packet-headers: names of connections, flow events, filters, times and
//! diagnostics.
//!
//! This crate does no I/O and reads no clock: time is an argument, and files and sockets belong to
//! the crates above. Of our crates it depends only on `packet-headers-common`, which describes what
//! crosses the boundary to the kernel.

pub mod attach;
pub mod clock;
pub mod count;
mod counter_set;
pub mod discard;
pub mod event_issue;

pub mod diagnostic;
pub mod event;
pub mod event_socket;
pub mod filters;
pub mod flow_readers;
pub mod flow_source;
mod host_name;
pub mod listen_address;
pub mod name_pattern;
pub mod owner;
pub mod protocol;
pub mod timing;
pub mod uuid;

pub use attach::AttachMethod;
pub use clock::{BootNanos, WallClock, WallNanos};
pub use count::Count;
pub use diagnostic::Diagnostic;
pub use discard::DiscardCounts;
pub use event::{Close, FlowEvent, Left, Open};
pub use event_issue::{EventIssue, EventIssues};
pub use event_socket::EventSocket;
pub use filters::{Filters, Wanted};
pub use flow_readers::FlowReaders;
pub use flow_source::FlowSource;
pub use host_name::{HostName, NoHostName};
pub use listen_address::ListenAddress;
pub use name_pattern::NamePattern;
pub use owner::Owner;
pub use packet_headers_common::{DiscardReason, named_enum};
pub use protocol::Protocol;
pub use timing::Timing;
pub use uuid::{FlowUuid, UuidPrefix};
