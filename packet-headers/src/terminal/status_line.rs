//! A line at the bottom of a terminal that is kept up to date, while other lines pass above it.

use std::env;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::getpgrp;
use rustix::termios::{tcgetpgrp, tcgetwinsize};

use super::output::wait_for_reader;

/// What is shown, if anything is. Whoever writes to the terminal holds this, so that no two lines
/// are mixed.
static SHOWN: Mutex<Option<String>> = Mutex::new(None);

/// Goes to the beginning of the line, and empties it.
const CLEAR: &str = "\r\x1b[2K";

/// Makes what follows stand out, and the opposite.
const ALARM: [&str; 2] = ["\x1b[1;31m", "\x1b[0m"];

/// What lies between two parts.
const BETWEEN: &str = ", ";

/// The width of a terminal that does not tell its own.
const COLUMNS: usize = 80;

/// A piece of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// What it says, without control characters.
    pub(crate) text: String,
    /// Whether it is to stand out.
    pub(crate) is_alarming: bool,
}

/// The line on standard error; it disappears when this is dropped. There is one at a time.
#[derive(Debug)]
pub(crate) struct StatusLine {
    colours: bool,
}

impl StatusLine {
    /// The line, if standard error is a terminal that can have one.
    pub(crate) fn begin() -> Option<Self> {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let can = is_set("TERM") && env::var_os("TERM").is_some_and(|kind| kind != "dumb");
        (io::stderr().is_terminal() && can).then(|| Self {
            colours: !is_set("NO_COLOR"),
        })
    }

    /// Shows these parts, the most important first: as many as fit. Waits for nobody: while the
    /// terminal is held, or another program has it, nothing is shown.
    pub(crate) fn show(&self, parts: &[Part]) {
        let line = is_foreground().then(|| fitted(parts, columns(), self.colours));
        let mut shown = lock();
        if *shown != line {
            let mut text = CLEAR.to_owned();
            text.extend(line.as_deref());
            *shown = line;
            write_if_read(&text);
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        if lock().take().is_some() {
            write_if_read(CLEAR);
        }
    }
}

/// Takes the line away, so that something can be written that knows nothing of it.
pub fn hide_status() {
    if lock().take().is_some() {
        write_if_read(CLEAR);
    }
}

/// Writes lines, each with its end, above the line that is shown, if one is.
///
/// # Errors
/// When the output does not take them.
pub(super) fn write_above(
    output: &mut (impl Write + io::IsTerminal),
    lines: &[u8],
) -> io::Result<()> {
    let shown = lock();
    let Some(line) = shown.as_deref().filter(|_| output.is_terminal()) else {
        return output.write_all(lines);
    };
    // At once, so that it does not flicker.
    output.write_all(&[CLEAR.as_bytes(), lines, line.as_bytes()].concat())
}

/// As many of the parts as fit into so many columns, of which the last stays free: a terminal may go
/// to the next line after it.
fn fitted(parts: &[Part], columns: usize, colours: bool) -> String {
    let (mut line, mut used) = (String::new(), 0);
    for Part { text, is_alarming } in parts {
        let between = if used == 0 { "" } else { BETWEEN };
        used += between.len() + text.chars().count();
        if used >= columns {
            break;
        }
        line.push_str(between);
        match ALARM {
            [on, off] if *is_alarming && colours => line.extend([on, text, off]),
            _ => line.push_str(text),
        }
    }
    line
}

/// How wide standard error is, if it is a terminal that tells.
pub(super) fn columns() -> usize {
    match tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        Ok(_) | Err(_) => COLUMNS,
    }
}

/// Whether no other program is known to have the terminal, as one has that was started after this one
/// was put into the background.
fn is_foreground() -> bool {
    tcgetpgrp(io::stderr()).map_or(true, |group| group == getpgrp())
}

fn write_if_read(text: &str) {
    let mut output = io::stderr().lock();
    if wait_for_reader(&output, Duration::ZERO).is_ok() {
        let _gone = output.write_all(text.as_bytes());
    }
}

fn lock() -> MutexGuard<'static, Option<String>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Vec<Part> {
        let part = |(text, is_alarming): (&str, bool)| Part {
            text: text.to_owned(),
            is_alarming,
        };
        [("3 open", false), ("12 files", false), ("7 lost", true)]
            .map(part)
            .into()
    }

    #[test]
    fn what_does_not_fit_is_left_out_from_the_end() {
        let shown = |columns| fitted(&parts(), columns, false);
        assert_eq!(shown(80), "3 open, 12 files, 7 lost");
        // The last column stays free.
        assert_eq!(shown(25), "3 open, 12 files, 7 lost");
        assert_eq!(shown(24), "3 open, 12 files");
        assert_eq!(shown(7), "3 open");
        assert_eq!(shown(6), "");
    }

    #[test]
    fn an_alarm_is_red_and_takes_no_more_room() {
        let shown = fitted(&parts(), 25, true);
        assert_eq!(shown, "3 open, 12 files, \x1b[1;31m7 lost\x1b[0m");
    }
}
