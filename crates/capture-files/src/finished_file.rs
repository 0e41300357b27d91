//! A file with everything in it, which lacks its final name.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use model::{FlowUuid, Owner};
use packet_headers_common::SocketTotals;

use crate::directories::Directories;
use crate::disk::OwnFile;
use crate::error::FileError;
use crate::file_naming::FileNaming;
use crate::open_file::ClosedFile;

/// A file with everything in it, which lacks its final name. A [`Publisher`](crate::Publisher) gives it
/// one; until then it can be read.
pub struct FinishedFile {
    pub(crate) file: ClosedFile,
    waited: bool,
}

impl FinishedFile {
    pub(crate) const fn new(file: ClosedFile) -> Self {
        Self {
            file,
            waited: false,
        }
    }

    /// The same, when there was no room for it in the channel.
    #[must_use]
    pub fn waiting(self) -> Self {
        Self {
            waited: true,
            ..self
        }
    }

    /// Whether there was no room for it in the channel at first: whoever receives it is behind.
    #[must_use]
    pub const fn has_waited(&self) -> bool {
        self.waited
    }

    /// The flow's name.
    #[must_use]
    pub fn uuid(&self) -> &FlowUuid {
        self.file.uuid()
    }

    /// Where it is until it is published, for people to read.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.file.partial().path()
    }

    /// What the kernel of the first of these ends knew of the connection between them when its socket was
    /// closed: the ends as the file shows them.
    #[must_use]
    pub fn kernel(&self) -> Option<([SocketAddr; 2], &SocketTotals)> {
        let (ends, known) = self.file.known()?;
        Some((*ends, known.totals.as_ref()?))
    }

    /// Whose connection it was at the first of these ends: nobody's where the file hides addresses.
    #[must_use]
    pub fn owner(&self) -> Option<([SocketAddr; 2], &Owner)> {
        let (ends, known) = self.file.known()?;
        Some((*ends, known.owner.as_ref()?))
    }

    /// Opens it to be read from its beginning.
    ///
    /// # Errors
    /// If it cannot be opened, or something else is in its place.
    pub fn open(&self) -> Result<impl Read + use<>, FileError> {
        Ok(Reading(self.file.partial().read()?))
    }

    /// Finds the name that it will get when it is published, and makes sure that it gets no earlier one:
    /// its path below the data directory. Names for which `is_taken` says so are passed over. It gets a
    /// later one if somebody takes this one meanwhile.
    pub fn choose_name(
        &mut self,
        directories: &Directories,
        naming: FileNaming,
        is_taken: &dyn Fn(&Path) -> bool,
    ) -> PathBuf {
        self.file.choose_name(directories, naming, is_taken)
    }
}

/// A file that is being read.
pub(crate) struct Reading(pub(crate) OwnFile);

impl Read for Reading {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(into)
    }
}
