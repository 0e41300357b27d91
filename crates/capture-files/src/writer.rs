//! Writes flows' packets into files. Whatever the disk does, it goes on, and says what became of
//! each packet.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Instant;

use anonymize::Anonymizer;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use model::{FlowUuid, Owner};
use packet_headers_common::SocketTotals;

use crate::chunk::Chunk;
use crate::compress::Compressor;
use crate::directories::Directories;
use crate::error::{FileError, FileIssue, FileStep};
use crate::file_naming::FileNaming;
use crate::finished_file::FinishedFile;
use crate::flow_meta::FlowMeta;
use crate::format::Format;
use crate::interface_names::InterfaceNames;
use crate::kept_open::KeptOpen;
use crate::layout::Layout;
use crate::observer::{FileEvent, Observer};
use crate::open_file::{ClosedFile, DroppedPackets, Known, OpenFile, WriterContext};
use crate::publisher::Publisher;

/// How files are made.
#[derive(Debug, Clone)]
pub struct FileOptions {
    /// What they are called, and their format and compression.
    pub naming: FileNaming,
    /// The level of compression; without one, that which measurements chose.
    pub level: Option<u32>,
    /// What replaces addresses, if anything does.
    pub anonymizer: Option<Anonymizer>,
    /// The name and version of the program, which pcapng files contain.
    pub application: &'static str,
}

impl FileOptions {
    /// How packets for these files are laid out in memory.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        match (self.naming.format, &self.anonymizer) {
            (Format::Pcap, None) => Layout::Pcap,
            (Format::Pcap, Some(_)) => Layout::PcapToAnonymize,
            (Format::Pcapng, _) => Layout::Pcapng,
        }
    }
}

/// The next packets of a flow, for its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The flow, by a number that is never used for another one.
    pub flow: u64,
    /// What its file is called, and begins with.
    pub meta: FlowMeta,
    /// The packets, from a buffer with the [layout](FileOptions::layout) of these files: up to 2 MiB.
    /// The window or the length of a longer piece, compressed, may be more than recovery trusts.
    pub chunk: Chunk,
    /// Whether these are the last, and the file is to be published.
    pub last: bool,
    /// With the last packets: what the kernel knew of the flow when its socket was closed.
    pub totals: Option<Box<SocketTotals>>,
    /// With the last packets: whose connection it was. No file says it whose addresses are anonymized.
    pub owner: Option<Arc<Owner>>,
}

impl Job {
    /// The memory that the job holds while it waits, in bytes.
    #[must_use]
    pub fn cost(&self) -> usize {
        let totals = self.totals.as_deref().map_or(0, size_of_val);
        let owner = self.owner.as_deref().map_or(0, Owner::memory);
        self.chunk.memory + size_of::<Self>() + totals + owner
    }
}

/// Writes flows' packets into files.
///
/// A file grows among the partial files, and appears in the data directory when the last of its
/// packets is in it. Nothing here waits, except for the disk. An [`Observer`] is told what becomes
/// of files and packets.
///
/// ```
/// use capture_files::{
///     Directories, FileEvent, FileNaming, FileOptions, FlowMeta, Job, PacketBuffer, Record, Writer,
///     partial_directory,
/// };
/// use std::sync::Arc;
/// use model::{FlowUuid, WallNanos};
/// use packet_headers_common::{Direction, Endpoint, LinkType};
///
/// let home = tempfile::tempdir()?;
/// let data = home.path().join("captures");
/// let directories = Directories::prepare(&data, &partial_directory(&data))?;
/// let options = FileOptions {
///     naming: FileNaming::PLAIN,
///     level: None,
///     anonymizer: None,
///     application: "example 1.0",
/// };
/// let mut published = Vec::new();
/// let observer = |event: FileEvent<'_>| match event {
///     FileEvent::Published(file) => published.push((file.path, file.packets)),
///     FileEvent::Spill(_) | FileEvent::Grown { .. } | FileEvent::Rename(_) => {}
///     trouble => eprintln!("{trouble:?}"),
/// };
/// let mut writer = Writer::new(directories, &options, Arc::default(), observer)?;
///
/// let meta = FlowMeta {
///     uuid: FlowUuid::new("host_1700000000_unsafe_00000000000010AB")?,
///     opened: WallNanos(1_700_000_000_000_000_000),
///     local: Endpoint::v4([192, 0, 2, 1], 443),
///     remote: Endpoint::v4([198, 51, 100, 7], 50_000),
/// };
/// let mut buffer = PacketBuffer::new(options.layout());
/// for last in [false, true] {
///     buffer.push_record(&Record {
///         time: meta.opened,
///         wire_len: 1514,
///         ifindex: 2,
///         segments: 1,
///         direction: Direction::Egress,
///         link_type: LinkType::Ethernet,
///         l3: 14,
///         l4: 34,
///         headers: &[0; 54],
///     });
///     let chunk = buffer.take();
///     writer.write(Job { flow: 1, meta: meta.clone(), chunk, last, totals: None, owner: None });
/// }
/// writer.finish();
///
/// let path = data.join("2023/11/14/host_1700000000_unsafe_00000000000010AB.pcap");
/// assert!(path.exists());
/// assert_eq!(published, [(path, 2)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Writer<O> {
    context: WriterContext,
    open: HashMap<u64, OpenFile>,
    /// Those of the open files that have a descriptor.
    kept: KeptOpen,
    publisher: Publisher<O>,
    /// Who publishes instead.
    finished: Option<SyncSender<FinishedFile>>,
}

impl<O: Observer> Writer<O> {
    /// A writer into these directories.
    ///
    /// # Errors
    /// If compression cannot be started.
    pub fn new(
        directories: Directories,
        options: &FileOptions,
        interfaces: Arc<InterfaceNames>,
        observer: O,
    ) -> io::Result<Self> {
        Ok(Self {
            publisher: Publisher::new(directories.clone(), options.naming, observer),
            finished: None,
            context: WriterContext {
                directories,
                naming: options.naming,
                anonymizer: options.anonymizer.clone(),
                application: options.application,
                interfaces,
                compressor: Compressor::new(options.naming.compression, options.level)?,
                plain: Vec::new(),
                packed: Vec::new(),
            },
            open: HashMap::new(),
            kept: KeptOpen::new(0),
        })
    }

    /// Lets another thread publish what is finished from now on, by a [`Publisher`] of its own. Each
    /// file waits for room in this channel, and knows if it did. A file is published here if nobody
    /// receives it.
    pub fn hand_over(&mut self, finished: SyncSender<FinishedFile>) {
        self.finished = Some(finished);
    }

    /// Lets so many files stay open between two writes, from now on: until then, none does. Which of
    /// them is chosen by how often they are written. If the process has too many open files, all are
    /// closed until their next write.
    pub fn keep_open(&mut self, most: usize) {
        self.close_kept();
        self.kept = KeptOpen::new(most);
    }

    /// Closes the files that were not written since this was called last, until their next write: only
    /// those of busy flows are worth a descriptor, and a filesystem with a file that is open for writing
    /// cannot be made read-only.
    pub fn close_idle(&mut self) {
        for flow in self.kept.pop_unwritten() {
            self.give_up(flow);
        }
    }

    /// How many files are open between two writes.
    #[must_use]
    pub fn kept_open(&self) -> usize {
        self.kept.len()
    }

    /// Writes a chunk to its flow's file, and publishes that if it is the last one. The jobs of a
    /// flow have to come in order.
    pub fn write(&mut self, job: Job) {
        let Job {
            flow,
            meta,
            mut chunk,
            last,
            totals,
            owner,
        } = job;
        let file = self.file(flow, meta);
        file.anonymize(&mut chunk);
        let (begun, before) = (Instant::now(), file.bytes());
        let appended = self.append(flow, &chunk);
        let observer = self.publisher.observer();
        observer.observe(FileEvent::Spill(begun.elapsed()));
        if let Some(file) = self.open.get(&flow) {
            grown(observer, before, file.bytes());
            if let Err(dropped) = appended {
                observer.observe(FileEvent::Dropped(file.uuid(), dropped));
            }
        }
        if !last {
            self.keep(flow);
        } else if let Some(file) = self.open.remove(&flow) {
            self.kept.closed(flow);
            let known = Known {
                totals: totals.map(|totals| *totals),
                owner: owner.as_deref().map(Owner::bounded),
            };
            if let Some(closed) = self.close(file, known) {
                self.finish_file(FinishedFile::new(closed));
            }
        }
    }

    /// Removes what there is of the file of a flow, of which no more will come: it is not wanted.
    pub fn leave_out(&mut self, flow: u64) {
        self.kept.closed(flow);
        if let Some(file) = self.open.remove(&flow)
            && let Some(closed) = self.close(file, Known::default())
        {
            self.publisher.leave_out(closed);
        }
    }

    /// The file of a flow, which may have another name now.
    fn file(&mut self, flow: u64, meta: FlowMeta) -> &mut OpenFile {
        match self.open.entry(flow) {
            Entry::Occupied(known) => {
                let file = known.into_mut();
                file.set_meta(meta);
                file
            }
            Entry::Vacant(new) => {
                let lost_before = self.publisher.observer().lost_by(meta.opened);
                new.insert(OpenFile::new(meta, &self.context, lost_before))
            }
        }
    }

    /// Appends a chunk to the file of a flow.
    fn append(&mut self, flow: u64, chunk: &Chunk) -> Result<(), DroppedPackets> {
        let appended = self.try_append(flow, chunk);
        let lacks_descriptors = |dropped: &DroppedPackets| {
            // Nothing has been written then.
            dropped.error.issue() == FileIssue::TooManyOpen
        };
        if appended.as_ref().is_err_and(lacks_descriptors) && self.close_kept() > 0 {
            return self.try_append(flow, chunk);
        }
        appended
    }

    fn try_append(&mut self, flow: u64, chunk: &Chunk) -> Result<(), DroppedPackets> {
        let file = self.open.get_mut(&flow);
        file.map_or(Ok(()), |file| file.append(chunk, &mut self.context))
    }

    /// Leaves the file of a flow open, as far as there may be one more.
    fn keep(&mut self, flow: u64) {
        let closed = match self.open.get(&flow) {
            Some(file) if file.is_open() => self.kept.wrote(flow),
            Some(_) | None => {
                self.kept.closed(flow);
                None
            }
        };
        if let Some(closed) = closed {
            self.give_up(closed);
        }
    }

    /// Closes the file of a flow until its next write.
    fn give_up(&mut self, flow: u64) {
        if let Some(file) = self.open.get_mut(&flow) {
            file.give_up();
        }
    }

    /// Closes all files until their next write; how many that were.
    fn close_kept(&mut self) -> usize {
        let number = self.kept.len();
        while let Some(flow) = self.kept.pop() {
            self.give_up(flow);
        }
        number
    }

    fn finish_file(&mut self, file: FinishedFile) {
        let file = match &self.finished {
            Some(finished) => match finished.try_send(file) {
                Err(TrySendError::Full(file)) => {
                    finished.send(file.waiting()).map_err(|refused| refused.0)
                }
                Err(TrySendError::Disconnected(file)) => Err(file),
                Ok(()) => Ok(()),
            },
            None => Err(file),
        };
        if let Err(file) = file {
            self.publisher.publish(vec![file]);
        }
    }

    /// Writes what a file ends with.
    fn close(&mut self, file: OpenFile, known: Known) -> Option<ClosedFile> {
        let (uuid, before) = (file.uuid().clone(), file.bytes());
        let observer = self.publisher.observer();
        let (closed, dropped) = file.close(observer.lost(), known, &mut self.context);
        let after = closed.as_ref().map(|closed| closed.partial().bytes());
        grown(observer, before, after);
        if let Some(dropped) = dropped {
            observer.observe(FileEvent::Dropped(&uuid, dropped));
        }
        if closed.is_none() {
            observer.observe(FileEvent::NoFile(&uuid));
        }
        closed
    }

    /// Whether there is an open file of a flow.
    #[must_use]
    pub fn has_file(&self, flow: u64) -> bool {
        let file = self.open.get(&flow);
        file.is_some_and(|file| file.bytes().is_some())
    }

    /// The names of the flows whose finished files wait for their final name, and where these are.
    pub fn unpublished(&self) -> impl ExactSizeIterator<Item = (&FlowUuid, PathBuf)> {
        self.publisher.unpublished()
    }

    /// Tries again to publish what could not be, some files at a time. The first that fails shows
    /// that it is too early. To be called now and then while there are
    /// [`unpublished`](Self::unpublished) files.
    pub fn retry(&mut self) {
        // It may be descriptors that were missing.
        self.close_kept();
        self.publisher.retry();
    }

    /// Ends writing, and gives the observer back. Files that still cannot get their name stay where
    /// they are, as do those of flows whose last chunk never came: the next recovery publishes
    /// them. Files that were handed over are published by whoever received them.
    pub fn finish(mut self) -> O {
        for (_, file) in std::mem::take(&mut self.open) {
            if let Some(closed) = self.close(file, Known::default()) {
                self.abandon(&closed);
            }
        }
        self.publisher.finish()
    }

    /// [`finish`](Self::finish) for who cannot wait for the disk: files of flows whose last chunk never came
    /// stay without what they should end with.
    pub fn leave(mut self) -> O {
        for (_, file) in std::mem::take(&mut self.open) {
            let uuid = file.uuid().clone();
            match file.leave() {
                Some(file) => self.abandon(&file),
                None => self.publisher.observer().observe(FileEvent::NoFile(&uuid)),
            }
        }
        self.publisher.finish()
    }

    /// Gives up a file whose last chunk never came.
    fn abandon(&mut self, file: &ClosedFile) {
        let why = io::Error::other("the end of the flow never came");
        let path = file.partial().path();
        let error = FileError::new(FileStep::Finish, "publishing", &path, why);
        self.publisher.abandon(file, error);
    }
}

fn grown(observer: &mut impl Observer, before: Option<u64>, after: Option<u64>) {
    if before != after {
        observer.observe(FileEvent::Grown { before, after });
    }
}

#[cfg(test)]
mod tests;
