//! Published files that a power loss has torn: they are taken back, for recovery to cut or remove.
//!
//! Unless files are synced, the name of one can reach the disk before what is in it. The kernel writes
//! both within a bounded time, so only those that were published last can be torn. Once a run has looked
//! at everything that was there before it, it notes which boot of the host it belongs to. The note of
//! another boot, or none, says that power may have been lost since.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::boot::Boot;
use crate::directories::Directories;
use crate::disk::{Directory, Entry, Kind, Opened};
use crate::error::{Doing as _, FileError, FileStep};
use crate::file_name::FileName;
use crate::recovery::look;
use crate::scan::{Verdict, Whole};

/// How deep the directory of a day is: in a month's, in a year's.
const DAY_DEPTH: usize = 3;

/// What is being done, for errors.
const OPENING: &str = "opening the directory";

/// A power loss that may have been.
pub struct PowerLoss<'a> {
    directories: &'a Directories,
    boot: &'a Boot,
    go_on: &'a dyn Fn() -> bool,
}

/// What became of a published file that was torn.
#[derive(Debug)]
pub enum TakenBack {
    /// It was published at this path, and is a partial file again.
    Torn(PathBuf),
    /// It could not be looked at or taken back.
    Failed(FileError),
}

/// A day with published files, and when the last of them appeared.
struct Day {
    path: PathBuf,
    /// Of those that were there before this run, and of all.
    before: Option<Duration>,
    last: Duration,
}

impl<'a> PowerLoss<'a> {
    /// `None` if the last run that looked was of this boot, or the kernel does not tell. What follows
    /// goes on for as long as `go_on` says so.
    #[must_use]
    pub fn suspected(directories: &'a Directories, go_on: &'a dyn Fn() -> bool) -> Option<Self> {
        let boot = directories.boot()?;
        let noted = directories.noted_boot();
        (noted.as_deref() != Some(&*boot.id)).then_some(Self {
            directories,
            boot,
            go_on,
        })
    }

    /// Takes back every file that is torn among those that were published last: to be called before a
    /// [`Recovery`](crate::Recovery), which publishes what is whole of them. Returns how many files were
    /// looked at.
    ///
    /// # Errors
    /// If the data directory cannot be read.
    pub fn take_back(&self, found: &mut dyn FnMut(TakenBack)) -> Result<u64, FileError> {
        let days = self.days(found)?;
        let since = since(&days, self.boot.at_risk);
        let mut looked = 0;
        for day in days.iter().filter(|day| day.last >= since) {
            let outcome = self.look_at(day, since, found, &mut looked);
            outcome.unwrap_or_else(|error| found(TakenBack::Failed(error)));
        }
        Ok(looked)
    }

    /// Notes that everything that was there before this run has been looked at. Not to be called if
    /// recovery was told to stop.
    ///
    /// # Errors
    /// If it cannot be noted: the next run looks again.
    pub fn settled(&self) -> Result<(), FileError> {
        self.directories.note_boot(&self.boot.id)
    }

    /// The days of which there are files.
    fn days(&self, found: &mut dyn FnMut(TakenBack)) -> Result<Vec<Day>, FileError> {
        let mut days = Vec::new();
        let mut waiting = vec![(self.directories.open_data()?, PathBuf::new())];
        while let Some((directory, path)) = waiting.pop()
            && (self.go_on)()
        {
            let depth = path.iter().count();
            if depth == DAY_DEPTH {
                days.extend(self.day(&directory, path)?);
                continue;
            }
            let numbers =
                |entry: &Entry| entry.kind == Kind::Directory && is_number(&entry.name, depth);
            for Entry { name, .. } in list(&directory)?.filter(numbers) {
                let below = directory.enter(&name);
                let place = directory.path_of(&name);
                match below.doing(FileStep::Open, OPENING, &place) {
                    Ok(below) => waiting.push((Arc::new(below), path.join(&name))),
                    Err(error) => found(TakenBack::Failed(error)),
                }
            }
        }
        Ok(days)
    }

    /// A day, if there are files of it.
    fn day(&self, directory: &Directory, path: PathBuf) -> Result<Option<Day>, FileError> {
        let (mut before, mut last) = (None, None);
        for Entry { name, kind } in list(directory)? {
            if !(self.go_on)() {
                break;
            }
            // What is gone meanwhile was taken away by somebody who may.
            if kind == Kind::File
                && is_ours(&name)
                && let Ok(changed) = directory.changed(&name)
            {
                last = last.max(Some(changed));
                if changed <= self.boot.begun {
                    before = before.max(Some(changed));
                }
            }
        }
        Ok(last.map(|last| Day { path, before, last }))
    }

    /// Looks at the files of a day that were published since then.
    fn look_at(
        &self,
        day: &Day,
        since: Duration,
        found: &mut dyn FnMut(TakenBack),
        looked: &mut u64,
    ) -> Result<(), FileError> {
        let mut directory = self.directories.open_data()?;
        for name in &day.path {
            let path = directory.path_of(name);
            let below = directory.enter(name);
            directory = Arc::new(below.doing(FileStep::Open, OPENING, &path)?);
        }
        for Entry { name, kind } in list(&directory)? {
            if !(self.go_on)() {
                break;
            }
            let recent = || directory.changed(&name).is_ok_and(|at| at >= since);
            if kind != Kind::File || !is_ours(&name) || !recent() {
                continue;
            }
            *looked += 1;
            let path = directory.path_of(&name);
            match self.is_torn(&directory, &name) {
                Ok(false) => continue,
                Ok(true) => {}
                // Taken away by somebody who may.
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => continue,
                Err(_) if !(self.go_on)() => break,
                Err(error) => {
                    let error = FileError::new(FileStep::Open, "reading", &path, error);
                    found(TakenBack::Failed(error));
                    continue;
                }
            }
            found(
                match self.directories.take_back((&directory, &name), &day.path) {
                    Ok(()) => TakenBack::Torn(path),
                    Err(error) => TakenBack::Failed(error),
                },
            );
        }
        Ok(())
    }

    fn is_torn(&self, directory: &Directory, name: &OsStr) -> io::Result<bool> {
        let Some(parsed) = name.to_str().and_then(FileName::parse_published) else {
            return Ok(false);
        };
        let Opened::Ours(file) = directory.open_to_cut(name)? else {
            return Ok(false);
        };
        let length = file.length()?;
        Ok(match look(&file, &parsed, self.go_on)? {
            Verdict::Whole(Whole { bytes, .. }) => bytes < length,
            Verdict::Empty => true,
            // Its beginning is not on the disk, or somebody has written something else.
            Verdict::NotOurs(_) => file.begins_with_zeros()?,
        })
    }
}

/// When the first file was published that can be torn: so long before the last. If nobody can tell, all
/// can be.
fn since(days: &[Day], at_risk: Option<Duration>) -> Duration {
    let last = days.iter().filter_map(|day| day.before).max();
    let both = last.zip(at_risk);
    both.map_or(Duration::ZERO, |(last, at_risk)| {
        last.saturating_sub(at_risk)
    })
}

fn list(directory: &Directory) -> Result<impl Iterator<Item = Entry>, FileError> {
    let entries = directory.entries();
    let entries = entries.doing(FileStep::Open, "listing", directory.path())?;
    Ok(entries.filter_map(Result::ok))
}

/// Whether a directory at this depth is one of ours: a year's, a month's or a day's.
fn is_number(name: &OsStr, depth: usize) -> bool {
    let bytes = name.as_encoded_bytes();
    bytes.len() == if depth == 0 { 4 } else { 2 } && bytes.iter().all(u8::is_ascii_digit)
}

fn is_ours(name: &OsStr) -> bool {
    name.to_str().and_then(FileName::parse_published).is_some()
}

#[cfg(test)]
mod tests;
