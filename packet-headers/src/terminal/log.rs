//! Log lines on standard error.

use std::fmt::{self, Debug};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tracing::field::Field;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use super::folded::folded_lines;
use super::output::wait_for_reader;
use super::status_line::{columns, write_above};
use super::visible::visible;

/// How long a line waits for standard error's reader. Only the first does: once one was in vain,
/// none waits until somebody reads again.
const PATIENCE: Duration = Duration::from_millis(100);

/// Log lines that could not be written.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Whether the last line found no reader.
static UNREAD: AtomicBool = AtomicBool::new(false);

/// Where log lines go: to standard error, or nowhere if that is closed or nobody reads it. Writing
/// never fails, and waits a moment at most: a thread must not end or stand still for its log.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogOutput;

impl Write for LogOutput {
    /// Takes one line, whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut output = io::stderr();
        let patience = match UNREAD.load(Ordering::Relaxed) {
            true => Duration::ZERO,
            false => PATIENCE,
        };
        let reader = wait_for_reader(&output, patience);
        UNREAD.store(reader.is_err(), Ordering::Relaxed);
        if reader
            .and_then(|()| write_above(&mut output, line))
            .is_err()
        {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// [`LogOutput`] at a terminal, where a line is broken between words if it is longer than the terminal is wide.
#[derive(Debug, Clone, Copy, Default)]
pub struct FoldedLog;

impl Write for FoldedLog {
    /// Takes whole lines.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(lines);
        LogOutput.write(folded_lines(&text, columns()).as_bytes())?;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The time of a log line at a terminal, which is narrow and read on the day: in UTC, to the second.
#[derive(Debug, Clone, Copy, Default)]
pub struct ShortTime;

impl FormatTime for ShortTime {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        write!(line, "{}", Timestamp::now().strftime("%H:%M:%SZ"))
    }
}

/// How many log lines could not be written so far.
#[must_use]
pub fn lost_lines() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Writes one field of a log line: the message, or a name and its value.
///
/// # Errors
/// When the line takes no more.
pub fn write_field(line: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    let value = format!("{value:?}");
    match field.name() {
        "message" => write!(line, "{}", visible(&value)),
        name => write!(line, "{name}={}", visible(&value)),
    }
}
