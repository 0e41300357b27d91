//! The search for payload in files, where there must be none.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};

use crate::traffic::payload;

/// Searches a file, or every file below a directory, for payload; returns a message for each file
/// that has some. A path that does not exist has none.
///
/// # Errors
/// A file that cannot be read.
pub fn search(path: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if path.is_dir() {
        let entries = fs::read_dir(path).with_context(|| format!("listing {path:?}"))?;
        for entry in entries {
            found.extend(search(&entry?.path())?);
        }
    } else {
        let bytes = match fs::read(path) {
            // A partial file that has got its final name in the meantime.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
            other => other.with_context(|| format!("reading {path:?}"))?,
        };
        if let Some(at) = payload::find(&bytes) {
            found.push(format!("{} has payload before byte {at}", path.display()));
        }
    }
    Ok(found)
}
