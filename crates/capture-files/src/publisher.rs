//! Gives finished files their final names.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use model::FlowUuid;

use crate::directories::{Directories, sync_names};
use crate::disk::Directory;
use crate::error::{FileError, FileStep};
use crate::file_naming::FileNaming;
use crate::finished_file::FinishedFile;
use crate::observer::{AbandonedFile, FileEvent, Observer, PublishedFile, RemovedFile};
use crate::open_file::ClosedFile;

/// How many finished files may wait for their final name if they cannot get it. What is beyond
/// stays for the next recovery.
const MAX_UNPUBLISHED: usize = 16 * 1024;

/// How many of them are tried at once.
const RETRIES: usize = 256;

/// Gives finished files their final names: those that a [`Writer`](crate::Writer) has finished.
///
/// A writer has one, and needs no other. A program that syncs files
/// ([`Directories::with_fsync`]) saves most of the syncing if it gives many finished files to one
/// publisher at once, in a thread of its own: see
/// [`Writer::hand_over`](crate::Writer::hand_over).
pub struct Publisher<O> {
    directories: Directories,
    naming: FileNaming,
    /// Finished files that could not get their final name.
    unpublished: VecDeque<ClosedFile>,
    observer: O,
}

/// What becomes of a file that cannot get its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// It waits, for the first time.
    Waits,
    /// It goes on waiting.
    WaitsAgain,
    /// It is given up.
    Abandoned,
}

impl<O: Observer> Publisher<O> {
    /// A publisher into these directories.
    pub fn new(directories: Directories, naming: FileNaming, observer: O) -> Self {
        Self {
            directories,
            naming,
            unpublished: VecDeque::new(),
            observer,
        }
    }

    /// Publishes files. If they are to be synced, all of them are synced together, then named, and then
    /// the directories of their days are synced.
    pub fn publish(&mut self, files: Vec<FinishedFile>) {
        let files = files.into_iter().map(|file| file.file).collect();
        self.give_names(files, Refused::Waits);
    }

    /// Removes a file that is not to be published. One that cannot be removed is published later.
    pub fn remove(&mut self, FinishedFile { file, .. }: FinishedFile) {
        match file.partial().remove_now() {
            Ok(()) => self.observer.observe(FileEvent::Removed(RemovedFile {
                packets: file.packets(),
                bytes: file.partial().bytes(),
            })),
            Err(error) => self.refuse(file, error, Refused::Waits),
        }
    }

    /// Removes what there is of the file of a flow that is not wanted. One that cannot be removed is published
    /// later.
    pub(crate) fn leave_out(&mut self, file: ClosedFile) {
        match file.partial().remove_now() {
            Ok(()) => self.observer.observe(FileEvent::LeftOut(RemovedFile {
                packets: file.packets(),
                bytes: file.partial().bytes(),
            })),
            Err(error) => self.refuse(file, error, Refused::Waits),
        }
    }

    /// Leaves files where they are, without the disk: nobody waits for it any more. The next recovery
    /// publishes them.
    pub fn leave(&mut self, files: Vec<FinishedFile>) {
        for FinishedFile { file, .. } in files {
            let why = io::Error::other("the disk is too slow to stop in time");
            let path = file.partial().path();
            self.abandon(
                &file,
                FileError::new(FileStep::Finish, "publishing", &path, why),
            );
        }
    }

    /// [`finish`](Self::finish) for who cannot wait for the disk.
    pub fn leave_all(mut self) -> O {
        let left = std::mem::take(&mut self.unpublished);
        self.leave(left.into_iter().map(FinishedFile::new).collect());
        self.directories.clear();
        self.observer
    }

    /// Gives files their names, as far as possible; whether all of them got one.
    fn give_names(&mut self, files: Vec<ClosedFile>, refused: Refused) -> bool {
        let synced = self.sync(&files);
        let (mut named, mut days, mut all) = (Vec::new(), Vec::new(), true);
        for (file, synced) in files.into_iter().zip(synced) {
            match synced.and_then(|()| self.give_name(&file)) {
                Ok((published, day)) => {
                    named.push(published);
                    if !days.iter().any(|known| Arc::ptr_eq(known, &day)) {
                        days.push(day);
                    }
                }
                Err(error) => {
                    all = false;
                    self.refuse(file, error, refused);
                }
            }
        }
        self.sync_days(&days);
        for published in named {
            self.observer.observe(FileEvent::Published(published));
        }
        all
    }

    /// Makes sure that a power loss leaves files as they are, if that is asked for.
    fn sync(&mut self, files: &[ClosedFile]) -> Vec<Result<(), FileError>> {
        if files.is_empty() || !self.directories.has_fsync() {
            return files.iter().map(|_| Ok(())).collect();
        }
        let begun = Instant::now();
        let places = files.iter().map(|file| file.partial().place());
        let synced = self.directories.sync(&places.collect::<Vec<_>>());
        self.observer.observe(FileEvent::Sync(begun.elapsed()));
        synced
    }

    /// Gives a file its name; the directory that it is in then, too.
    fn give_name(
        &mut self,
        file: &ClosedFile,
    ) -> Result<(PublishedFile, Arc<Directory>), FileError> {
        let begun = Instant::now();
        let published = file.publish(&self.directories, self.naming);
        self.observer.observe(FileEvent::Rename(begun.elapsed()));
        let (path, day) = published?;
        let published = PublishedFile {
            path,
            packets: file.packets(),
            bytes: file.partial().bytes(),
        };
        Ok((published, day))
    }

    /// Makes sure that a power loss leaves files where they are. Without it, they would be among the
    /// partial files again.
    fn sync_days(&mut self, days: &[Arc<Directory>]) {
        if !self.directories.has_fsync() {
            return;
        }
        for day in days {
            if let Err(error) = sync_names(day) {
                self.observer.observe(FileEvent::NotSynced(error));
            }
        }
    }

    /// Keeps a file that could not get its name: what was captured is not thrown away.
    fn refuse(&mut self, file: ClosedFile, error: FileError, refused: Refused) {
        let keep = refused != Refused::Abandoned && self.unpublished.len() < MAX_UNPUBLISHED;
        if !keep || !file.partial().exists() {
            return self.abandon(&file, error);
        }
        self.observer.observe(match refused {
            Refused::WaitsAgain => FileEvent::StillDeferred(file.uuid(), error),
            Refused::Waits | Refused::Abandoned => FileEvent::Deferred(file.uuid(), error),
        });
        self.unpublished.push_back(file);
    }

    pub(crate) fn abandon(&mut self, file: &ClosedFile, error: FileError) {
        let abandoned = AbandonedFile {
            packets: file.packets(),
            bytes: file.partial().bytes(),
            error,
            remains: file.partial().exists(),
        };
        let event = FileEvent::Abandoned(file.uuid(), abandoned);
        self.observer.observe(event);
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
        let first = self.unpublished.pop_front().into_iter().collect();
        if self.give_names(first, Refused::WaitsAgain) {
            let more = self.unpublished.len().min(RETRIES - 1);
            let more = self.unpublished.drain(..more).collect();
            self.give_names(more, Refused::WaitsAgain);
        }
    }

    /// Ends publishing, and gives the observer back. Files that still cannot get their name stay where
    /// they are: the next recovery publishes them.
    pub fn finish(mut self) -> O {
        let left = std::mem::take(&mut self.unpublished);
        self.give_names(left.into(), Refused::Abandoned);
        self.directories.clear();
        self.observer
    }

    pub(crate) const fn observer(&mut self) -> &mut O {
        &mut self.observer
    }
}

#[cfg(test)]
mod tests;
