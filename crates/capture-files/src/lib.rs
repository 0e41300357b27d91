//! Capture files: packets in memory, and what a file is made of.

pub mod compress;
pub mod format;
pub mod interface_names;
pub mod layout;
mod packet_buffer;
pub mod record;
pub mod scan;

pub use interface_names::InterfaceNames;
pub use layout::FlowMeta;
pub use packet_buffer::{Chunk, PacketBuffer};
