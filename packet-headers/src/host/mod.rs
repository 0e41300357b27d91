//! What this host has: network interfaces and addresses, kept up to date by rtnetlink, and which of
//! the interfaces are wanted; its cgroups, and which process has a socket.

pub mod addresses;
pub(crate) mod cgroups;
pub(crate) mod choice;
pub mod interfaces;
pub(crate) mod namespace;
pub(crate) mod netlink;
pub(crate) mod processes;
