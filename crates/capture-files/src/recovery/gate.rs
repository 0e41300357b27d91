//! Who is asked before a file of an earlier run is published.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::directories::Directories;
use crate::disk::OwnFile;
use crate::file_name::FileName;

/// Looks at files of earlier runs before they are published, and may have them removed instead.
pub trait Gate {
    /// A file is whole, and is about to be published.
    fn judge(&mut self, file: &LeftFile<'_>) -> Passage;

    /// What was judged last has been done, or could not be.
    fn done(&mut self) {}
}

/// What becomes of a file that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// It is published.
    Publish,
    /// It is removed.
    Remove,
}

/// A whole file that an earlier run left.
pub struct LeftFile<'a> {
    pub(super) directories: &'a Directories,
    pub(super) file: &'a OwnFile,
    pub(super) path: &'a Path,
    pub(super) day: &'a Path,
    pub(super) name: FileName<'a>,
}

impl LeftFile<'_> {
    /// Where it is, for people to read.
    #[must_use]
    pub const fn path(&self) -> &Path {
        self.path
    }

    /// Its path below the data directory once it is published.
    #[must_use]
    pub fn published_path(&self) -> PathBuf {
        let name = |number| {
            FileName {
                number,
                ..self.name
            }
            .build()
        };
        let number = self.directories.first_free(self.day, &name, &|_| false);
        self.day.join(name(number))
    }

    /// Reads it from its beginning.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(&self) -> io::Result<impl Read> {
        self.file.rewind()?;
        Ok(self.file)
    }
}
