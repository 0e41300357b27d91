//! What earlier runs left unfinished: each of their partial files is cut to its last whole record
//! and published.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};

use super::partial::{Directories, remove_empty};
use crate::accounts::{Accounts, FileIssue};
use crate::rate_limit::RateLimit;
use capture_files::layout::{FileName, file_name, parse_any_name};
use capture_files::scan::{Verdict, Whole, scan};

/// Publishes what earlier runs left. Files of this run are not touched, so it can go on beside the
/// capture.
pub struct Recovery<'a> {
    /// Where they are, and where they go.
    pub directories: &'a Directories,
    /// What is counted.
    pub accounts: &'a Accounts,
    /// Whether to go on; the rest is left to the next start.
    pub go_on: &'a dyn Fn() -> bool,
    /// Where one file fails, all may.
    pub(crate) complaints: RateLimit,
}

/// What became of a partial file.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Published(u64),
    Removed,
    Foreign(&'static str),
}

impl Recovery<'_> {
    /// Looks at every file of every earlier run.
    ///
    /// # Errors
    /// When the directory of partial files cannot be listed.
    pub fn run(&self) -> Result<()> {
        let partial = self.directories.partial();
        let listing = || format!("listing {}", partial.display());
        for entry in fs::read_dir(partial).with_context(listing)? {
            let path = entry.with_context(listing)?.path();
            if self.directories.is_earlier_run(&path) {
                self.run_of(&path, &path);
                remove_empty(&path);
            } else if !path.is_dir() {
                self.foreign(&path, "it is in no run's directory");
            }
        }
        let accounts = self.accounts;
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (files, packets) = (
            number(&accounts.recovered),
            number(&accounts.recovered_packets),
        );
        let removed = number(&accounts.removed);
        if files + removed > 0 {
            tracing::info!(
                "of an earlier run, {files} files with {packets} packets were published, and \
                 {removed} without any were removed"
            );
        }
        Ok(())
    }

    /// Looks at every file below a directory of the run.
    fn run_of(&self, run: &Path, directory: &Path) {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => return tracing::warn!("listing {}: {error}", directory.display()),
        };
        for entry in entries {
            if !(self.go_on)() {
                return;
            }
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return tracing::warn!("listing {}: {error}", directory.display()),
            };
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.run_of(run, &path),
                Ok(kind) if kind.is_file() => self.file(run, &path),
                _ => self.foreign(&path, "it is no regular file"),
            }
        }
    }

    /// Does what is to be done with one file.
    fn file(&self, run: &Path, path: &Path) {
        let accounts = self.accounts;
        match self.recover(run, path) {
            Ok(Outcome::Published(packets)) => {
                accounts.recovered.fetch_add(1, Ordering::Relaxed);
                accounts
                    .recovered_packets
                    .fetch_add(packets, Ordering::Relaxed);
            }
            Ok(Outcome::Removed) => {
                accounts.removed.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Outcome::Foreign(why)) => self.foreign(path, why),
            Err(error) => {
                accounts.file_issues.add(FileIssue::of(&error), 1);
                if let Some(more) = self.complaints.pass() {
                    let path = path.display();
                    tracing::error!("{path} of an earlier run stays: {error:#}{more}");
                }
            }
        }
    }

    fn recover(&self, run: &Path, path: &Path) -> Result<Outcome> {
        let Some((day, name)) = place(run, path) else {
            return Ok(Outcome::Foreign("it is called unlike our files"));
        };
        let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        let length = file.metadata()?.len();
        let verdict = scan(file, name.format, name.compression);
        match verdict.with_context(|| format!("reading {}", path.display()))? {
            Verdict::NotOurs(why) if !is_blank(path)? => Ok(Outcome::Foreign(why)),
            Verdict::NotOurs(_) | Verdict::Empty => {
                fs::remove_file(path).with_context(|| format!("removing {}", path.display()))?;
                Ok(Outcome::Removed)
            }
            Verdict::Whole(Whole { bytes, packets }) => {
                if bytes < length {
                    let cut = OpenOptions::new().write(true).open(path);
                    let cut = cut.and_then(|file| file.set_len(bytes));
                    cut.with_context(|| format!("cutting {}", path.display()))?;
                }
                let names = |number| file_name(name.uuid, number, name.format, name.compression);
                self.directories.publish(path, &day, names)?;
                Ok(Outcome::Published(packets))
            }
        }
    }

    fn foreign(&self, path: &Path, why: &str) {
        self.accounts.foreign.fetch_add(1, Ordering::Relaxed);
        tracing::warn!("{} is left alone: {why}", path.display());
    }
}

/// Whether a file holds nothing but zeros: a power loss can leave its length and none of its bytes.
fn is_blank(path: &Path) -> Result<bool> {
    let reading = || format!("reading {}", path.display());
    let mut file = BufReader::new(File::open(path).with_context(reading)?);
    loop {
        let bytes = file.fill_buf().with_context(reading)?;
        if bytes.is_empty() {
            return Ok(true);
        }
        if bytes.iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        let length = bytes.len();
        file.consume(length);
    }
}

/// The day and the name of a partial file: it is at `YYYY/MM/DD/<name>` below its run's directory.
fn place<'a>(run: &Path, path: &'a Path) -> Option<(PathBuf, FileName<'a>)> {
    let name = parse_any_name(path.file_name()?.to_str()?)?;
    let day = path.parent()?.strip_prefix(run).ok()?;
    let parts: Vec<_> = day.iter().map(|part| part.to_str()).collect();
    let digits = |part: &Option<&str>, count: usize| {
        part.is_some_and(|part| part.len() == count && part.bytes().all(|b| b.is_ascii_digit()))
    };
    let is_day = parts.len() == 3 && parts.iter().zip([4, 2, 2]).all(|(p, n)| digits(p, n));
    is_day.then(|| (day.to_owned(), name))
}

#[cfg(test)]
mod tests;
