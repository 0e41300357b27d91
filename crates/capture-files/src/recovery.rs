//! What earlier runs left unfinished: each of their partial files is cut to its last whole record
//! and published.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::civil::{Date, date};

use crate::directories::{Directories, Place};
use crate::disk::{Directory, Entries, Entry, Kind, Opened, OwnFile};
use crate::error::{Doing as _, FileError, FileStep};
use crate::file_name::FileName;
use crate::scan::{Verdict, Whole, scan};

mod gate;

pub use gate::{Gate, LeftFile, Passage};

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
///         Recovered::Published(..) | Recovered::Refused(_) | Recovered::Failed(_) => unreachable!(),
///     }
/// }
/// assert!(left.join("notes.txt").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Recovery<'a> {
    directories: &'a Directories,
    go_on: &'a dyn Fn() -> bool,
    /// Who is asked before a file is published.
    gate: Option<&'a mut dyn Gate>,
    /// The directories that are not done: that of partial files, that of a run, and those of a
    /// year, a month and a day, down to the one that is being looked at.
    open: Vec<Listing>,
}

/// What became of a file that an earlier run left.
#[derive(Debug)]
pub enum Recovered {
    /// It is visible at this path, with so many packets.
    Published(PathBuf, u64),
    /// It was removed: it held no packet, or was visible already.
    Removed(PathBuf),
    /// It was removed: the [`Gate`] did not let it pass.
    Refused(PathBuf),
    /// It is not ours, for this reason, and was left alone.
    Foreign(PathBuf, &'static str),
    /// It stays where it is, for the next recovery.
    Failed(FileError),
}

/// A directory that is being read.
struct Listing {
    directory: Arc<Directory>,
    name: OsString,
    entries: Entries,
}

/// How many directories are open when the innermost is that of a day.
const AT_DAY: usize = 5;

/// The first day, and the last on which the nanoseconds since then fit into 64 bits. A day in the
/// future is no reason to refuse a file: a host without a clock begins in 1970.
const DAYS: [Date; 2] = [date(1970, 1, 1), date(2554, 7, 21)];

const NO_DAY: &str = "it is not in the directory of a day";

impl<'a> Recovery<'a> {
    /// A recovery of every file of every earlier run.
    ///
    /// # Errors
    /// If the directory of partial files cannot be listed.
    pub fn new(directories: &'a Directories) -> Result<Self, FileError> {
        Self::new_while(directories, &|| true)
    }

    /// The same, for as long as `go_on` says so: it is asked before each file and before each piece
    /// that is read of one. A file that is not done then stays for the next recovery.
    ///
    /// # Errors
    /// If the directory of partial files cannot be listed.
    pub fn new_while(
        directories: &'a Directories,
        go_on: &'a dyn Fn() -> bool,
    ) -> Result<Self, FileError> {
        let mut recovery = Self {
            directories,
            go_on,
            gate: None,
            open: Vec::new(),
        };
        recovery.enter(directories.open_partial()?, OsString::new())?;
        Ok(recovery)
    }

    /// Has somebody look at each file before it is published.
    #[must_use]
    pub fn with_gate(self, gate: &'a mut dyn Gate) -> Self {
        Self {
            gate: Some(gate),
            ..self
        }
    }

    fn enter(&mut self, directory: Arc<Directory>, name: OsString) -> Result<(), FileError> {
        let entries = directory.entries();
        let entries = entries.doing(FileStep::Open, "listing", directory.path())?;
        self.open.push(Listing {
            directory,
            name,
            entries,
        });
        Ok(())
    }

    /// Leaves the innermost directory.
    fn leave(&mut self) {
        let done = self.open.pop();
        if let (Some(done), [_partial]) = (done, &self.open[..]) {
            self.directories.remove_run(&done.name);
        }
    }

    /// Looks at an entry of the innermost directory. Directories are entered, not reported.
    fn visit(
        &mut self,
        directory: &Arc<Directory>,
        entry: Entry,
    ) -> Result<Option<Recovered>, FileError> {
        let Entry { name, kind } = entry;
        let foreign = |why| Ok(Some(Recovered::Foreign(directory.path_of(&name), why)));
        let is_top = self.open.len() == 1;
        match kind {
            Kind::Directory if is_top && !self.directories.is_earlier_run(&name) => Ok(None),
            Kind::Directory if self.open.len() < AT_DAY => {
                let below = directory.enter(&name);
                let path = directory.path_of(&name);
                let below = below.doing(FileStep::Open, "opening the directory", &path)?;
                self.enter(Arc::new(below), name)?;
                Ok(None)
            }
            Kind::Directory => foreign("no file of ours is in it: it is in the directory of a day"),
            // This run looks whether the disk works meanwhile.
            Kind::File if is_top && Directories::is_probe(&name) => Ok(None),
            Kind::File | Kind::Other if is_top => foreign("it is not in the directory of a run"),
            Kind::Other => foreign("it is not a regular file"),
            Kind::File => match self.day() {
                Some(day) => self.recover(directory, &name, &day),
                None => foreign(NO_DAY),
            },
        }
    }

    /// The day that the innermost directory is of: `YYYY/MM/DD`.
    fn day(&self) -> Option<PathBuf> {
        let [_partial, _run, parts @ ..] = &self.open[..] else {
            return None;
        };
        let names = parts.iter().map(|part| part.name.to_str());
        let [year, month, day] = names.collect::<Option<Vec<_>>>()?[..] else {
            return None;
        };
        let digits = |part: &str, count| {
            part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !digits(year, 4) || !digits(month, 2) || !digits(day, 2) {
            return None;
        }
        let date = Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
        let [first, last] = DAYS;
        let exists = date.is_ok_and(|date| first <= date && date <= last);
        exists.then(|| [year, month, day].iter().collect())
    }

    /// Recovers one file. `None` if it was told to stop meanwhile.
    fn recover(
        &mut self,
        directory: &Directory,
        name: &OsStr,
        day: &Path,
    ) -> Result<Option<Recovered>, FileError> {
        let path = directory.path_of(name);
        let foreign = |path, why| Ok(Some(Recovered::Foreign(path, why)));
        let Some(parsed) = name.to_str().and_then(FileName::parse) else {
            return foreign(path, "its name is not one of ours");
        };
        let opened = directory.open_to_cut(name);
        let file = match opened.doing(FileStep::Open, "opening", &path)? {
            Opened::Ours(file) => file,
            Opened::Foreign(why) => {
                let twice = self.directories.is_published((directory, name), day);
                if !twice.unwrap_or(false) {
                    return foreign(path, why);
                }
                let removed = directory.remove(name);
                removed.doing(FileStep::Finish, "removing", &path)?;
                return Ok(Some(Recovered::Removed(path)));
            }
        };
        let verdict = match look(&file, &parsed, self.go_on) {
            Ok(verdict) => verdict,
            Err(_) if !(self.go_on)() => return Ok(None),
            Err(error) => return Err(error).doing(FileStep::Open, "reading", &path),
        };
        match verdict {
            Verdict::NotOurs(why) => foreign(path, why),
            Verdict::Empty => {
                let removed = directory.remove(name);
                removed.doing(FileStep::Finish, "removing", &path)?;
                Ok(Some(Recovered::Removed(path)))
            }
            Verdict::Whole(Whole { bytes, packets }) => {
                let cut = cut(&file, bytes);
                cut.doing(FileStep::Finish, "truncating", &path)?;
                // Who may read it matters less than that it is there.
                let _refused = self.directories.adopt(&file);
                let left = LeftFile {
                    directories: self.directories,
                    file: &file,
                    path: &path,
                    day,
                    name: parsed,
                };
                let gate = self.gate.as_mut();
                let passage = gate.map_or(Passage::Publish, |gate| gate.judge(&left));
                let published = self.pass((directory, name), &left, (passage, packets));
                if let Some(gate) = &mut self.gate {
                    gate.done();
                }
                published.map(Some)
            }
        }
    }

    /// Publishes or removes a whole file.
    fn pass(
        &self,
        (directory, name): Place<'_>,
        left: &LeftFile<'_>,
        (passage, packets): (Passage, u64),
    ) -> Result<Recovered, FileError> {
        match passage {
            Passage::Publish => {
                let numbered = |number| {
                    FileName {
                        number,
                        ..left.name
                    }
                    .build()
                };
                let place = (directory, name);
                let published = self.directories.publish_alone(place, left.day, &numbered)?;
                Ok(Recovered::Published(published, packets))
            }
            Passage::Remove => {
                let removed = directory.remove(name);
                removed.doing(FileStep::Finish, "removing", left.path)?;
                Ok(Recovered::Refused(left.path.to_owned()))
            }
        }
    }

    /// What becomes of the next entry that is worth reporting.
    fn step(&mut self) -> Result<Option<Recovered>, FileError> {
        let Some(listing) = self.open.last_mut() else {
            return Ok(None);
        };
        let directory = Arc::clone(&listing.directory);
        match listing.entries.next() {
            Some(entry) => {
                let entry = entry.doing(FileStep::Open, "listing", directory.path())?;
                self.visit(&directory, entry)
            }
            None => {
                self.leave();
                Ok(None)
            }
        }
    }
}

impl Iterator for Recovery<'_> {
    type Item = Recovered;

    fn next(&mut self) -> Option<Recovered> {
        while !self.open.is_empty() && (self.go_on)() {
            match self.step() {
                Ok(None) => {}
                Ok(Some(recovered)) => return Some(recovered),
                Err(error) => return Some(Recovered::Failed(error)),
            }
        }
        None
    }
}

impl fmt::Debug for Recovery<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.open.last().map(|listing| listing.directory.path());
        out.debug_struct("Recovery").field("at", &at).finish()
    }
}

/// Scans a file. One of zeros counts as empty: a power loss can leave a file's length and none of its
/// bytes.
pub(crate) fn look(
    file: &OwnFile,
    name: &FileName<'_>,
    go_on: &dyn Fn() -> bool,
) -> io::Result<Verdict> {
    let reader = Stoppable { file, go_on };
    let verdict = scan(reader, name.format, name.compression)?;
    if !matches!(verdict, Verdict::NotOurs(_)) {
        Ok(verdict)
    } else if file.is_blank(go_on)? {
        Ok(Verdict::Empty)
    } else if go_on() {
        Ok(verdict)
    } else {
        Err(stopped())
    }
}

/// A file that can be read for as long as `go_on` says so.
struct Stoppable<'a> {
    file: &'a OwnFile,
    go_on: &'a dyn Fn() -> bool,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if (self.go_on)() {
            self.file.read(into)
        } else {
            Err(stopped())
        }
    }
}

fn stopped() -> io::Error {
    io::Error::other("told to stop")
}

/// Removes what is beyond a length, if anything is.
fn cut(file: &OwnFile, length: u64) -> io::Result<()> {
    if length < file.length()? {
        file.cut(length)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
