//! What others say of connections and interfaces: reads tcp-info's lines and the kernel's answers
//! through netlink, and writes lines as tcp-info does.
//!
//! Whatever the bytes are, reading them gives a message or an error. The crate does no I/O and reads no
//! clock: sockets belong to the daemon.

mod endpoint;
pub mod rtnetlink;
pub mod sock_diag;
pub mod tcp_info;

pub use self::endpoint::endpoint;
