//! A file that a flag names, and the result of reading it.

use std::path::Path;

use anyhow::Error;

/// A file that a flag names, and the result of reading it.
#[derive(Debug)]
pub(crate) struct NamedFile {
    /// The flag.
    pub(crate) flag: &'static str,
    /// The path of the file.
    pub(crate) what: String,
    /// Why it cannot be used.
    pub(crate) bad: Option<Error>,
}

impl NamedFile {
    /// Splits the result of reading a flag's file into a finding and the value.
    pub(crate) fn new<T>(
        flag: &'static str,
        path: &Path,
        read: Result<T, Error>,
    ) -> (Self, Option<T>) {
        let what = path.display().to_string();
        let (value, bad) = match read {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(error)),
        };
        (Self { flag, what, bad }, value)
    }
}
