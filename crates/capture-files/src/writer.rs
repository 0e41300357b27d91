//! Writes flows' packets into files. Whatever the disk does, it goes on, and says what became of
//! each packet.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anonymize::Anonymizer;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use model::FlowUuid;

use crate::compress::Compressor;
use crate::directories::Directories;
use crate::error::{FileError, FileStep};
use crate::file_naming::FileNaming;
use crate::flow_meta::FlowMeta;
use crate::interface_names::InterfaceNames;
use crate::observer::{AbandonedFile, FileEvent, Observer, PublishedFile};
use crate::open_file::{ClosedFile, OpenFile, WriterContext};
use crate::packet_buffer::Chunk;

/// How many finished files may wait for their final name if they cannot get it. What is beyond
/// stays for the next recovery.
const MAX_UNPUBLISHED: usize = 16 * 1024;

/// How many of them are tried at once.
const RETRIES: usize = 256;

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

/// The next packets of a flow, for its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The flow, by a number that is never used for another one.
    pub flow: u64,
    /// What its file is called, and begins with.
    pub meta: FlowMeta,
    /// The packets: up to 2 MiB of records. The window or the length of a longer piece, compressed,
    /// may be more than recovery trusts.
    pub chunk: Chunk,
    /// Whether these are the last, and the file is to be published.
    pub last: bool,
}

impl Job {
    /// The memory that the job holds while it waits, in bytes.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.chunk.memory + size_of::<Self>()
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
///     link_type: LinkType::Ethernet,
///     local: Endpoint::v4([192, 0, 2, 1], 443),
///     remote: Endpoint::v4([198, 51, 100, 7], 50_000),
/// };
/// let mut buffer = PacketBuffer::default();
/// for last in [false, true] {
///     buffer.push_record(&Record {
///         time: meta.opened,
///         wire_len: 1514,
///         ifindex: 2,
///         segments: 1,
///         direction: Direction::Egress,
///         link_type: meta.link_type,
///         l3: 14,
///         l4: 34,
///         headers: &[0; 54],
///     });
///     let chunk = buffer.take();
///     writer.write(Job { flow: 1, meta: meta.clone(), chunk, last });
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
    /// Finished files that could not get their final name.
    unpublished: VecDeque<ClosedFile>,
    observer: O,
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
            unpublished: VecDeque::new(),
            observer,
        })
    }

    /// Writes a chunk to its flow's file, and publishes that if it is the last one. The jobs of a
    /// flow have to come in order.
    pub fn write(&mut self, job: Job) {
        let Self {
            context,
            open,
            observer,
            ..
        } = self;
        let file = match open.entry(job.flow) {
            Entry::Occupied(known) => {
                let file = known.into_mut();
                file.set_meta(job.meta);
                file
            }
            Entry::Vacant(new) => {
                let lost_before = observer.lost_by(job.meta.opened);
                new.insert(OpenFile::new(job.meta, context, lost_before))
            }
        };
        let (begun, before) = (Instant::now(), file.bytes());
        let appended = file.append(&job.chunk, context);
        observer.observe(FileEvent::Spill(begun.elapsed()));
        grown(observer, before, file.bytes());
        if let Err(dropped) = appended {
            observer.observe(FileEvent::Dropped(file.uuid(), dropped));
        }
        if job.last
            && let Some(file) = open.remove(&job.flow)
            && let Some(closed) = self.close(file)
            && let Err(error) = self.publish(&closed)
        {
            self.defer(closed, error);
        }
    }

    /// Writes what a file ends with.
    fn close(&mut self, file: OpenFile) -> Option<ClosedFile> {
        let (uuid, before) = (file.uuid().clone(), file.bytes());
        let (closed, dropped) = file.close(self.observer.lost(), &mut self.context);
        let after = closed.as_ref().map(|closed| closed.partial().bytes());
        grown(&mut self.observer, before, after);
        if let Some(dropped) = dropped {
            self.observer.observe(FileEvent::Dropped(&uuid, dropped));
        }
        if closed.is_none() {
            self.observer.observe(FileEvent::NoFile(&uuid));
        }
        closed
    }

    fn publish(&mut self, file: &ClosedFile) -> Result<(), FileError> {
        let begun = Instant::now();
        let published = file.publish(&self.context);
        self.observer.observe(FileEvent::Rename(begun.elapsed()));
        let published = PublishedFile {
            path: published?,
            packets: file.packets(),
            bytes: file.partial().bytes(),
        };
        self.observer.observe(FileEvent::Published(published));
        Ok(())
    }

    /// Keeps a file that could not get its name: what was captured is not thrown away.
    fn defer(&mut self, file: ClosedFile, error: FileError) {
        if !file.partial().exists() || self.unpublished.len() >= MAX_UNPUBLISHED {
            self.abandon(&file, error);
        } else {
            let deferred = FileEvent::Deferred(file.uuid(), error);
            self.observer.observe(deferred);
            self.unpublished.push_back(file);
        }
    }

    fn abandon(&mut self, file: &ClosedFile, error: FileError) {
        let abandoned = AbandonedFile {
            packets: file.packets(),
            bytes: file.partial().bytes(),
            error,
            remains: file.partial().exists(),
        };
        let event = FileEvent::Abandoned(file.uuid(), abandoned);
        self.observer.observe(event);
    }

    /// Whether there is an open file of a flow.
    #[must_use]
    pub fn has_file(&self, flow: u64) -> bool {
        let file = self.open.get(&flow);
        file.is_some_and(|file| file.bytes().is_some())
    }

    /// The names of the flows whose finished files wait for their final name, and where these are.
    pub fn unpublished(&self) -> impl ExactSizeIterator<Item = (&FlowUuid, PathBuf)> {
        let files = self.unpublished.iter();
        files.map(|file| (file.uuid(), file.partial().path()))
    }

    /// Tries again to publish what could not be, some files at a time. The first that fails shows
    /// that it is too early. To be called now and then while there are
    /// [`unpublished`](Self::unpublished) files.
    pub fn retry(&mut self) {
        for _ in 0..RETRIES {
            let Some(file) = self.unpublished.pop_front() else {
                return;
            };
            if let Err(error) = self.publish(&file) {
                if file.partial().exists() {
                    let event = FileEvent::StillDeferred(file.uuid(), error);
                    self.observer.observe(event);
                    self.unpublished.push_front(file);
                    return;
                }
                self.abandon(&file, error);
            }
        }
    }

    /// Ends writing, and gives the observer back. Files that still cannot get their name stay where
    /// they are, as do those of flows whose last chunk never came: the next recovery publishes
    /// them.
    pub fn finish(mut self) -> O {
        while let Some(file) = self.unpublished.pop_front() {
            if let Err(error) = self.publish(&file) {
                self.abandon(&file, error);
            }
        }
        for (_, file) in std::mem::take(&mut self.open) {
            if let Some(closed) = self.close(file) {
                let why = io::Error::other("the end of the flow never came");
                let path = closed.partial().path();
                let error = FileError::new(FileStep::Finish, "publishing", &path, why);
                self.abandon(&closed, error);
            }
        }
        self.context.directories.clear();
        self.observer
    }
}

fn grown(observer: &mut impl Observer, before: Option<u64>, after: Option<u64>) {
    if before != after {
        observer.observe(FileEvent::Grown { before, after });
    }
}

#[cfg(test)]
mod tests;
