//! The published files in their directories, accessed through descriptors, so that a symbolic link
//! that appears between two steps is not followed either.

use std::ffi::{CStr, OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, openat, statat, unlinkat};
use rustix::io::{Errno, Result};

use super::names::Entry;
use super::space::Space;
use crate::disk::{self, FirstNames, Operation};
use crate::file_name::FileName;
use crate::rows_file::{self, RowsFileName};

/// The open directories of a day: that of captures, and that of rows, as far as they are there.
pub(super) struct Directory {
    captures: Option<OwnedFd>,
    rows: Option<OwnedFd>,
    /// Where they are.
    paths: [PathBuf; 2],
}

/// What stands in the name of an entry between the directory of a host's rows and the file in it. No file's
/// own name has it.
const SLASH: u8 = b'/';

impl Directory {
    /// Removes a file.
    pub(super) fn remove(&self, entry: &Entry) -> Result<()> {
        let gone = || Errno::NOENT;
        let Some((host, name)) = in_rows(&entry.name) else {
            ask(Operation::Remove)?;
            let captures = self.captures.as_ref().ok_or_else(gone)?;
            return unlinkat(captures, &*entry.name, AtFlags::empty());
        };
        let rows = self.rows.as_ref().ok_or_else(gone)?;
        let of_host = enter(rows, OsStr::from_bytes(host))?;
        ask(Operation::Remove)?;
        unlinkat(of_host, name, AtFlags::empty())
    }

    /// Where a file in it is, for errors.
    pub(super) fn path_of(&self, entry: &Entry) -> PathBuf {
        let [captures, rows] = &self.paths;
        let within = if in_rows(&entry.name).is_some() {
            rows
        } else {
            captures
        };
        within.join(OsStr::from_bytes(&entry.name))
    }
}

/// The directory of a host's rows and a file in it, if this is the name of such a one.
fn in_rows(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = name.iter().position(|byte| *byte == SLASH)?;
    Some((name.get(..at)?, name.get(at + 1..)?))
}

/// The names of the directories of a day's year, month and day.
fn path(day: Date) -> [String; 3] {
    let (year, month, of_month) = (day.year(), day.month(), day.day());
    [
        format!("{year:04}"),
        format!("{month:02}"),
        format!("{of_month:02}"),
    ]
}

/// The day whose directory a published file is in, and its name there.
pub(super) fn place(published: &Path) -> Option<(Date, Vec<u8>)> {
    let mut names = published.iter().rev();
    let name = names.next()?;
    if let Some(host) = published.parent().and_then(Path::file_name)
        && let Some(day) = names.nth(1).and_then(rows_file::day_of_directory)
    {
        let parts = [host.as_bytes(), &[SLASH], name.as_bytes()];
        return Some((day, parts.concat()));
    }
    let mut names = published.iter().rev().skip(1);
    let mut number = || names.next()?.to_str()?.parse::<i16>().ok();
    let [day, month] = [number()?, number()?].map(i8::try_from);
    let day = Date::new(number()?, month.ok()?, day.ok()?).ok()?;
    Some((day, name.as_bytes().to_owned()))
}

/// A data directory, to be read for as long as `go_on` says so.
pub(super) struct Tree<'a> {
    path: &'a Path,
    root: OwnedFd,
    go_on: &'a dyn Fn() -> bool,
}

impl<'a> Tree<'a> {
    /// Opens a data directory, which may be a symbolic link itself.
    pub(super) fn open(data: &'a Path, go_on: &'a dyn Fn() -> bool) -> Result<Self> {
        ask(Operation::OpenDirectory)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, data, flags, Mode::empty())?;
        Ok(Self {
            path: data,
            root,
            go_on,
        })
    }

    /// Where it is.
    pub(super) const fn path(&self) -> &Path {
        self.path
    }

    /// The filesystem that it is on.
    pub(super) fn space(&self) -> Result<Space> {
        Space::of(&self.root)
    }

    /// Where the directory of a day is, for errors.
    pub(super) fn path_of(&self, day: Date) -> PathBuf {
        self.path.join(path(day).join("/"))
    }

    /// Whether to go on.
    pub(super) fn goes_on(&self) -> bool {
        (self.go_on)()
    }

    /// The days for which there are directories, oldest first.
    pub(super) fn days(&self) -> Result<Vec<Date>> {
        let mut days = Vec::new();
        for year in numbers(&self.root, 4)? {
            let Some(in_year) = gone(enter(&self.root, format!("{year:04}")))? else {
                continue;
            };
            for month in numbers(&in_year, 2)? {
                let Some(in_month) = gone(enter(&in_year, format!("{month:02}")))? else {
                    continue;
                };
                let dates = numbers(&in_month, 2)?.into_iter().filter_map(|day| {
                    let [month, day] = [month, day].map(i8::try_from);
                    Date::new(year, month.ok()?, day.ok()?).ok()
                });
                days.extend(dates);
            }
        }
        if let Some(rows) = gone(enter(&self.root, rows_file::DIRECTORY))? {
            let dates = directories(&rows)?.into_iter();
            days.extend(dates.filter_map(|name| rows_file::day_of_directory(&name)));
        }
        days.sort_unstable();
        days.dedup();
        Ok(days)
    }

    /// Opens a day's directories, of which there must be one.
    pub(super) fn open_day(&self, day: Date) -> Result<Directory> {
        let captures = gone(self.captures_of(day))?;
        let rows = gone(self.rows_of(day))?;
        if captures.is_none() && rows.is_none() {
            return Err(Errno::NOENT);
        }
        let rows_path = rows_file::directory(day);
        Ok(Directory {
            captures,
            rows,
            paths: [self.path_of(day), self.path.join(rows_path)],
        })
    }

    fn captures_of(&self, day: Date) -> Result<OwnedFd> {
        let [year, month, of_day] = path(day);
        enter(enter(enter(&self.root, &year)?, &month)?, &of_day)
    }

    fn rows_of(&self, day: Date) -> Result<OwnedFd> {
        let rows = enter(&self.root, rows_file::DIRECTORY)?;
        enter(rows, rows_file::name_of_directory(day))
    }

    /// Shows each file of a day that is ours, for as long as it goes on.
    pub(super) fn each(&self, day: Date, mut show: impl FnMut(Entry)) -> Result<()> {
        let directory = self.open_day(day)?;
        if let Some(captures) = &directory.captures {
            let is_ours = |name: &str| {
                FileName::parse_published(name).is_some() || RowsFileName::parse(name).is_some()
            };
            self.each_in(captures, &is_ours, &mut |name, stat| show(file(name, stat)))?;
        }
        let Some(rows) = &directory.rows else {
            return Ok(());
        };
        for host in directories(rows)? {
            if !rows_file::is_directory_of_host(&host) {
                continue;
            }
            let Some(of_host) = gone(enter(rows, &host))? else {
                continue;
            };
            self.each_in(&of_host, &rows_file::is_name, &mut |name, stat| {
                let mut entry = file(name, stat);
                entry.name = [host.as_bytes(), &[SLASH], &entry.name].concat();
                show(entry);
            })?;
        }
        Ok(())
    }

    /// Shows each file in a directory whose name is ours, for as long as it goes on.
    fn each_in(
        &self,
        directory: &OwnedFd,
        is_ours: &dyn Fn(&str) -> bool,
        show: &mut dyn FnMut(&CStr, &Stat),
    ) -> Result<()> {
        let mut first = FirstNames::default();
        for entry in list(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if !self.goes_on() || first.come_again(name) {
                break;
            }
            if !name.to_str().is_ok_and(is_ours) {
                continue;
            }
            let stat = ask(Operation::Look)
                .and_then(|()| statat(directory, name, AtFlags::SYMLINK_NOFOLLOW));
            if let Some(stat) = gone(stat)?
                && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            {
                show(name, &stat);
            }
        }
        Ok(())
    }

    /// Removes a day's directory if nothing is in it, then its month's and its year's, but not
    /// those that `kept_from` or a later day is in.
    pub(super) fn remove_if_empty(&self, day: Date, kept_from: Date) -> Result<()> {
        if let Some(rows) = gone(self.rows_of(day))? {
            for host in directories(&rows)? {
                if rows_file::is_directory_of_host(&host) {
                    remove_empty(&rows, &host)?;
                }
            }
            let all = enter(&self.root, rows_file::DIRECTORY)?;
            remove_empty(&all, rows_file::name_of_directory(day))?;
        }
        let [year, month, of_day] = path(day);
        let in_year = enter(&self.root, &year)?;
        let in_month = enter(&in_year, &month)?;
        let month_ended = day.last_of_month() < kept_from;
        let year_ended = day.last_of_year() < kept_from;
        let in_use = !remove_empty(&in_month, &of_day)? || !month_ended;
        if in_use || !remove_empty(&in_year, &month)? || !year_ended {
            return Ok(());
        }
        remove_empty(&self.root, &year).map(drop)
    }
}

/// Removes a directory, unless something is in it, or it is not one.
fn remove_empty(parent: &OwnedFd, name: impl AsRef<OsStr>) -> Result<bool> {
    ask(Operation::RemoveDirectory)?;
    match unlinkat(parent, name.as_ref(), AtFlags::REMOVEDIR) {
        Ok(()) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Opens a directory in another one. What is not a directory counts as gone.
fn enter(parent: impl AsFd, name: impl AsRef<OsStr>) -> Result<OwnedFd> {
    ask(Operation::OpenDirectory)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(parent, name.as_ref(), flags, Mode::empty()) {
        Err(Errno::LOOP | Errno::NOTDIR) => Err(Errno::NOENT),
        other => other,
    }
}

/// The names in a directory that are numbers of exactly `digits` digits.
fn numbers(directory: &OwnedFd, digits: usize) -> Result<Vec<i16>> {
    let mut numbers = Vec::new();
    for entry in list(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name.len() == digits && name.iter().all(u8::is_ascii_digit) {
            let number = entry.file_name().to_str().ok();
            numbers.extend(number.and_then(|number| number.parse::<i16>().ok()));
        }
    }
    Ok(numbers)
}

/// The names in a directory that may be directories. Links are not.
fn directories(directory: &OwnedFd) -> Result<Vec<OsString>> {
    let mut names = Vec::new();
    let mut first = FirstNames::default();
    for entry in list(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if first.come_again(name) {
            break;
        }
        if matches!(entry.file_type(), FileType::Directory | FileType::Unknown) {
            names.push(OsStr::from_bytes(name.to_bytes()).to_owned());
        }
    }
    Ok(names)
}

/// Begins to read a directory.
fn list(directory: &OwnedFd) -> Result<Dir> {
    ask(Operation::List)?;
    Dir::read_from(directory)
}

/// Whether an operation may be done.
fn ask(operation: Operation) -> Result<()> {
    disk::ask(operation).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// `None` for what is gone.
fn gone<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn file(name: &CStr, stat: &Stat) -> Entry {
    // A time before 1970 is as old as it gets.
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
    let nanos = u64::from(u32::try_from(stat.st_mtime_nsec).unwrap_or(0));
    Entry {
        modified: seconds.saturating_mul(1_000_000_000).saturating_add(nanos),
        name: name.to_bytes().to_owned(),
        blocks: u32::try_from(stat.st_blocks).unwrap_or(u32::MAX),
    }
}
