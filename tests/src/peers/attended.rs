//! A daemon that somebody has started at a terminal and looks at.

use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::peers::launch::Launch;
use crate::peers::terminal::Terminal;
use crate::verify::captures::Captures;
use crate::world::netns::Lab;
use crate::world::wait;

/// A daemon in a terminal, in a directory of its own, with `captures` as its data directory.
pub struct Attended {
    /// Its terminal.
    pub terminal: Terminal,
    /// Its files.
    pub captures: Captures,
    home: TempDir,
}

impl Attended {
    /// Starts a daemon in a terminal of so many rows and columns, and waits until it captures.
    ///
    /// # Errors
    /// It does not.
    pub fn start(lab: &Lab, size: (u16, u16), flags: &[&str]) -> Result<Self> {
        let home = TempDir::new()?;
        let captures = Captures::new(home.path().join("captures"));
        let script = format!("cd '{}' && exec \"$@\"", home.path().display());
        let wrapper = ["sh", "-c", &script, "sh"];
        let launch = Launch::new(lab).within(home.path()).by(&wrapper);
        let command = launch.command("captures".as_ref(), flags)?;
        let mut terminal = Terminal::of_size(size, &lab.host, &command)?;
        terminal.wait_for(&["capturing wan0"])?;
        Ok(Self {
            terminal,
            captures,
            home,
        })
    }

    /// The directory in which it was started.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Waits until a line of the screen is accepted; returns it.
    ///
    /// # Errors
    /// None is; the message has `what` and the screen's text.
    pub fn line(&self, what: &str, accept: impl Fn(&str) -> bool) -> Result<String> {
        let found = wait::until(what, || {
            let text = self.terminal.text();
            Ok(text.lines().find(|line| accept(line)).map(str::to_owned))
        });
        found.with_context(|| self.terminal.text())
    }
}
