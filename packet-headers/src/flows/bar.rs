//! How far reading has come, for people who watch.

use std::fmt::Display;

use capture_query::Progress;
use indicatif::{ProgressBar, ProgressStyle};

use crate::terminal;

/// A bar on standard error, if that is a terminal.
pub(super) struct Bar {
    bar: ProgressBar,
    files: usize,
}

impl Bar {
    pub(super) fn new(bytes: u64, files: usize) -> Self {
        const LOOK: &str = "{bar:30} {bytes}/{total_bytes}, {msg}, {eta} left";
        let style =
            ProgressStyle::with_template(LOOK).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(bytes).with_style(style);
        Self { bar, files }
    }

    /// Shows how far it is.
    pub(super) fn show(&self, progress: &Progress) {
        if self.bar.is_hidden() {
            return;
        }
        self.bar
            .set_message(format!("{}/{} files", progress.files(), self.files));
        self.bar.set_position(progress.bytes());
    }

    /// Does something that may write to the terminal.
    pub(super) fn beside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Writes a line to standard error.
    pub(super) fn complain(&self, message: &impl Display) {
        self.beside(|| terminal::complain(message));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
