//! The published files in their directories, accessed through descriptors, so that a symbolic link
//! that appears between two steps is not followed either.

use std::ffi::{CStr, OsStr};
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

/// The open directory of a day.
pub(super) struct Directory {
    descriptor: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Removes a file.
    pub(super) fn remove(&self, entry: &Entry) -> Result<()> {
        ask(Operation::Remove)?;
        unlinkat(&self.descriptor, &*entry.name, AtFlags::empty())
    }

    /// Where a file in it is, for errors.
    pub(super) fn path_of(&self, entry: &Entry) -> PathBuf {
        self.path.join(OsStr::from_bytes(&entry.name))
    }
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
pub(super) fn place(published: &Path) -> Option<(Date, &OsStr)> {
    let mut names = published.iter().rev();
    let name = names.next()?;
    let mut number = || names.next()?.to_str()?.parse::<i16>().ok();
    let [day, month] = [number()?, number()?].map(i8::try_from);
    Some((Date::new(number()?, month.ok()?, day.ok()?).ok()?, name))
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
            let Some(in_year) = gone(enter(&self.root, &format!("{year:04}")))? else {
                continue;
            };
            for month in numbers(&in_year, 2)? {
                let Some(in_month) = gone(enter(&in_year, &format!("{month:02}")))? else {
                    continue;
                };
                let dates = numbers(&in_month, 2)?.into_iter().filter_map(|day| {
                    let [month, day] = [month, day].map(i8::try_from);
                    Date::new(year, month.ok()?, day.ok()?).ok()
                });
                days.extend(dates);
            }
        }
        days.sort_unstable();
        Ok(days)
    }

    /// Opens a day's directory.
    pub(super) fn open_day(&self, day: Date) -> Result<Directory> {
        let [year, month, of_day] = path(day);
        let descriptor = enter(enter(enter(&self.root, &year)?, &month)?, &of_day)?;
        Ok(Directory {
            descriptor,
            path: self.path_of(day),
        })
    }

    /// Shows each file of a day that is ours, for as long as it goes on.
    pub(super) fn each(&self, day: Date, mut show: impl FnMut(Entry)) -> Result<()> {
        let directory = self.open_day(day)?;
        let mut first = FirstNames::default();
        for entry in list(&directory.descriptor)? {
            let entry = entry?;
            let name = entry.file_name();
            if !self.goes_on() || first.come_again(name) {
                break;
            }
            let ours = name.to_str().ok().and_then(FileName::parse_published);
            if ours.is_none() {
                continue;
            }
            let stat = ask(Operation::Look)
                .and_then(|()| statat(&directory.descriptor, name, AtFlags::SYMLINK_NOFOLLOW));
            if let Some(stat) = gone(stat)?
                && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            {
                show(file(name, &stat));
            }
        }
        Ok(())
    }

    /// Removes a day's directory if nothing is in it, then its month's and its year's, but not
    /// those that `kept_from` or a later day is in.
    pub(super) fn remove_if_empty(&self, day: Date, kept_from: Date) -> Result<()> {
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
fn remove_empty(parent: &OwnedFd, name: &str) -> Result<bool> {
    ask(Operation::RemoveDirectory)?;
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Opens a directory in another one. What is not a directory counts as gone.
fn enter(parent: impl AsFd, name: &str) -> Result<OwnedFd> {
    ask(Operation::OpenDirectory)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(parent, name, flags, Mode::empty()) {
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
