//! Tries the files that flags name, one by one, so that the doctor can report on each.

use super::Arguments;
use super::named_file::NamedFile;

impl Arguments {
    /// Tries each file that a flag names, and drops the flags of those that cannot be used.
    pub(crate) fn try_files(&mut self) -> Vec<NamedFile> {
        let tried = [self.names.try_prefix(), self.files.try_key()];
        tried.into_iter().flatten().collect()
    }
}
