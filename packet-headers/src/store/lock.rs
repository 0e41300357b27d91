//! One daemon for one data directory.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use model::Diagnostic;

/// A directory that no other daemon may use; free again when this is dropped, or when the process
/// ends in whatever way.
#[derive(Debug)]
pub struct DirectoryLock(#[expect(dead_code, reason = "held, not used")] Option<File>);

impl DirectoryLock {
    /// Locks a directory.
    ///
    /// A filesystem that cannot lock (some network filesystems cannot lock directories) is said in
    /// the log, and used.
    ///
    /// # Errors
    /// When another process has locked it, with its pid if it can be seen from here.
    pub fn take(directory: &Path) -> Result<Self> {
        let what = || format!("locking the directory {}", directory.display());
        let file = File::open(directory).with_context(what)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(Some(file))),
            Err(TryLockError::WouldBlock) => Err(taken(directory, &file).into()),
            Err(TryLockError::Error(error)) => {
                tracing::warn!(
                    "{}: {error}; make sure that no other packet-headers uses it",
                    what()
                );
                Ok(Self(None))
            }
        }
    }
}

/// Says why a directory could not be locked, if it cannot be, without locking it: `None` when it can.
///
/// # Errors
/// When it cannot be opened, or its filesystem cannot lock directories.
pub(crate) fn obstacle(directory: &Path) -> Result<Option<Diagnostic>> {
    let what = || format!("locking the directory {}", directory.display());
    let file = File::open(directory).with_context(what)?;
    // Shared, and given back at once.
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(taken(directory, &file))),
        Err(TryLockError::Error(error)) => Err(error).with_context(what),
    }
}

fn taken(directory: &Path, file: &File) -> Diagnostic {
    let directory = directory.display();
    let pid = holder(file).map_or_else(String::new, |pid| format!(", pid {pid}"));
    Diagnostic::new(
        format!("{directory} is used by another packet-headers{pid}"),
        "stop it, or give this one another --datadir and --partial-dir",
    )
}

/// The process that holds the lock of a file.
fn holder(file: &File) -> Option<u32> {
    let inode = file.metadata().ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| locked_by(line, inode))
}

/// The process of a line of /proc/locks (proc_locks(5)), if it has a lock of the whole of this
/// inode: `1: FLOCK  ADVISORY  WRITE 702 00:14:2412 0 EOF`. The device is not looked at: that of
/// some filesystems differs from what stat(2) says.
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
        let lock = DirectoryLock::take(temp.path()).unwrap();
        let error = DirectoryLock::take(temp.path()).unwrap_err().to_string();
        let pid = format!("pid {}", std::process::id());
        assert!(error.contains(&pid), "{error}");
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
