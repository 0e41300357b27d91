//! When flows begin and end, and what they are called: the sources, and the way to the shards and to
//! others who want to know.

mod endpoint;
pub mod existing;
pub mod kernel;
pub mod prefix;
pub mod publish;
mod sink;
pub(crate) mod source;
pub mod tcpinfo;
pub(crate) mod uuid_prefix;

pub use self::sink::{EventSink, Stopped, queues};
