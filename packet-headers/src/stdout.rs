//! Standard output.

use std::fmt::Display;
use std::io::{self, Write as _};

use anyhow::{Context as _, Result};

/// Prints a text and a newline. A reader that has closed its end is not an error: there is no
/// reason to stop capturing.
///
/// # Errors
/// When it cannot be written for any other reason, such as a full disk.
pub(crate) fn print(text: &impl Display) -> Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("writing to standard output")
        }
        _ => Ok(()),
    }
}
