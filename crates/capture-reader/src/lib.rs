//! Reads captures, whoever wrote them: classic pcap and pcapng, in either byte order and any unit of
//! time, inside gzip, zstd and tar.
//!
//! Pure but for the [`Read`](std::io::Read) that it is given. What it reads may be hostile: lengths
//! are believed only as far as bytes follow, and no more than [`MAX_PACKET`] of a packet is held.
//! What is cut off is read up to its last whole packet.
//!
//! ```
//! use std::path::Path;
//!
//! use capture_reader::{Buffer, for_each_capture};
//!
//! # fn main() -> Result<(), capture_reader::ReadError> {
//! // A classic header and nothing else, as tcpdump writes it first.
//! let file = [
//!     &0xa1b2_c3d4_u32.to_le_bytes()[..], &[2, 0, 4, 0], &[0; 8],
//!     &262_144_u32.to_le_bytes(), &1_u32.to_le_bytes(),
//! ].concat();
//! let mut packets = 0;
//! for_each_capture(Box::new(&file[..]), Path::new("some.pcap"), &mut Buffer::default(), &mut |member| {
//!     let mut capture = member.capture?;
//!     while let Some(packet) = capture.next()? {
//!         packets += u64::from(packet.ip().is_some());
//!     }
//!     Ok(())
//! })?;
//! assert_eq!(packets, 0);
//! # Ok(())
//! # }
//! ```

mod bytes;
mod capture;
mod error;
mod link;
pub mod names;
mod options;
mod packet;
mod pcap;
mod pcapng;
#[cfg(test)]
mod tests;
mod unpack;
mod window;

pub use capture::CaptureReader;
pub use error::ReadError;
pub use options::{OptionCode, Options};
pub use packet::{Interface, Packet};
pub use unpack::{Member, Visit, for_each_capture};
pub use window::Buffer;

/// The longest packet that is read, in bytes. Linux gives captures at most 256 KiB of one, and builds
/// at most 512 KiB.
pub const MAX_PACKET: usize = 1 << 20;
