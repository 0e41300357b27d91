//! What earlier runs left unfinished: each of their partial files is cut to its last whole record
//! and published.

use std::fs::{self, DirEntry, File, OpenOptions, ReadDir};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use crate::directories::{Directories, remove_empty};
use crate::error::{Doing as _, FileError, FileStep};
use crate::file_name::FileName;
use crate::scan::{Verdict, Whole, scan};

/// Publishes what earlier runs left, file by file: an iterator that does the work when it is asked
/// for the next file. Dropped early, it leaves the rest to the next recovery.
///
/// Files of this run are not touched, so it can go on beside a [`Writer`](crate::Writer). Nothing
/// is believed of a file but what [`scan`] finds in it.
///
/// ```
/// use capture_files::{Directories, Recovered, Recovery, partial_directory};
/// use std::fs;
///
/// let home = tempfile::tempdir()?;
/// let data = home.path().join("captures");
/// let left = home.path().join("captures.partial/run-20261123T000000Z-1/2026/11/23");
/// fs::create_dir_all(&left)?;
/// fs::write(left.join("host_1_00000000000000AA.pcap"), b"")?;
/// fs::write(left.join("notes.txt"), b"not a capture file")?;
///
/// let directories = Directories::prepare(&data, &partial_directory(&data))?;
/// for recovered in Recovery::new(&directories)? {
///     match recovered {
///         Recovered::Removed(path) => assert!(path.ends_with("host_1_00000000000000AA.pcap")),
///         Recovered::Foreign(path, _why) => assert!(path.ends_with("notes.txt")),
///         Recovered::Published(..) | Recovered::Failed(_) => unreachable!(),
///     }
/// }
/// assert!(left.join("notes.txt").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Recovery<'a> {
    directories: &'a Directories,
    /// The directories that are not done: that of partial files, that of a run, and those in it
    /// down to the one that is being looked at.
    open: Vec<Listing>,
}

/// What became of a file that an earlier run left.
#[derive(Debug)]
pub enum Recovered {
    /// It is visible at this path, with so many packets.
    Published(PathBuf, u64),
    /// It held no packet, and was removed.
    Removed(PathBuf),
    /// It is not ours, for this reason, and was left alone.
    Foreign(PathBuf, &'static str),
    /// It stays where it is, for the next recovery.
    Failed(FileError),
}

/// A directory that is being read.
#[derive(Debug)]
struct Listing {
    directory: PathBuf,
    entries: ReadDir,
}

impl<'a> Recovery<'a> {
    /// A recovery of every file of every earlier run.
    ///
    /// # Errors
    /// If the directory of partial files cannot be listed.
    pub fn new(directories: &'a Directories) -> Result<Self, FileError> {
        let mut recovery = Self {
            directories,
            open: Vec::new(),
        };
        recovery.enter(directories.partial().to_owned())?;
        Ok(recovery)
    }

    fn enter(&mut self, directory: PathBuf) -> Result<(), FileError> {
        let entries = fs::read_dir(&directory).doing(FileStep::Open, "listing", &directory)?;
        self.open.push(Listing { directory, entries });
        Ok(())
    }

    /// Leaves the innermost directory.
    fn leave(&mut self) {
        let done = self.open.pop();
        if let (Some(done), [_partial]) = (done, &self.open[..]) {
            // That of a run.
            remove_empty(&done.directory);
        }
    }

    /// Looks at an entry of the innermost directory. Directories are entered, not reported.
    fn visit(&mut self, entry: &DirEntry) -> Result<Option<Recovered>, FileError> {
        let path = entry.path();
        let kind = entry.file_type();
        let kind = kind.doing(FileStep::Open, "inspecting", &path)?;
        let foreign = |path, why| Ok(Some(Recovered::Foreign(path, why)));
        match self.open.get(1) {
            None if kind.is_dir() && self.directories.is_earlier_run(&path) => self.enter(path)?,
            None if path.is_dir() => {}
            None => return foreign(path, "it is not in the directory of a run"),
            Some(_) if kind.is_dir() => self.enter(path)?,
            Some(run) if kind.is_file() => {
                return recover(self.directories, &run.directory, path).map(Some);
            }
            Some(_) => return foreign(path, "it is not a regular file"),
        }
        Ok(None)
    }
}

impl Iterator for Recovery<'_> {
    type Item = Recovered;

    fn next(&mut self) -> Option<Recovered> {
        loop {
            let listing = self.open.last_mut()?;
            let Some(entry) = listing.entries.next() else {
                self.leave();
                continue;
            };
            let entry = entry.doing(FileStep::Open, "listing", &listing.directory);
            match entry.and_then(|entry| self.visit(&entry)) {
                Ok(None) => {}
                Ok(Some(recovered)) => return Some(recovered),
                Err(error) => return Some(Recovered::Failed(error)),
            }
        }
    }
}

/// Recovers one file.
fn recover(directories: &Directories, run: &Path, path: PathBuf) -> Result<Recovered, FileError> {
    let Some((day, name)) = place(run, &path) else {
        return Ok(Recovered::Foreign(path, "its name is not one of ours"));
    };
    let file = File::open(&path).doing(FileStep::Open, "opening", &path)?;
    let metadata = file.metadata().doing(FileStep::Open, "opening", &path)?;
    let verdict = scan(file, name.format, name.compression);
    match verdict.doing(FileStep::Open, "reading", &path)? {
        Verdict::NotOurs(why) if !is_blank(&path).doing(FileStep::Open, "reading", &path)? => {
            Ok(Recovered::Foreign(path, why))
        }
        Verdict::NotOurs(_) | Verdict::Empty => {
            fs::remove_file(&path).doing(FileStep::Finish, "removing", &path)?;
            Ok(Recovered::Removed(path))
        }
        Verdict::Whole(Whole { bytes, packets }) => {
            if bytes < metadata.len() {
                let file = OpenOptions::new().write(true).open(&path);
                let cut = file.and_then(|file| file.set_len(bytes));
                cut.doing(FileStep::Finish, "truncating", &path)?;
            }
            let numbered = |number| FileName { number, ..name }.build();
            let path = directories.publish_alone(&path, &day, &numbered)?;
            Ok(Recovered::Published(path, packets))
        }
    }
}

/// Whether a file holds nothing but zeros: a power loss can leave its length and none of its bytes.
fn is_blank(path: &Path) -> io::Result<bool> {
    let mut file = BufReader::new(File::open(path)?);
    loop {
        let bytes = file.fill_buf()?;
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

/// The day and the name of a partial file: it is at `YYYY/MM/DD/<name>` in its run's directory.
fn place<'a>(run: &Path, path: &'a Path) -> Option<(PathBuf, FileName<'a>)> {
    let name = FileName::parse(path.file_name()?.to_str()?)?;
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
