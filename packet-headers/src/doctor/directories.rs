//! The directories of files: whether they exist or can be created, can be written, allow renaming
//! from one to the other, and are not in use.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Error, Result};
use rustix::fs::{Access, AtFlags, CWD, StatxFlags, accessat, statx};
use rustix::io::Errno;

use super::finding::Group;
use super::space::{self, Space};
use crate::config::Files;
use crate::store::directories::diagnostic;
use capture_files::{Directories, DirectoryError, DirectoryLock};

pub(super) fn check(files: &Files) -> Group {
    let mut group = Group::new("files");
    let data = place(&mut group, "datadir", &files.data);
    let partial = place(&mut group, "partial-dir", &files.partial);
    trusted(&mut group, "datadir", &data, Directories::check_data);
    trusted(
        &mut group,
        "partial-dir",
        &partial,
        Directories::check_partial,
    );
    if let (Some(data), Some(partial)) = (&data, &partial) {
        pair(&mut group, data, partial);
    }
    if let Some(data) = &data {
        match Space::of(&data.there) {
            Ok(space) => space::judge(&mut group, space, files.retention.disk),
            Err(error) => group.mention("filesystem", format!("{error:#}")),
        }
    }
    let mut free = true;
    for (name, place) in [("datadir", &data), ("partial-dir", &partial)] {
        if let Some(place) = place.as_ref().filter(|place| place.is_made) {
            free &= locked(&mut group, name, &place.there);
        }
    }
    if let Some(partial) = partial.filter(|partial| free && partial.is_made) {
        left(&mut group, &partial.there);
    }
    group
}

/// A directory, or the place where it will be created.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// The directory itself, or its nearest ancestor that exists.
    there: PathBuf,
    /// Whether the directory itself exists.
    is_made: bool,
    /// Whether not even its parent exists.
    is_orphan: bool,
    /// The directory's path without symbolic links, even if it does not exist yet.
    real: PathBuf,
    /// The ID of its mount: files can only be renamed within one.
    mount: u64,
}

impl Place {
    fn find(path: &Path) -> Result<Self> {
        let mut there = path;
        let mut rest: Vec<OsString> = Vec::new();
        let real = loop {
            match there.canonicalize() {
                Ok(real) => break real,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    rest.extend(there.file_name().map(Into::into));
                    there = there
                        .parent()
                        .context("not even the root directory exists")?;
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("resolving {}", there.display()));
                }
            }
        };
        let mount = statx(CWD, &real, AtFlags::empty(), StatxFlags::MNT_ID)
            .with_context(|| format!("reading the mount of {}", there.display()))?
            .stx_mnt_id;
        Ok(Self {
            there: there.to_owned(),
            is_made: rest.is_empty(),
            is_orphan: rest.len() > 1,
            real: rest.iter().rev().fold(real, |path, name| path.join(name)),
            mount,
        })
    }

    /// Checks that this user may create files in it.
    fn may_write(&self) -> Result<(), Errno> {
        let access = Access::WRITE_OK | Access::EXEC_OK;
        accessat(CWD, &self.there, access, AtFlags::EACCESS)
    }
}

/// Checks one directory. Returns its place for the checks of both together.
fn place(group: &mut Group, name: &str, path: &Path) -> Option<Place> {
    let elsewhere = format!("use another directory with --{name}");
    let place = match Place::find(path) {
        Ok(place) => place,
        Err(error) => {
            group.error(name, &error, &elsewhere);
            return None;
        }
    };
    let (wanted, there) = (path.display(), place.there.display());
    if !place.there.is_dir() {
        let found = format!("{there} exists, and is not a directory");
        group.problem(name, found, &format!("remove it, or {elsewhere}"));
        return None;
    }
    if place.is_orphan {
        let parent = path.parent().unwrap_or(path).display();
        let help = format!("make it (mkdir -p {parent}), or {elsewhere}");
        group.problem(name, format!("{parent} does not exist"), &help);
        return Some(place);
    }
    match place.may_write() {
        Ok(()) if place.is_made => group.ok(name, format!("{wanted} exists and can be written")),
        Ok(()) => group.ok(
            name,
            format!("{wanted} does not exist yet; {there} can be written"),
        ),
        Err(errno) => {
            let help = match errno {
                Errno::ROFS => format!("remount it (mount -o remount,rw …), or {elsewhere}"),
                _ => format!("let this user write to it (chown, chmod), or {elsewhere}"),
            };
            let why = io::Error::from(errno);
            group.problem(name, format!("{there} cannot be written: {why}"), &help);
        }
    }
    Some(place)
}

/// Checks that nobody else could exchange what is in a directory that exists.
fn trusted(
    group: &mut Group,
    name: &str,
    place: &Option<Place>,
    check: impl Fn(&Path) -> Result<(), DirectoryError>,
) {
    let made = place.as_ref().filter(|place| place.is_made);
    if let Some(Err(untrusted)) = made.map(|place| check(&place.there)) {
        group.diagnostic(name, diagnostic(untrusted));
    }
}

/// Checks that files can be renamed from one to the other, and that neither is within the other: a
/// reader of the data directory must not find partial files.
fn pair(group: &mut Group, data: &Place, partial: &Place) {
    const NAME: &str = "publishing";
    if let Err(nested) = Directories::check_apart(&data.real, &partial.real) {
        group.diagnostic(NAME, diagnostic(nested));
    } else if data.mount == partial.mount {
        group.ok(NAME, "by rename: both directories are on one filesystem");
    } else {
        let (data, partial) = (data.there.display(), partial.there.display());
        group.problem(
            NAME,
            format!("{partial} and {data} are on different filesystems or mounts"),
            "use a --partial-dir next to the data directory, on the same mount",
        );
    }
}

/// Checks that no other process uses the directory.
fn locked(group: &mut Group, name: &str, directory: &Path) -> bool {
    match DirectoryLock::check(directory) {
        Ok(()) => return true,
        Err(in_use @ DirectoryError::InUse { .. }) => group.diagnostic(name, diagnostic(in_use)),
        Err(error) => group.note(
            name,
            format!(
                "{:#}: nothing keeps a second packet-headers away",
                Error::from(error)
            ),
            "make sure that no other one uses it, or use a filesystem that can lock directories",
        ),
    }
    false
}

/// Reports what earlier runs left in the partial directory.
fn left(group: &mut Group, partial: &Path) {
    const NAME: &str = "earlier runs";
    let entries = fs::read_dir(partial).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = match entries {
        Ok(entries) => entries,
        Err(error) => {
            let found = format!("listing {}: {error}", partial.display());
            return group.note(NAME, found, "let this user read the directory");
        }
    };
    let is_run = |entry: &fs::DirEntry| {
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        is_directory && Directories::is_run(&entry.path())
    };
    let (runs, foreign): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| is_run(entry));
    if !runs.is_empty() {
        let files: usize = runs.iter().map(|run| count(&run.path())).sum();
        group.mention(
            NAME,
            format!("left {files} partial files; the next start publishes them"),
        );
    }
    if let Some(first) = foreign.first() {
        let found = format!("{} is not ours, and is left alone", first.path().display());
        group.note(NAME, found, "remove it once you know what it is");
    }
    if entries.is_empty() {
        group.ok(NAME, "left nothing behind");
    }
}

/// The number of files below a directory.
fn count(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => count(&entry.path()),
            Ok(_) | Err(_) => 1,
        })
        .sum()
}

#[cfg(test)]
mod tests;
