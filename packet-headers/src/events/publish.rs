//! Serves the events of the kernel source to others, as tcp-info serves its own.
//!
//! A client reads one JSON object a line (see [`line`]). What it reads is one sequence, whenever it
//! connects: first an Open for each connection that is open at that moment, in any order, and from
//! there on every event in the order in which the kernel told them. So it sees each Open once, and
//! each Close once and after its Open.
//!
//! Connections of loopback, link-local, multicast and unspecified addresses are left out, as tcp-info
//! leaves them out: its clients trace routes to what they read, and a link-local address means
//! nothing without its interface.
//!
//! Nobody waits for a client. The flow source hands over through a bounded queue, and counts what
//! does not fit; all clients read one bounded log of the latest events, and one that falls behind it
//! is dropped.

mod client;
mod intake;
pub(super) mod line;
mod publisher;
mod server;
mod shared;
mod socket;
mod stream;
mod sweep;

pub use self::publisher::Publisher;
pub use self::server::{EventServer, Scope};
pub use self::socket::EventListener;
pub(crate) use self::socket::{Place, inspect};

#[cfg(test)]
mod tests;
