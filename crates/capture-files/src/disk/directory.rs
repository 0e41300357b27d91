//! A directory that is open.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{
    Access, AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, Stat, XattrFlags, accessat, fchmod,
    fchown, fgetxattr, fsetxattr, fstat, fsync, linkat, mkdirat, openat, renameat_with, statat,
    unlinkat,
};
use rustix::io::Errno;
use rustix::process::Gid;

use super::faults::{Operation, ask};
use super::file::{Opened, OwnFile};
use super::first_names::FirstNames;
use super::trust::{Sharing, gives};

/// What `st_blocks` counts in (stat(3type)).
pub(crate) const STAT_BLOCK: u64 = 512;

/// A directory that is open, so that it stays the same whatever happens to its name.
#[derive(Debug)]
pub(crate) struct Directory {
    descriptor: OwnedFd,
    /// Where it was when it was opened, for people to read.
    path: PathBuf,
}

/// The most that an attribute may say, in bytes.
const ATTRIBUTE_LEN: usize = 64;

/// What is in a directory.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: OsString,
    pub(crate) kind: Kind,
}

/// What an entry is. Links are not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
    Other,
}

impl Directory {
    /// A directory whose descriptor is known to be one.
    pub(super) const fn new(descriptor: OwnedFd, path: PathBuf) -> Self {
        Self { descriptor, path }
    }

    /// Where it was when it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where something in it is.
    pub(crate) fn path_of(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.path.join(name.as_ref())
    }

    /// Opens a directory in it.
    pub(crate) fn enter(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        ask(Operation::OpenDirectory)?;
        let name = name.as_ref();
        Ok(Self {
            descriptor: open_directory(&self.descriptor, name, OFlags::RDONLY)?,
            path: self.path.join(name),
        })
    }

    /// Makes a directory in it, unless there is one.
    pub(crate) fn make(&self, name: &OsStr, mode: Mode) -> io::Result<()> {
        ask(Operation::MakeDirectory)?;
        make(&self.descriptor, name, mode)
    }

    /// Makes a file in it, to be appended to, whose name must be free.
    pub(crate) fn create(&self, name: &str, mode: Mode) -> io::Result<OwnFile> {
        ask(Operation::Create)?;
        let flags = OFlags::CREATE | OFlags::EXCL | APPENDING | SAFELY;
        let made = openat(&self.descriptor, name, flags, mode)?;
        Ok(OwnFile::made(made))
    }

    /// Opens a file in it to append to it.
    pub(crate) fn open_to_append(&self, name: &OsStr) -> io::Result<Opened> {
        self.open(name, APPENDING)
    }

    /// Opens a file in it to read it, and to cut it.
    pub(crate) fn open_to_cut(&self, name: &OsStr) -> io::Result<Opened> {
        self.open(name, OFlags::RDWR)
    }

    fn open(&self, name: &OsStr, access: OFlags) -> io::Result<Opened> {
        ask(Operation::Open)?;
        match openat(&self.descriptor, name, access | SAFELY, Mode::empty()) {
            Ok(file) => OwnFile::existing(file),
            // A symbolic link; a FIFO that nobody reads, or a socket.
            Err(Errno::LOOP | Errno::NXIO) => Ok(Opened::Foreign("it is not a regular file")),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a file of this directory a name in another, unless that is taken.
    pub(crate) fn rename_new(&self, name: &OsStr, to: &Self, new_name: &str) -> io::Result<()> {
        let (from, into) = (&self.descriptor, &to.descriptor);
        let renamed = ask(Operation::Rename).and_then(|()| {
            Ok(renameat_with(
                from,
                name,
                into,
                new_name,
                RenameFlags::NOREPLACE,
            )?)
        });
        match renamed.as_ref().map_err(Errno::from_io_error) {
            // A filesystem that cannot refuse to replace can refuse a second link.
            Err(Some(Errno::INVAL | Errno::NOSYS)) => {
                ask(Operation::Link)?;
                linkat(from, name, into, new_name, AtFlags::empty())?;
                match self.remove(name) {
                    // It must not have both names: what is tried again would be there twice.
                    Err(error) if to.remove(new_name).is_ok() => Err(error),
                    Ok(()) | Err(_) => Ok(()),
                }
            }
            _ => renamed,
        }
    }

    /// Removes a file, or any other name that is no directory's.
    pub(crate) fn remove(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        ask(Operation::Remove)?;
        Ok(unlinkat(&self.descriptor, name.as_ref(), AtFlags::empty())?)
    }

    /// Removes a directory and those in it down to a depth, as far as they are empty.
    pub(crate) fn remove_empty(&self, name: &OsStr, depth: u32) {
        if let Some(depth) = depth.checked_sub(1)
            && let Ok(directory) = self.enter(name)
            && let Ok(entries) = directory.entries()
        {
            for entry in entries.flatten() {
                if entry.kind == Kind::Directory {
                    directory.remove_empty(&entry.name, depth);
                }
            }
        }
        // Refused if something is in it, as it should be.
        let _refused = ask(Operation::RemoveDirectory)
            .and_then(|()| Ok(unlinkat(&self.descriptor, name, AtFlags::REMOVEDIR)?));
    }

    /// Whether there is something of this name.
    pub(crate) fn has(&self, name: &str) -> io::Result<bool> {
        ask(Operation::Look)?;
        match statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a name in it leads to this file.
    pub(crate) fn leads_to(&self, name: &OsStr, file: &OwnFile) -> io::Result<bool> {
        ask(Operation::Look)?;
        Ok(is_same(&self.look(name)?, &file.stat()?))
    }

    /// Whether the same file has this name in another directory, too.
    pub(crate) fn shares(&self, name: &OsStr, other: &Self) -> io::Result<bool> {
        ask(Operation::Look)?;
        Ok(is_same(&self.look(name)?, &other.look(name)?))
    }

    /// What a name in it leads to, which may be a link.
    fn look(&self, name: &OsStr) -> io::Result<Stat> {
        Ok(statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// When a file in it changed, or got its name, last: since 1970.
    pub(crate) fn changed(&self, name: &OsStr) -> io::Result<Duration> {
        let stat = self.look(name)?;
        let time = |seconds, nanos| {
            let seconds = u64::try_from(seconds).unwrap_or_default();
            Duration::new(seconds, u32::try_from(nanos).unwrap_or_default())
        };
        let written = time(stat.st_mtime, stat.st_mtime_nsec);
        Ok(written.max(time(stat.st_ctime, stat.st_ctime_nsec)))
    }

    /// The disk space that a file in it takes, in bytes.
    pub(crate) fn space(&self, name: &OsStr) -> io::Result<u64> {
        let stat = self.look(name)?;
        Ok(u64::try_from(stat.st_blocks).unwrap_or_default() * STAT_BLOCK)
    }

    /// What a short attribute of it says.
    pub(crate) fn attribute(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut value = vec![0; ATTRIBUTE_LEN];
        let length = fgetxattr(&self.descriptor, name, &mut value)?;
        value.truncate(length);
        Ok(value)
    }

    /// Sets an attribute of it, which not every filesystem has.
    pub(crate) fn set_attribute(&self, name: &str, value: &[u8]) -> io::Result<()> {
        let flags = XattrFlags::empty();
        Ok(fsetxattr(&self.descriptor, name, value, flags)?)
    }

    /// Whether this process may make, rename and remove names in it.
    pub(crate) fn may_change(&self) -> io::Result<()> {
        let access = Access::WRITE_OK | Access::EXEC_OK;
        Ok(accessat(&self.descriptor, ".", access, AtFlags::EACCESS)?)
    }

    /// What is in it.
    pub(crate) fn entries(&self) -> io::Result<Entries> {
        ask(Operation::List)?;
        Ok(Entries {
            names: Dir::read_from(&self.descriptor)?,
            first: FirstNames::default(),
        })
    }

    /// Makes names in it safe against a power loss.
    pub(crate) fn sync(&self) -> io::Result<()> {
        ask(Operation::Sync)?;
        Ok(fsync(&self.descriptor)?)
    }

    /// What it is.
    pub(super) fn stat(&self) -> io::Result<Stat> {
        Ok(fstat(&self.descriptor)?)
    }

    /// Lets everything that is made in it from now on have this group.
    pub(super) fn share(&self, group: Gid, sharing: Sharing) -> io::Result<()> {
        let stat = self.stat()?;
        if stat.st_gid != group.as_raw() {
            fchown(&self.descriptor, None, Some(group))?;
        }
        let (mode, wanted) = (stat.st_mode & 0o7777, sharing.inherited(stat.st_mode));
        if mode != wanted.as_raw_mode() {
            fchmod(&self.descriptor, wanted)?;
        }
        // The kernel ignores the bit if this process may not set it for this group.
        if gives(&self.stat()?, group) {
            Ok(())
        } else {
            Err(Errno::PERM.into())
        }
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// No link is followed, nothing waits, and no program inherits the descriptor.
const SAFELY: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// What is written goes to the end, also after the end was cut off.
const APPENDING: OFlags = OFlags::WRONLY.union(OFlags::APPEND);

/// Whether both are of one file.
fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// Opens a directory in another one, and nothing else.
pub(super) fn open_directory(
    parent: impl AsFd,
    name: &OsStr,
    access: OFlags,
) -> io::Result<OwnedFd> {
    let flags = access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

/// Makes a directory in another one, unless there is something of that name.
pub(super) fn make(parent: impl AsFd, name: &OsStr, mode: Mode) -> io::Result<()> {
    match mkdirat(parent, name, mode) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What is in a directory, as it is read.
#[derive(Debug)]
pub(crate) struct Entries {
    names: Dir,
    first: FirstNames,
}

impl Iterator for Entries {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.names.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error.into())),
            };
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            if self.first.come_again(entry.file_name()) {
                return None;
            }
            let name = OsString::from_vec(name.to_vec());
            let kind = self.kind(&name, entry.file_type());
            return Some(kind.map(|kind| Entry { name, kind }));
        }
    }
}

impl Entries {
    /// What an entry is, also on filesystems whose directories do not say.
    fn kind(&self, name: &OsStr, kind: FileType) -> io::Result<Kind> {
        let kind = if kind == FileType::Unknown {
            let descriptor = self.names.fd()?;
            let stat = statat(descriptor, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW)?;
            FileType::from_raw_mode(stat.st_mode)
        } else {
            kind
        };
        Ok(if kind.is_dir() {
            Kind::Directory
        } else if kind.is_file() {
            Kind::File
        } else {
            Kind::Other
        })
    }
}
