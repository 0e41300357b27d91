//! A directory that the owner of the host has chosen, and the directories of days below it.

use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, OFlags, statat};
use rustix::io::Errno;
use rustix::process::Gid;

use super::directory::{Directory, Kind, make, open_directory};
use super::faults::is_planned;
use super::trust::{Sharing, Untrusted, check};
use crate::error::{Doing as _, FileError, FileStep};

/// A directory that is held open, so that files go where they went at the start, and the last
/// directories in it that were used.
///
/// Its path may have symbolic links in it, which are followed once, at the start.
#[derive(Debug)]
pub(crate) struct Top {
    /// As it was given.
    path: PathBuf,
    /// The same without symbolic links.
    real: PathBuf,
    sharing: Sharing,
    /// The group of what is made in it, if one was chosen.
    group: OnceLock<Gid>,
    held: Mutex<Held>,
}

/// What is open.
#[derive(Debug)]
struct Held {
    top: Arc<Directory>,
    /// Those that were used last, the latest last.
    below: Vec<(PathBuf, Arc<Directory>)>,
    /// When all of them were in their places.
    looked: Instant,
}

/// How many directories below it are kept open: today's, and some of the days on which connections
/// began that end today.
const KEPT: usize = 4;

/// How long a directory is used without another look at whether its name still leads to it.
const LOOK: Duration = Duration::from_secs(1);

/// What is being done, for errors.
const OPENING: &str = "opening the directory";

/// How deep the directories are that published files are in: year, month and day.
const DEPTH: u32 = 3;

/// A step towards an open directory that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TopError {
    #[error(transparent)]
    Io(#[from] FileError),
    #[error("{0}")]
    Untrusted(Untrusted),
}

impl Top {
    /// Makes the directory if there is none, but not its parents, and opens it.
    ///
    /// # Errors
    /// If it cannot be made or opened, or must not be used.
    pub(crate) fn prepare(path: &Path, sharing: Sharing) -> Result<Self, TopError> {
        let mut builder = DirBuilder::new();
        builder.mode(sharing.mode().as_raw_mode());
        let made = match builder.create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            made => made,
        };
        made.doing(FileStep::MakeDirectory, "creating the directory", path)?;
        let real = path.canonicalize();
        let real = real.doing(FileStep::Open, "resolving the directory", path)?;
        let top = walk(&real, None).map(|top| Directory::new(top, path.to_owned()));
        let top = top.doing(FileStep::Open, OPENING, path)?;
        let stat = top.stat().doing(FileStep::Open, OPENING, path)?;
        check(sharing, &stat).map_err(TopError::Untrusted)?;
        Ok(Self {
            path: path.to_owned(),
            real,
            sharing,
            group: OnceLock::new(),
            held: Mutex::new(Held {
                top: Arc::new(top),
                below: Vec::new(),
                looked: Instant::now(),
            }),
        })
    }

    /// As it was given.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The same without symbolic links.
    pub(crate) fn real(&self) -> &Path {
        &self.real
    }

    /// The group of what is made in it, if one was chosen.
    pub(crate) fn group(&self) -> Option<Gid> {
        self.group.get().copied()
    }

    /// Lets what is made in it from now on have this group. Where the group may read, it may read
    /// the directories that are there already, too, as far as they are ours.
    ///
    /// # Errors
    /// If this process may not do that.
    pub(crate) fn share(&self, group: Gid) -> Result<(), FileError> {
        let top = self.top(FileStep::Open)?;
        let shared = top.share(group, self.sharing);
        shared.doing(FileStep::MakeDirectory, "setting the group of", &self.path)?;
        if self.sharing == Sharing::WithGroup {
            share_below(&top, group, DEPTH);
        }
        // Chosen once, at the start.
        let _first = self.group.set(group);
        Ok(())
    }

    /// The directory itself. If its name has come to lead elsewhere, it is opened or made again, but
    /// no symbolic link is followed this time.
    ///
    /// # Errors
    /// If that is not possible.
    pub(crate) fn top(&self, step: FileStep) -> Result<Arc<Directory>, FileError> {
        self.current(true).doing(step, OPENING, &self.path)
    }

    /// The same, for those who only look: it is not made again.
    ///
    /// # Errors
    /// If it is not there, or cannot be opened.
    pub(crate) fn existing(&self) -> io::Result<Arc<Directory>> {
        self.current(false)
    }

    fn current(&self, make: bool) -> io::Result<Arc<Directory>> {
        let held = Arc::clone(&self.held().top);
        let in_place = self.is_in_place(&held)?;
        let top = if in_place {
            held
        } else {
            Arc::new(self.again(make)?)
        };
        let mut held = self.held();
        if !in_place || !is_recent(held.looked) {
            held.below.clear();
            held.looked = Instant::now();
            held.top = Arc::clone(&top);
        }
        Ok(top)
    }

    /// The directory at a path below it, which is made if there is none, and with `sync` in such a
    /// way that a power loss does not remove it. What happens to its name is noticed after a
    /// second, or when [`Self::look_again`] is called.
    ///
    /// # Errors
    /// If it cannot be opened or made.
    pub(crate) fn below(
        &self,
        path: &Path,
        step: FileStep,
        sync: bool,
    ) -> Result<Arc<Directory>, FileError> {
        if let Some(known) = self.held().known(path) {
            return Ok(known);
        }
        let mut directory = self.top(step)?;
        for name in path {
            directory = Arc::new(self.enter(&directory, name, (step, sync))?);
        }
        self.held().keep(path, &directory);
        Ok(directory)
    }

    /// Opens a directory in another one. Makes it if there is none.
    fn enter(
        &self,
        parent: &Directory,
        name: &OsStr,
        (step, sync): (FileStep, bool),
    ) -> Result<Directory, FileError> {
        let path = parent.path_of(name);
        match parent.enter(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other.doing(step, OPENING, &path),
        }
        let made = parent.make(name, self.sharing.mode());
        made.doing(FileStep::MakeDirectory, "creating the directory", &path)?;
        if sync {
            let synced = parent.sync();
            synced.doing(FileStep::Finish, "syncing", parent.path())?;
        }
        parent.enter(name).doing(step, OPENING, &path)
    }

    /// Forgets which directories are below it: one of them turned out to be gone.
    pub(crate) fn look_again(&self) {
        self.held().below.clear();
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the name of the directory still leads to it.
    fn is_in_place(&self, held: &Directory) -> io::Result<bool> {
        let held = held.stat()?;
        match statat(CWD, &self.real, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) => Ok((there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens what its name leads to now. If that is nothing, it can be made.
    fn again(&self, make: bool) -> io::Result<Directory> {
        let top = Directory::new(
            walk(&self.real, make.then_some(self.sharing))?,
            self.path.clone(),
        );
        check(self.sharing, &top.stat()?)
            .map_err(|why| io::Error::new(io::ErrorKind::PermissionDenied, why.to_string()))?;
        if let Some(group) = self.group() {
            // This process may have given up the privilege. Better files that the group cannot read
            // than none.
            let _refused = top.share(group, self.sharing);
        }
        Ok(top)
    }
}

/// Whether everything was in its place a moment ago. In a simulation the real time must not matter.
fn is_recent(looked: Instant) -> bool {
    is_planned() || looked.elapsed() < LOOK
}

impl Held {
    /// A directory that was in its place a moment ago.
    fn known(&self, path: &Path) -> Option<Arc<Directory>> {
        let mut known = self.below.iter().filter(|(known, _)| known == path);
        let (_, directory) = known.next()?;
        is_recent(self.looked).then(|| Arc::clone(directory))
    }

    fn keep(&mut self, path: &Path, directory: &Arc<Directory>) {
        self.below.retain(|(known, _)| known != path);
        if self.below.len() >= KEPT {
            self.below.remove(0);
        }
        self.below.push((path.to_owned(), Arc::clone(directory)));
    }
}

/// Opens a directory at an absolute path without symbolic links. What is missing of it can be made.
fn walk(real: &Path, make_for: Option<Sharing>) -> io::Result<OwnedFd> {
    // The first is the root.
    let mut names = real.iter().skip(1).peekable();
    // Directories above it may be such that this process can pass through, but not list.
    let access = |is_last| {
        if is_last {
            OFlags::RDONLY
        } else {
            OFlags::PATH
        }
    };
    let root = access(names.peek().is_none());
    let mut at = open_directory(CWD, OsStr::new("/"), root)?;
    while let Some(name) = names.next() {
        let access = access(names.peek().is_none());
        at = match (open_directory(&at, name, access), make_for) {
            (Err(error), Some(sharing)) if error.kind() == io::ErrorKind::NotFound => {
                make(&at, name, sharing.mode())?;
                open_directory(&at, name, access)?
            }
            (other, _) => other?,
        };
    }
    Ok(at)
}

/// Shares the directories of days, and of months and years, as far as they are ours.
fn share_below(directory: &Directory, group: Gid, depth: u32) {
    let Some(depth) = depth.checked_sub(1) else {
        return;
    };
    for entry in directory.entries().into_iter().flatten().flatten() {
        let digits = entry.name.as_bytes().iter().all(u8::is_ascii_digit);
        if digits
            && entry.kind == Kind::Directory
            && let Ok(below) = directory.enter(&entry.name)
        {
            // Those of others are for them to share.
            let _refused = below.share(group, Sharing::WithGroup);
            share_below(&below, group, depth);
        }
    }
}
