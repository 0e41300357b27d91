//! Everything that lives in the kernel. Dropping a value of these modules removes what it put there.

pub mod attach;
pub mod counters;
pub mod filters;
pub mod flow_maps;
pub mod load;
pub mod method;
pub mod netns;
pub mod packet_socket;
mod refusal;
pub mod requirements;
pub mod ring;

pub(crate) use attach::Attach;
pub use attach::{Attacher, SocketLink};
pub use counters::KernelCounters;
pub use flow_maps::{FlowMaps, Refused};
pub use load::{LoadOptions, Programs};
pub(crate) use method::Candidate;
