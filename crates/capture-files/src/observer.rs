//! What a writer reports to its owner: what became of every file and every packet.

use std::path::PathBuf;
use std::time::Duration;

use model::{FlowUuid, WallNanos};

use crate::error::FileError;
use crate::open_file::DroppedPackets;

/// Is told what becomes of files and packets, and knows how many packets this host lost.
///
/// A closure that takes a [`FileEvent`] is an observer that knows of no losses.
pub trait Observer {
    /// Takes note of what became of a file, or of packets.
    fn observe(&mut self, event: FileEvent<'_>);

    /// How many packets of this host, of any flow, had been lost by a moment in the past. Asked
    /// when a file is opened, for when its flow began.
    fn lost_by(&self, _moment: WallNanos) -> u64 {
        0
    }

    /// How many packets of this host, of any flow, have been lost by now. Asked when a file is
    /// closed: pcapng files say how many were lost while they were open.
    fn lost(&self) -> u64 {
        0
    }
}

impl<F: FnMut(FileEvent<'_>)> Observer for F {
    fn observe(&mut self, event: FileEvent<'_>) {
        self(event);
    }
}

/// What became of a file, or of packets.
///
/// Each packet that a [`Writer`](crate::Writer) was given is in exactly one of [`Published`],
/// [`Dropped`], [`Removed`] and [`Abandoned`] at the end.
///
/// [`Published`]: FileEvent::Published
/// [`Dropped`]: FileEvent::Dropped
/// [`Removed`]: FileEvent::Removed
/// [`Abandoned`]: FileEvent::Abandoned
#[derive(Debug)]
pub enum FileEvent<'a> {
    /// Writing packets to a partial file took this long, whether or not it succeeded.
    Spill(Duration),
    /// A partial file has become as long as `after`, in bytes; there was or is none if it is `None`.
    Grown {
        /// How long it was.
        before: Option<u64>,
        /// How long it is.
        after: Option<u64>,
    },
    /// Giving a file its final name took this long, whether or not it succeeded.
    Rename(Duration),
    /// Syncing finished files together took this long, whether or not it succeeded.
    Sync(Duration),
    /// Files have got their final names, but a power loss might take these away: the next recovery
    /// would give them again.
    NotSynced(FileError),
    /// A file is visible under its final name.
    Published(PublishedFile),
    /// Packets are in no file. The file goes on without them.
    Dropped(&'a FlowUuid, DroppedPackets),
    /// A finished file could not get its final name. It is kept for [`Writer::retry`].
    ///
    /// [`Writer::retry`]: crate::Writer::retry
    Deferred(&'a FlowUuid, FileError),
    /// Such a file could not get its name this time either.
    StillDeferred(&'a FlowUuid, FileError),
    /// A finished file will not be tried again.
    Abandoned(&'a FlowUuid, AbandonedFile),
    /// A finished file was removed and never published, as its owner asked for.
    Removed(RemovedFile),
    /// The file of a flow was removed before it was finished, as its owner asked for.
    LeftOut(RemovedFile),
    /// A flow ended without a file, as none could be written. Its packets, if there were any, were
    /// reported as dropped before.
    NoFile(&'a FlowUuid),
}

/// A file that is visible under its final name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedFile {
    /// Where it is.
    pub path: PathBuf,
    /// The number of packets in it.
    pub packets: u64,
    /// Its length.
    pub bytes: u64,
}

/// A finished file that its owner did not want published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemovedFile {
    /// The number of packets in it.
    pub packets: u64,
    /// Its length.
    pub bytes: u64,
}

/// A finished file that never got its final name.
#[derive(Debug)]
pub struct AbandonedFile {
    /// The number of packets in it.
    pub packets: u64,
    /// Its length.
    pub bytes: u64,
    /// Why it has no name.
    pub error: FileError,
    /// Whether it stays among the partial files, where the next [`Recovery`](crate::Recovery) finds
    /// it, rather than being lost.
    pub remains: bool,
}
