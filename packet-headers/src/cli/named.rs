//! The files that flags name: tried one by one, for who wants to know of each.

use super::Arguments;
use crate::doctor::NamedFile;
use crate::flow::uuid::UuidPrefix;

impl Arguments {
    /// Tries each file that a flag names. Those that cannot be used are forgotten.
    pub(crate) fn try_files(&mut self) -> Vec<NamedFile> {
        let mut tried = Vec::new();
        if let Some(path) = &self.uuid_prefix_file {
            let (file, prefix) =
                NamedFile::new("--uuid-prefix-file", path, UuidPrefix::from_file(path));
            tried.push(file);
            if prefix.is_none() {
                self.uuid_prefix_file = None;
            }
        }
        tried.extend(self.files.try_key());
        tried
    }
}
