//! Everything that lives in the kernel. Dropping a value of these modules removes what it put there.

pub mod attach;
pub mod cgroup2;
mod classifier;
pub mod counters;
mod filters;
pub mod flow_maps;
mod grace;
mod link_state;
pub(crate) mod listeners;
pub mod load;
pub mod method;
pub mod netns;
pub mod packet_socket;
mod refusal;
pub mod requirements;
pub mod ring;
mod socket_link;
mod socket_option;
pub mod streams;
mod tc_filter;

pub(crate) use attach::Attach;
pub use attach::Attacher;
pub use cgroup2::Cgroup2;
pub(crate) use classifier::NETLINK_PRIORITY;
pub use counters::KernelCounters;
pub use filters::KernelFilters;
pub use flow_maps::{FlowMaps, Refused};
pub(crate) use grace::wait_for_programs;
pub use load::{LoadOptions, Programs};
pub(crate) use method::Candidate;
pub use socket_link::SocketLink;
pub(crate) use socket_option::socket_option;
