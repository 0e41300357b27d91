//! Packets as they are captured, for who watches them: pcapng over a Unix socket.
//!
//! While somebody watches, each shard copies the records that it takes into a bounded queue; while nobody
//! does, that costs it one load a turn. One task chooses for each watcher what it asked for, and encodes
//! it. Nothing waits for a watcher: what does not fit is counted, and the watcher is told how much is
//! missing, and where.
//!
//! A watcher first sends one line, a [`Wanted`] as JSON, and is answered by one line, [`WELCOME`] or why
//! not. After that comes pcapng, until either of both ends it.

mod queue;
mod server;
mod stream;
mod wanted;

use crate::unix_socket::Purpose;

pub use queue::Tee;
pub(crate) use server::serve;
pub use wanted::Wanted;

/// Where watchers connect, unless a flag says otherwise.
pub const USUAL_PLACE: &str = "/run/packet-headers/watch.sock";

/// The answer to a watcher that is served.
pub const WELCOME: &str = "ok";

/// The socket that watchers connect to.
pub(crate) const SOCKET: Purpose = Purpose {
    name: "watch socket",
    flag: "--watch-socket",
};
