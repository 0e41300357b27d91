//! Serves the events of the kernel source to clients of tcp-info's event socket.
//!
//! A client reads one JSON object per line (see [`messages::tcp_info`]). First it gets an Open for each connection
//! that is open when it connects, in any order, and from then on every event in the order in which
//! the kernel reported them. So it sees each Open once, and each Close once and after its Open.
//!
//! Connections of loopback, link-local, multicast and unspecified addresses are left out, as tcp-info
//! leaves them out: its clients trace routes to the addresses they read, and a link-local address
//! means nothing without its interface.
//!
//! Nothing waits for a client. The flow source hands events over through a bounded queue, and counts
//! what does not fit. All clients read one bounded log of the latest events, and a client that falls
//! behind it is disconnected.

mod client;
mod idleness;
mod intake;
mod publisher;
mod seats;
mod server;
mod shared;
mod stream;
mod sweep;
mod unread;

use crate::unix_socket::Purpose;

pub use self::publisher::Publisher;
pub use self::server::{EventServer, Scope};

/// The socket that clients connect to.
pub(crate) const SOCKET: Purpose = Purpose {
    name: "event socket",
    flag: "--eventsocket.listen",
};

#[cfg(test)]
mod tests;
