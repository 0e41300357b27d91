//! One process for one directory.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::DirectoryError;
use crate::disk::Directory;
use crate::error::{Doing as _, FileError, FileStep};

/// What is being done, for errors.
const LOCKING: &str = "locking the directory";

/// A directory that no other process may use. It is free again when this is dropped, or when the
/// process ends in whatever way.
#[derive(Debug)]
pub struct DirectoryLock {
    directory: PathBuf,
    /// Held, not used; or why it cannot be had.
    held: Result<File, io::Error>,
}

impl DirectoryLock {
    /// Locks a directory. A filesystem that cannot lock directories, as some network filesystems,
    /// is no error: [`unlocked`](Self::unlocked) says so.
    ///
    /// # Errors
    /// If another process has locked it, with its pid where that can be seen, or it cannot be
    /// opened.
    pub fn take(directory: &Path) -> Result<Self, DirectoryError> {
        Self::lock(directory, open(directory)?)
    }

    /// Locks a directory that is open.
    pub(super) fn hold(directory: &Directory) -> Result<Self, DirectoryError> {
        let path = directory.path();
        let file = directory.as_fd().try_clone_to_owned();
        Self::lock(path, file.doing(FileStep::Open, LOCKING, path)?.into())
    }

    fn lock(directory: &Path, file: File) -> Result<Self, DirectoryError> {
        let held = match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => return Err(in_use(directory, &file)),
            Err(TryLockError::Error(error)) => Err(error),
        };
        Ok(Self {
            directory: directory.to_owned(),
            held,
        })
    }

    /// Tells whether a directory could be locked, without locking it.
    ///
    /// # Errors
    /// If another process has locked it, it cannot be opened, or its filesystem cannot lock
    /// directories.
    pub fn check(directory: &Path) -> Result<(), DirectoryError> {
        let file = open(directory)?;
        // Shared, and released at once.
        match file.try_lock_shared() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(in_use(directory, &file)),
            Err(TryLockError::Error(error)) => {
                Err(FileError::new(FileStep::Open, LOCKING, directory, error).into())
            }
        }
    }

    /// The directory, and why its filesystem cannot lock it: nothing keeps others away then.
    #[must_use]
    pub fn unlocked(&self) -> Option<(&Path, &io::Error)> {
        let error = self.held.as_ref().err()?;
        Some((&self.directory, error))
    }
}

fn open(directory: &Path) -> Result<File, DirectoryError> {
    Ok(File::open(directory).doing(FileStep::Open, LOCKING, directory)?)
}

fn in_use(directory: &Path, file: &File) -> DirectoryError {
    DirectoryError::InUse {
        directory: directory.to_owned(),
        pid: holder(file),
    }
}

/// The process that holds the lock on a file.
fn holder(file: &File) -> Option<u32> {
    let inode = file.metadata().ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| locked_by(line, inode))
}

/// The process in a line of /proc/locks (proc_locks(5)), if it has locked the whole of this inode:
/// `1: FLOCK  ADVISORY  WRITE 702 00:14:2412 0 EOF`. The device is ignored: for some filesystems it
/// differs from the one that stat(2) reports.
fn locked_by(line: &str, inode: u64) -> Option<u32> {
    let mut words = line.split_whitespace().skip(1);
    if words.next()? != "FLOCK" {
        return None;
    }
    let pid = words.nth(2)?.parse().ok()?;
    let (_, locked) = words.next()?.rsplit_once(':')?;
    (locked.parse() == Ok(inode)).then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_locked_once_and_the_other_is_named() {
        let temp = tempfile::tempdir().unwrap();
        DirectoryLock::check(temp.path()).unwrap();
        let lock = DirectoryLock::take(temp.path()).unwrap();
        assert!(lock.unlocked().is_none());
        for refused in [
            DirectoryLock::take(temp.path()).map(drop),
            DirectoryLock::check(temp.path()),
        ] {
            let error = refused.unwrap_err().to_string();
            let pid = format!("pid {}", std::process::id());
            assert!(error.contains(&pid), "{error}");
        }
        drop(lock);
        DirectoryLock::take(temp.path()).unwrap();
    }

    #[test]
    fn the_holder_is_found_among_other_locks() {
        let inode = 2412;
        let lines = [
            ("1: POSIX  ADVISORY  WRITE 701 00:14:2412 0 EOF", None),
            ("2: FLOCK  ADVISORY  WRITE 702 00:14:2413 0 EOF", None),
            ("2: -> FLOCK  ADVISORY  WRITE 703 00:14:2412 0 EOF", None),
            ("3: FLOCK  ADVISORY  WRITE 704 fe:00:2412 0 EOF", Some(704)),
            ("", None),
        ];
        for (line, pid) in lines {
            assert_eq!(locked_by(line, inode), pid, "{line}");
        }
    }
}
