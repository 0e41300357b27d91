//! What people read: standard output and standard error. No name from outside reaches a terminal
//! with its control characters, nobody who captures waits for a reader, and a terminal that has gone
//! away ends nothing.

mod folded;
mod log;
mod output;
mod path;
mod status_line;
mod visible;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result};

pub(crate) use self::folded::{folded, folded_figures};
pub use self::log::{FoldedLog, LogOutput, ShortTime, lost_lines, write_field};
pub(crate) use self::output::is_gone;
use self::output::wait_for_reader;
pub(crate) use self::path::{as_written, logged};
pub use self::status_line::hide_status;
use self::status_line::write_above;
pub(crate) use self::status_line::{Part, StatusLine};
pub use self::visible::{visible, visible_lines};

/// How long the daemon waits for somebody to read what it prints.
const PATIENCE: Duration = Duration::from_secs(1);

/// Prints a text and a newline, however long its reader takes. A reader that has closed its end, or
/// a terminal that has been closed, is not an error.
///
/// # Errors
/// When it cannot be written for any other reason, such as a full disk.
pub fn print(text: &impl Display) -> Result<()> {
    let text = visible_lines(&text.to_string()) + "\n";
    let mut out = io::stdout();
    match write_above(&mut out, text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if !is_gone(&error) => Err(error).context("writing to standard output"),
        _ => Ok(()),
    }
}

/// Prints as [`print`], but waits a second at most, so that a terminal in which somebody has pressed
/// Ctrl-S stops no capture.
///
/// # Errors
/// When nobody reads, or as [`print`].
pub(crate) fn print_in_passing(text: &impl Display) -> Result<()> {
    wait_for_reader(io::stdout(), PATIENCE).context("writing to standard output")?;
    print(text)
}

/// Writes a text and a newline to standard error, for people who watch, as [`FoldedLog`] does.
pub(crate) fn tell(text: &impl Display) {
    let text = visible_lines(&text.to_string()) + "\n";
    // It takes everything.
    let _whole = FoldedLog.write(text.as_bytes());
}

/// Writes an error message to standard error, if that is possible.
pub fn complain(message: &impl Display) {
    let text = visible(&message.to_string()).into_owned() + "\n";
    let _nobody_is_there = io::stderr().write_all(text.as_bytes());
}
