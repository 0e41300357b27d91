//! Capture files that appear whole: pcap and pcapng, one file for each connection.
//!
//! For programs that capture packet headers all the time, and write them into many files at once
//! that other programs pick up. The packets of a flow gather in a [`PacketBuffer`]; a [`Writer`]
//! appends them to the flow's file, and publishes that when the flow has ended; a [`Recovery`]
//! publishes what earlier runs left unfinished; a [`Retention`] removes the oldest files, and knows
//! what [`Room`] there is for more. All of them work in a pair of [`Directories`].
//!
//! # Promises
//!
//! - **A file appears whole.** It grows in a directory of its own, and is renamed into the data
//!   directory when everything is in it. Programs that watch the data directory see complete files
//!   only.
//! - **A partial file is always a readable prefix.** It grows by whole records, and with
//!   compression by whole gzip members or Zstandard frames. A write that fails is undone. A crash
//!   can tear the last write only, and recovery cuts the file to its last whole record.
//! - **Nothing is overwritten.** A file whose name is taken gets a number: `<UUID>.1.pcap`.
//! - **Recovery trusts nothing but what it scans.** The names, lengths and times of partial files
//!   prove nothing. Every record is checked, in bounded memory, and what is not ours is left alone.
//! - **Nothing else is touched.** Below the two directories, no symbolic link is followed, nothing
//!   but regular files of this user is opened, and a directory in which others could exchange things
//!   is refused. Files are for their owner to write and for their group to read.
//! - **Each packet is accounted for.** Whatever the disk does, writing goes on, and an [`Observer`]
//!   learns of every packet whether it is in a published file, and if not, why.
//! - **One process for one directory.** Both directories are locked for as long as they are in use.
//!
//! With [`Directories::with_fsync`], a file that has appeared stays whole through a power loss,
//! too.
//!
//! # Limits
//!
//! Packets are the headers of TCP over IP, without payload: recovery takes nothing for ours that is
//! shorter than 40 bytes or longer than 1100. Linux only.
//!
//! There are no threads here, and nothing is logged: that is for the program to decide.
//! `examples/kill_and_recover.rs` shows a whole life: files that appear, a kill, and a recovery.

mod boot;
mod chunk;
mod compress;
mod directories;
mod disk;
mod error;
mod file_name;
mod file_naming;
mod finished_file;
mod flow_meta;
mod format;
mod group_sync;
mod headers;
mod interface_names;
mod kept_open;
mod layout;
mod observer;
mod open_file;
mod packet_buffer;
mod partial_file;
mod pcap_record;
mod power_loss;
mod publisher;
mod record;
mod recovery;
mod retention;
mod rows_file;
mod scan;
mod side_file;
mod writer;

pub use chunk::{Chunk, Records};
pub use compress::{Compression, Compressor};
pub use directories::{Directories, DirectoryError, DirectoryLock, partial_directory};
pub use disk::Untrusted;
pub use error::{FileError, FileIssue, FileIssues, FileStep, FileSteps};
pub use file_name::FileName;
pub use file_naming::{FileNaming, FlowId};
pub use finished_file::FinishedFile;
pub use flow_meta::FlowMeta;
pub use format::{Encoder, FileEnd, FileHeader, Format, PacketStream};
pub use interface_names::InterfaceNames;
pub use layout::Layout;
pub use observer::{AbandonedFile, FileEvent, Observer, PublishedFile, RemovedFile};
pub use open_file::DroppedPackets;
pub use packet_buffer::PacketBuffer;
pub use power_loss::{PowerLoss, TakenBack};
pub use publisher::Publisher;
pub use record::Record;
pub use recovery::{Gate, LeftFile, Passage, Recovered, Recovery};
pub use retention::{Limit, Made, Moment, Retention, RetentionLimits, Room, Sweep, Usage};
pub use rows_file::{PartitionedRows, RowsFileName};
pub use scan::{Verdict, Whole, scan};
pub use side_file::{LeftSideFile, SideError, SideFile};
pub use writer::{FileOptions, Job, Writer};

/// Decides what becomes of operations on files, for simulations of a disk that fails.
#[cfg(any(test, feature = "faults"))]
pub mod faults {
    pub use crate::disk::{Fate, Operation, Plan, plan};
}
