//! The file of one flow while it grows: what is in it, and what becomes of it when the disk fails.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Error, Result};

use super::partial::{Directories, PartialFile, Setback};
use crate::accounts::{AtStep, FileStep};
use anonymize::{Anonymizer, FlowAnonymizer, Layers};
use capture_files::Chunk;
use capture_files::InterfaceNames;
use capture_files::compress::Compressor;
use capture_files::format::{About, Encoder};
use capture_files::layout::{FlowMeta, Format, Naming};
use model::FlowUuid;

/// What all files of a writer have in common.
pub(super) struct Press {
    pub(super) directories: Directories,
    pub(super) naming: Naming,
    pub(super) anonymizer: Option<Anonymizer>,
    pub(super) interfaces: Arc<InterfaceNames>,
    pub(super) compressor: Compressor,
    /// A chunk as the file will have it.
    pub(super) plain: Vec<u8>,
    /// The same, compressed.
    pub(super) packed: Vec<u8>,
}

/// A file that is not finished.
pub(super) struct Growing {
    file: FlowMeta,
    disguise: Option<FlowAnonymizer>,
    encoder: Encoder,
    partial: Option<PartialFile>,
    /// How many packets are in the partial file.
    packets: u64,
    /// How many packets of this host had been lost when the flow began.
    lost_before: u64,
}

/// A file that only lacks its final name.
pub(super) struct Finished {
    file: FlowMeta,
    partial: PartialFile,
    pub(super) packets: u64,
}

/// Packets that did not get into a file, and why.
pub(super) struct Loss {
    pub(super) packets: u64,
    pub(super) error: Error,
}

impl Growing {
    /// A file that nothing has been written of.
    pub(super) fn new(file: FlowMeta, press: &Press, lost_before: u64) -> Self {
        let (local, remote) = (file.local.ip(), file.remote.ip());
        let anonymizer = press.anonymizer.as_ref();
        Self {
            disguise: anonymizer.map(|anonymizer| anonymizer.for_flow(local, remote)),
            file,
            encoder: Encoder::new(press.naming.format),
            partial: None,
            packets: 0,
            lost_before,
        }
    }

    /// The flow may have got another name since: the accepting socket's wins.
    pub(super) fn rename(&mut self, file: FlowMeta) {
        self.file = file;
    }

    /// Writes a chunk behind what there is. The file is whole afterwards, whatever happens; what did
    /// not get into it is a loss.
    pub(super) fn grow(&mut self, chunk: &Chunk, press: &mut Press) -> Result<(), Loss> {
        if chunk.packets == 0 {
            return Ok(());
        }
        let lost = |packets| move |error| Loss { packets, error };
        if self.partial.is_some() {
            match self.append(chunk, press) {
                Ok(()) => return Ok(()),
                Err(Setback::Kept(error)) => return Err(lost(chunk.packets)(error)),
                Err(Setback::Gone(error)) => {
                    // What comes begins a new file.
                    self.partial = None;
                    let before = std::mem::take(&mut self.packets);
                    let again = self.begin(chunk, press);
                    let more = again.map_or(chunk.packets, |()| 0);
                    return Err(lost(before + more)(error));
                }
            }
        }
        self.begin(chunk, press).map_err(lost(chunk.packets))
    }

    /// Makes the file, with its first records.
    fn begin(&mut self, chunk: &Chunk, press: &mut Press) -> Result<()> {
        let mut encoder = Encoder::new(press.naming.format);
        press.plain.clear();
        let about = About {
            file: &self.file,
            ends: self.ends(),
        };
        encoder.begin(&about, &mut press.plain);
        self.encode(&mut encoder, chunk, press);
        let (naming, uuid) = (press.naming, &self.file.uuid);
        let piece = press.compressor.piece(&press.plain, &mut press.packed)?;
        let name = |number| naming.name(uuid, number);
        let partial = press.directories.create(&self.file.day(), name, piece)?;
        self.partial = Some(partial);
        self.encoder = encoder;
        self.packets = chunk.packets;
        Ok(())
    }

    fn append(&mut self, chunk: &Chunk, press: &mut Press) -> Result<(), Setback> {
        // When it cannot be written, what it changed has not happened.
        let mut encoder = self.encoder.clone();
        press.plain.clear();
        self.encode(&mut encoder, chunk, press);
        self.write(press)?;
        self.encoder = encoder;
        self.packets += chunk.packets;
        Ok(())
    }

    /// Appends what is ready to the partial file.
    fn write(&mut self, press: &mut Press) -> Result<(), Setback> {
        let piece = press.compressor.piece(&press.plain, &mut press.packed);
        let piece = piece.map_err(Setback::Kept)?;
        match &mut self.partial {
            Some(partial) => partial.append(piece),
            None => Ok(()),
        }
    }

    fn encode(&self, encoder: &mut Encoder, chunk: &Chunk, press: &mut Press) {
        press.plain.reserve(chunk.length());
        let mut room = Vec::new();
        for record in chunk.records() {
            // Of pcapng, each interface has a link type of its own.
            let fits =
                press.naming.format == Format::Pcapng || record.link_type == self.file.link_type;
            let record = if fits {
                record
            } else {
                record.moved_to(self.file.link_type, &mut room)
            };
            let place = encoder.packet(&record, &press.interfaces, &mut press.plain);
            let Some(disguise) = &self.disguise else {
                continue;
            };
            if let Some(headers) = press.plain.get_mut(place) {
                let layers = Layers {
                    link_type: record.link_type,
                    l3: record.l3,
                    l4: record.l4,
                };
                disguise.anonymize_headers(headers, layers);
            }
        }
    }

    /// The flow's ends as they may be shown.
    fn ends(&self) -> [SocketAddr; 2] {
        let (local, remote) = (self.file.local, self.file.remote);
        let [local_ip, remote_ip] = match &self.disguise {
            Some(disguise) => [disguise.local(), disguise.remote()],
            None => [local.ip(), remote.ip()],
        };
        [
            SocketAddr::new(local_ip, local.port()),
            SocketAddr::new(remote_ip, remote.port()),
        ]
    }

    /// Writes what the file ends with; `lost` is how many packets of this host were lost by now.
    /// None when nothing of the flow could be written.
    pub(super) fn finish(
        mut self,
        lost: u64,
        press: &mut Press,
    ) -> Option<(Finished, Option<Loss>)> {
        self.partial.as_ref()?;
        press.plain.clear();
        self.encoder
            .end(lost.saturating_sub(self.lost_before), &mut press.plain);
        let mut loss = None;
        if !press.plain.is_empty() {
            // Without it, the file is whole all the same.
            let lost = match self.write(press) {
                Ok(()) => None,
                Err(Setback::Kept(error)) => Some((0, error)),
                Err(Setback::Gone(error)) => Some((std::mem::take(&mut self.packets), error)),
            };
            loss = lost.map(|(packets, error)| Loss {
                packets,
                error: error.context(AtStep::new(FileStep::Finish, "ending the file".to_owned())),
            });
        }
        let finished = Finished {
            partial: self.partial?,
            file: self.file,
            packets: self.packets,
        };
        Some((finished, loss))
    }

    /// The flow's name, for the log.
    pub(super) fn uuid(&self) -> &FlowUuid {
        &self.file.uuid
    }
}

impl Finished {
    /// Gives the file its final name.
    pub(super) fn publish(&self, press: &Press) -> Result<PathBuf> {
        let name = |number| press.naming.name(&self.file.uuid, number);
        let day = self.file.day();
        press.directories.publish(self.partial.path(), &day, name)
    }

    /// Whether there is still something to publish.
    pub(super) fn exists(&self) -> bool {
        // What cannot be looked at may be there.
        self.partial.path().try_exists().unwrap_or(true)
    }

    /// Where it is.
    #[cfg(test)]
    pub(super) fn path(&self) -> &std::path::Path {
        self.partial.path()
    }

    /// How long the file is.
    pub(super) const fn bytes(&self) -> u64 {
        self.partial.bytes()
    }

    /// The flow's name, for the log.
    pub(super) fn uuid(&self) -> &FlowUuid {
        &self.file.uuid
    }
}
