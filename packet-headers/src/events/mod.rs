//! Flow events: the sources that report when connections begin and end and name them, and the queues
//! to the shards and to the event server.

mod catch_up;
pub(crate) mod closed_sockets;
pub mod existing;
pub mod kernel;
mod older;
pub(crate) mod owners;
pub mod prefix;
pub mod publish;
mod sink;
pub(crate) mod source;
pub mod tcpinfo;
pub(crate) mod uuid_prefix;

pub use self::sink::{EventSink, Stopped, queues};
