//! The files that flags name: tried one by one, for who wants to know of each.

use super::Arguments;
use super::named_file::NamedFile;

impl Arguments {
    /// Tries each file that a flag names. Those that cannot be used are forgotten.
    pub(crate) fn try_files(&mut self) -> Vec<NamedFile> {
        let tried = [self.names.try_prefix(), self.files.try_key()];
        tried.into_iter().flatten().collect()
    }
}
