//! The file of one flow while it is open: what is in it, and what becomes of it if the disk fails.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anonymize::{Anonymizer, FlowAnonymizer};
use model::{FlowUuid, Owner};
use packet_headers_common::{LinkType, SocketTotals};

use crate::chunk::Chunk;
use crate::compress::Compressor;
use crate::directories::Directories;
use crate::disk::Directory;
use crate::error::{Doing as _, FileError, FileStep};
use crate::file_naming::FileNaming;
use crate::flow_meta::FlowMeta;
use crate::format::{Encoder, FileEnd, FileHeader};
use crate::interface_names::InterfaceNames;
use crate::partial_file::{AppendError, PartialFile};

/// What all files of a writer have in common.
pub(crate) struct WriterContext {
    pub(crate) directories: Directories,
    pub(crate) naming: FileNaming,
    pub(crate) anonymizer: Option<Anonymizer>,
    pub(crate) application: &'static str,
    pub(crate) interfaces: Arc<InterfaceNames>,
    pub(crate) compressor: Compressor,
    /// What is written next, where it is not in a chunk already.
    pub(crate) plain: Vec<u8>,
    /// The same, compressed.
    pub(crate) packed: Vec<u8>,
}

/// A file to which packets are still added.
pub(crate) struct OpenFile {
    meta: FlowMeta,
    anonymizer: Option<FlowAnonymizer>,
    encoder: Encoder,
    partial: Option<PartialFile>,
    /// How many packets are in the partial file.
    packets: u64,
    /// How many packets of this host had been lost when the flow began.
    lost_before: u64,
}

/// A file that only lacks its final name.
pub(crate) struct ClosedFile {
    meta: FlowMeta,
    partial: PartialFile,
    packets: u64,
    /// What the host of the first of these ends knew of the connection, with the ends as the file shows them.
    known: Option<Box<([SocketAddr; 2], Known)>>,
    /// The first number that its name may have.
    number: u32,
}

/// What this host knew of a connection, beside its packets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// What its kernel knew when the socket was closed.
    pub(crate) totals: Option<SocketTotals>,
    /// Whose socket it was.
    pub(crate) owner: Option<Owner>,
}

/// Packets that are in no file, and why.
#[derive(Debug)]
pub struct DroppedPackets {
    /// How many; 0 if a file only lacks what it should end with.
    pub packets: u64,
    /// Why.
    pub error: FileError,
}

impl OpenFile {
    /// A file of which nothing has been written.
    pub(crate) fn new(meta: FlowMeta, context: &WriterContext, lost_before: u64) -> Self {
        let (local, remote) = (meta.local.ip(), meta.remote.ip());
        let anonymizer = context.anonymizer.as_ref();
        Self {
            anonymizer: anonymizer.map(|anonymizer| anonymizer.for_flow(local, remote)),
            meta,
            encoder: Encoder::new(context.naming.format),
            partial: None,
            packets: 0,
            lost_before,
        }
    }

    /// The flow may have got another name: if both of its sockets are on this host, the accepting
    /// one's name replaces the other's.
    pub(crate) fn set_meta(&mut self, meta: FlowMeta) {
        self.meta = meta;
    }

    /// Replaces the addresses in a chunk, if any are to be replaced. To be done once.
    pub(crate) fn anonymize(&self, chunk: &mut Chunk) {
        if let Some(anonymizer) = &self.anonymizer {
            chunk.change_headers(|headers, layers| anonymizer.anonymize_headers(headers, layers));
        }
    }

    /// Appends a chunk. Whatever happens, the file is whole afterwards.
    ///
    /// # Errors
    /// The packets that are not in it then: those of the chunk, or all that it held, or both.
    pub(crate) fn append(
        &mut self,
        chunk: &Chunk,
        context: &mut WriterContext,
    ) -> Result<(), DroppedPackets> {
        if chunk.packets == 0 {
            return Ok(());
        }
        let dropped = |packets| move |error| DroppedPackets { packets, error };
        if self.partial.is_none() {
            return self.begin(chunk, context).map_err(dropped(chunk.packets));
        }
        match self.extend(chunk, context) {
            Ok(()) => Ok(()),
            Err(AppendError::Unchanged(error)) => Err(dropped(chunk.packets)(error)),
            Err(AppendError::Lost(error)) => {
                // This chunk begins a new file.
                self.partial = None;
                let before = std::mem::take(&mut self.packets);
                let again = self.begin(chunk, context);
                let more = again.map_or(chunk.packets, |()| 0);
                Err(dropped(before + more)(error))
            }
            Err(AppendError::Torn(error)) => {
                // In a new file, what the next recovery finds of this chunk would be there twice.
                self.partial = None;
                let before = std::mem::take(&mut self.packets);
                Err(dropped(before + chunk.packets)(error))
            }
        }
    }

    /// Makes the partial file with its first packets.
    fn begin(&mut self, chunk: &Chunk, context: &mut WriterContext) -> Result<(), FileError> {
        let WriterContext {
            directories,
            naming,
            compressor,
            plain,
            packed,
            ..
        } = context;
        let mut encoder = Encoder::new(naming.format);
        plain.clear();
        let header = FileHeader {
            application: context.application,
            meta: &self.meta,
            link_type: chunk.link_type().unwrap_or(LinkType::Ethernet),
            ends: self.ends(),
        };
        encoder.begin(&header, plain);
        let content = encoder.chunk(chunk, &context.interfaces, plain);
        let piece = compressor.piece(content, packed);
        let piece = piece.doing(
            FileStep::Write,
            "compressing a file in",
            directories.partial(),
        )?;
        let name = |number| naming.name(&self.meta.uuid, number);
        let partial = directories.create(&self.meta.day(), &name, piece)?;
        self.partial = Some(partial);
        self.encoder = encoder;
        self.packets = chunk.packets;
        Ok(())
    }

    /// Appends a chunk to the partial file.
    fn extend(&mut self, chunk: &Chunk, context: &mut WriterContext) -> Result<(), AppendError> {
        // If it cannot be written, the encoder must not have seen it.
        let mut encoder = self.encoder.clone();
        context.plain.clear();
        let content = encoder.chunk(chunk, &context.interfaces, &mut context.plain);
        if let Some(partial) = &mut self.partial {
            write(
                partial,
                content,
                (&mut context.compressor, &mut context.packed),
            )?;
        }
        self.encoder = encoder;
        self.packets += chunk.packets;
        Ok(())
    }

    /// The flow's ends as they may be shown.
    fn ends(&self) -> [SocketAddr; 2] {
        let (local, remote) = (self.meta.local, self.meta.remote);
        let [local_ip, remote_ip] = match &self.anonymizer {
            Some(anonymizer) => [anonymizer.local(), anonymizer.remote()],
            None => [local.ip(), remote.ip()],
        };
        [
            SocketAddr::new(local_ip, local.port()),
            SocketAddr::new(remote_ip, remote.port()),
        ]
    }

    /// Writes what the file ends with. `lost` is how many packets of this host have been lost by
    /// now; `known` is what this host knew of the flow, of which a file that hides addresses does not say
    /// whose it was.
    ///
    /// Returns the file, unless nothing of the flow is in one, and what is not in it. If the end
    /// cannot be written, the file is whole without it, or gone with the packets that it held.
    pub(crate) fn close(
        mut self,
        lost: u64,
        mut known: Known,
        context: &mut WriterContext,
    ) -> (Option<ClosedFile>, Option<DroppedPackets>) {
        let WriterContext {
            compressor,
            plain,
            packed,
            ..
        } = context;
        plain.clear();
        let lost = lost.saturating_sub(self.lost_before);
        if self.anonymizer.is_some() {
            known.owner = None;
        }
        let end = FileEnd {
            lost,
            totals: known.totals.as_ref(),
            owner: known.owner.as_ref(),
        };
        self.encoder.end(&end, plain);
        let mut dropped = None;
        if let Some(partial) = &mut self.partial {
            let ended = if plain.is_empty() {
                Ok(())
            } else {
                write(partial, plain, (compressor, packed))
            };
            let failed = match ended.and_then(|()| partial.close().map_err(AppendError::Lost)) {
                Ok(()) => None,
                Err(AppendError::Unchanged(error)) => Some((0, error)),
                Err(AppendError::Lost(error) | AppendError::Torn(error)) => {
                    // If it is still there, there is no telling what is in it.
                    self.partial = None;
                    Some((self.packets, error))
                }
            };
            dropped = failed.map(|(packets, error)| DroppedPackets {
                packets,
                error: error.at(FileStep::Finish),
            });
        }
        let known = (known != Known::default()).then(|| Box::new((self.ends(), known)));
        let closed = self.leave().map(|file| ClosedFile { known, ..file });
        (closed, dropped)
    }

    /// The file as it is, unless nothing of the flow is in one.
    pub(crate) fn leave(self) -> Option<ClosedFile> {
        Some(ClosedFile {
            partial: self.partial?,
            meta: self.meta,
            packets: self.packets,
            known: None,
            number: 0,
        })
    }

    /// The flow's name.
    pub(crate) fn uuid(&self) -> &FlowUuid {
        &self.meta.uuid
    }

    /// Whether the partial file is open.
    pub(crate) fn is_open(&self) -> bool {
        self.partial.as_ref().is_some_and(PartialFile::is_open)
    }

    /// Closes the partial file until the next write.
    pub(crate) fn give_up(&mut self) {
        if let Some(partial) = &mut self.partial {
            partial.give_up();
        }
    }

    /// The length of the partial file, if there is one.
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.partial.as_ref().map(PartialFile::bytes)
    }
}

/// Appends bytes to a partial file, compressed into a buffer if they are to be.
fn write(
    partial: &mut PartialFile,
    plain: &[u8],
    (compressor, packed): (&mut Compressor, &mut Vec<u8>),
) -> Result<(), AppendError> {
    let piece = compressor.piece(plain, packed);
    let piece = piece.doing(FileStep::Write, "compressing a piece of", &partial.path());
    partial.append(piece.map_err(AppendError::Unchanged)?)
}

impl ClosedFile {
    /// Gives the file its final name; its path from then on, and the directory that it is in.
    pub(crate) fn publish(
        &self,
        directories: &Directories,
        naming: FileNaming,
    ) -> Result<(PathBuf, Arc<Directory>), FileError> {
        let name = |number| naming.name(&self.meta.uuid, self.number + number);
        directories.publish(self.partial.place(), &self.meta.day(), &name)
    }

    /// Finds the name that the file will get, and makes sure that it gets none before that: its path
    /// below the data directory. Names that `is_taken` are passed over.
    pub(crate) fn choose_name(
        &mut self,
        directories: &Directories,
        naming: FileNaming,
        is_taken: &dyn Fn(&Path) -> bool,
    ) -> PathBuf {
        let day = self.meta.day();
        let name = |number| naming.name(&self.meta.uuid, number);
        self.number = directories.first_free(&day, &name, is_taken);
        day.join(name(self.number))
    }

    /// The connection's ends as the file shows them, this host's first, and what it knew of the connection.
    pub(crate) fn known(&self) -> Option<&([SocketAddr; 2], Known)> {
        self.known.as_deref()
    }

    /// The partial file.
    pub(crate) const fn partial(&self) -> &PartialFile {
        &self.partial
    }

    /// The number of packets in it.
    pub(crate) const fn packets(&self) -> u64 {
        self.packets
    }

    /// The flow's name.
    pub(crate) fn uuid(&self) -> &FlowUuid {
        &self.meta.uuid
    }
}
