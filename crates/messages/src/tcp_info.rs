//! tcp-info's event socket: one JSON object per line, each telling that a connection begins or ends.

mod read;
mod write;

pub use self::read::{Lines, Message};
pub use self::write::{close, open};
