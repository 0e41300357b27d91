//! Files that grow out of sight and appear whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Error, Result, bail};
use jiff::Timestamp;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::lock::DirectoryLock;
use crate::accounts::{AtStep, FileStep};
use model::Diagnostic;

/// The data directory and the directory of this run's partial files, on one filesystem.
#[derive(Debug, Clone)]
pub struct Directories {
    data: PathBuf,
    partial: PathBuf,
    run: PathBuf,
    fsync: bool,
    _locks: Arc<[DirectoryLock; 2]>,
}

/// A file that is not finished. It is opened for each write only: descriptors do not grow with
/// flows.
#[derive(Debug)]
pub struct PartialFile {
    path: PathBuf,
    bytes: u64,
}

/// What is left of a partial file after a write that failed.
#[derive(Debug)]
pub enum Setback {
    /// It is as it was before.
    Kept(Error),
    /// It is gone, with all that it held.
    Gone(Error),
}

/// How many files of one UUID there may be on one day before we stop looking for a free name.
const MAX_NUMBER: u32 = 1000;

/// How the directories of runs are called: the prefix, a moment and a process.
const RUN_PREFIX: &str = "run-";

/// A file that shows at the start that files can be written and moved. One that a crash left is
/// replaced by the next.
const PROBE: &str = ".packet-headers-probe";

/// Directories of files: anybody may look, as far as the umask lets them.
const DIRECTORY_MODE: u32 = 0o755;

/// The directory of partial files: nobody but us has to look.
const PARTIAL_MODE: u32 = 0o700;

/// Files: anybody may read them, as far as the umask lets them.
const FILE_MODE: u32 = 0o644;

impl Directories {
    /// Makes the directories, locks them, and makes sure that files can be written and renamed
    /// between them.
    ///
    /// # Errors
    /// When one cannot be made or written, one is within the other, they are on different
    /// filesystems, or another daemon uses one of them.
    pub fn prepare(data: &Path, partial: &Path, fsync: bool) -> Result<Self> {
        for (directory, mode) in [(data, DIRECTORY_MODE), (partial, PARTIAL_MODE)] {
            make_directory(directory, mode).with_context(|| {
                let directory = directory.display();
                format!(
                    "making the directory {directory}: --datadir and --partial-dir can name others"
                )
            })?;
        }
        apart(data, partial)?;
        let locks = [DirectoryLock::take(data)?, DirectoryLock::take(partial)?];
        let now = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        let run = format!("{RUN_PREFIX}{now}-{}", std::process::id());
        let directories = Self {
            data: data.to_owned(),
            partial: partial.to_owned(),
            run: partial.join(run),
            fsync,
            _locks: Arc::new(locks),
        };
        directories.probe()?;
        Ok(directories)
    }

    /// Writes a file and renames it, as all others will be.
    fn probe(&self) -> Result<()> {
        let (probe, goal) = (self.partial.join(PROBE), self.data.join(PROBE));
        fs::write(&probe, b"").with_context(|| {
            let directory = self.partial.display();
            format!("writing into the directory {directory}: --partial-dir can name another one")
        })?;
        let renamed = fs::rename(&probe, &goal);
        let removed = fs::remove_file(if renamed.is_ok() { &goal } else { &probe });
        renamed.with_context(|| {
            format!(
                "moving a file from {} to {}: both must be writable and on one filesystem",
                self.partial.display(),
                self.data.display()
            )
        })?;
        removed.with_context(|| format!("removing {}", goal.display()))
    }

    /// Where published files go.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Where the runs' directories are.
    #[must_use]
    pub fn partial(&self) -> &Path {
        &self.partial
    }

    /// Whether this entry of the partial directory is the directory of an earlier run.
    #[must_use]
    pub fn is_earlier_run(&self, entry: &Path) -> bool {
        is_run(entry) && entry != self.run
    }

    /// Begins a file of this day with these bytes; `name` gives its name, by a number that is zero
    /// until there are several.
    ///
    /// # Errors
    /// When the file cannot be made or written; nothing is left behind then.
    pub fn create(
        &self,
        day: &Path,
        name: impl Fn(u32) -> String,
        bytes: &[u8],
    ) -> Result<PartialFile> {
        let (path, mut out) = create_new(&self.run.join(day), name)?;
        let partial = PartialFile {
            path,
            bytes: length(bytes),
        };
        if let Err(error) = out.write_all(bytes) {
            partial.remove();
            return Err(error).with_context(|| at(FileStep::Write, "writing", &partial.path));
        }
        Ok(partial)
    }

    /// Gives a finished file its final name, without ever replacing another.
    ///
    /// # Errors
    /// When it cannot be moved; it stays where it is then.
    pub fn publish(
        &self,
        partial: &Path,
        day: &Path,
        name: impl Fn(u32) -> String,
    ) -> Result<PathBuf> {
        if self.fsync {
            let synced = File::open(partial).and_then(|file| file.sync_all());
            synced.with_context(|| format!("syncing {}", partial.display()))?;
        }
        let day = self.data.join(day);
        let goal = self.rename(partial, &day, name)?;
        if self.fsync {
            let synced = File::open(&day).and_then(|directory| directory.sync_all());
            synced.with_context(|| format!("syncing {}", day.display()))?;
        }
        Ok(goal)
    }

    /// Renames to the first name that is free.
    fn rename(&self, partial: &Path, day: &Path, name: impl Fn(u32) -> String) -> Result<PathBuf> {
        let (mut number, mut made_directory) = (0, false);
        while number < MAX_NUMBER {
            let goal = day.join(name(number));
            match rename_new(partial, &goal) {
                Ok(()) => return Ok(goal),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound && !made_directory => {
                    made_directory = true;
                    self.make_day(day)?;
                }
                Err(error) => {
                    let (from, to) = (partial.display(), goal.display());
                    return Err(error).with_context(|| format!("moving {from} to {to}"));
                }
            }
        }
        bail!("{MAX_NUMBER} files are called {} already", name(0))
    }

    fn make_day(&self, day: &Path) -> Result<()> {
        make_directory(day, DIRECTORY_MODE)
            .with_context(|| at(FileStep::MakeDirectory, "making the directory", day))?;
        if self.fsync {
            // The day in its month, the month in its year, the year in the data directory.
            for directory in day.ancestors().skip(1).take(3) {
                let synced = File::open(directory).and_then(|directory| directory.sync_all());
                synced.with_context(|| format!("syncing {}", directory.display()))?;
            }
        }
        Ok(())
    }

    /// Removes the directory of this run and what is empty in it.
    pub fn clear(&self) {
        remove_empty(&self.run);
    }
}

impl PartialFile {
    /// Adds bytes.
    ///
    /// # Errors
    /// When they cannot be written, or not all of them: the file is cut to what it was.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Setback> {
        let while_writing = |step| at(step, "writing", &self.path);
        let mut out = match OpenOptions::new().append(true).open(&self.path) {
            Ok(out) => out,
            Err(error) => {
                let gone = error.kind() == io::ErrorKind::NotFound;
                let error = Error::new(error).context(while_writing(FileStep::Open));
                return Err(if gone {
                    Setback::Gone(error)
                } else {
                    Setback::Kept(error)
                });
            }
        };
        if let Err(error) = out.write_all(bytes) {
            let error = Error::new(error).context(while_writing(FileStep::Write));
            return Err(match out.set_len(self.bytes) {
                Ok(()) => Setback::Kept(error),
                // Nobody can say what is in it.
                Err(_) => {
                    self.remove();
                    Setback::Gone(error)
                }
            });
        }
        self.bytes += length(bytes);
        Ok(())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How long it is.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives it up.
    fn remove(&self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!("removing {}: {error}", self.path.display());
        }
    }
}

/// Whether this entry of a directory of partial files is the directory of a run.
pub(crate) fn is_run(entry: &Path) -> bool {
    let name = entry.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(RUN_PREFIX))
}

/// Refuses directories of which one is in the other.
fn apart(data: &Path, partial: &Path) -> Result<()> {
    let real = |path: &Path| {
        let real = path.canonicalize();
        real.with_context(|| format!("finding {}", path.display()))
    };
    Ok(really_apart(&real(data)?, &real(partial)?)?)
}

/// Refuses real paths of which one is in the other: who watches the data directory must see whole
/// files only.
pub(crate) fn really_apart(data: &Path, partial: &Path) -> Result<(), Diagnostic> {
    if !partial.starts_with(data) && !data.starts_with(partial) {
        return Ok(());
    }
    let (data, partial) = (data.display(), partial.display());
    Err(Diagnostic::new(
        format!("--partial-dir {partial} and --datadir {data} must not be within each other"),
        "give one of them another place on the same filesystem",
    ))
}

fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

/// Removes a directory and those in it, as far as they are empty.
pub(super) fn remove_empty(directory: &Path) {
    if let Ok(entries) = fs::read_dir(directory) {
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove_empty(&entry.path());
            }
        }
    }
    // Refused when something is in it, which is what is wanted.
    let _refused = fs::remove_dir(directory);
}

/// Makes a file that was not there, and its directory if that was not there.
fn create_new(day: &Path, name: impl Fn(u32) -> String) -> Result<(PathBuf, File)> {
    let mut made_directory = false;
    let mut number = 0;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(FILE_MODE);
    while number < MAX_NUMBER {
        let path = day.join(name(number));
        match options.open(&path) {
            Ok(out) => return Ok((path, out)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !made_directory => {
                made_directory = true;
                make_directory(day, DIRECTORY_MODE)
                    .with_context(|| at(FileStep::MakeDirectory, "making the directory", day))?;
            }
            Err(error) => {
                return Err(error).with_context(|| at(FileStep::Open, "making", &path));
            }
        }
    }
    bail!("{MAX_NUMBER} files are called {} already", name(0))
}

/// Renames, unless the new name is taken.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A filesystem that cannot refuse to replace can refuse a second link.
        Err(Errno::INVAL | Errno::NOSYS) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        other => Ok(other?),
    }
}

/// Says what was being done to which file.
fn at(step: FileStep, doing: &str, path: &Path) -> AtStep {
    AtStep::new(step, format!("{doing} {}", path.display()))
}

fn length(slice: &[u8]) -> u64 {
    u64::try_from(slice.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
