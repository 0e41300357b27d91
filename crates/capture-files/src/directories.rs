//! Where files grow and where they appear: two directories on one filesystem.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustix::fs::{AtFlags, CWD, Mode, statat};
use rustix::process::Gid;

use crate::boot::Boot;
use crate::disk::{Directory, Opened, OwnFile, Sharing, Top, TopError, Untrusted, check};
use crate::error::{Doing as _, FileError, FileStep};
use crate::file_name::FileName;
use crate::group_sync::each_at_once;
use crate::partial_file::PartialFile;

mod error;
mod free_name;
mod lock;

pub use error::DirectoryError;
use free_name::{FreeName, Named};
pub use lock::DirectoryLock;

/// The data directory, in which files appear whole, and the directory in which they grow until
/// then. Cheap to clone.
///
/// ```
/// use capture_files::{Directories, DirectoryError, partial_directory};
///
/// let home = tempfile::tempdir()?;
/// let data = home.path().join("captures");
/// let directories = Directories::prepare(&data, &partial_directory(&data))?.with_fsync(true);
/// assert_eq!(directories.partial(), home.path().join("captures.partial"));
///
/// // They belong to whoever has prepared them.
/// let other = Directories::prepare(&data, &home.path().join("elsewhere"));
/// assert!(matches!(other, Err(DirectoryError::InUse { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Directories {
    held: Arc<Held>,
    fsync: bool,
    /// The boot of the host, where the kernel tells.
    boot: Option<Arc<Boot>>,
}

/// What is held for as long as anybody uses the directories.
#[derive(Debug)]
struct Held {
    data: Top,
    partial: Top,
    /// The name of the directory of this run's partial files.
    run: String,
    locks: [DirectoryLock; 2],
}

/// A file, by the directory that it is in and its name there.
pub(crate) type Place<'a> = (&'a Directory, &'a OsStr);

/// What the directories of runs are called: this prefix, a moment and a process, and a number if
/// that is not enough.
const RUN_PREFIX: &str = "run-";

/// How deep the directories of a run are: its own, the year's, the month's and the day's.
const RUN_DEPTH: u32 = 4;

/// A file that shows at the start that files can be written and moved. One that a crash left behind
/// is replaced by the next.
const MOVE_PROBE: &str = ".capture-files-move";

/// The attribute of the directory of partial files that says which boot of the host has looked at what
/// was there before it.
const BOOT_NOTE: &str = "user.capture-files.boot";

/// The run that published files belong to which a power loss has torn.
const TORN_RUN: &str = "run-torn";

/// A file that shows that files can be written now.
const WRITE_PROBE: &str = ".capture-files-write";

/// The length of that file in bytes: a page, for which there is no room on a full disk.
const WRITE_PROBE_LEN: usize = 4096;

/// The mode of files: the group may read them. While they grow, the mode of the directories that
/// they are in keeps it away.
const FILE_MODE: Mode = Mode::from_raw_mode(0o640);

/// The directory of partial files that belongs to a data directory unless another is chosen: its
/// sibling, so that a rename stays within the filesystem, and programs that watch the data
/// directory see whole files only.
#[must_use]
pub fn partial_directory(data: &Path) -> PathBuf {
    let mut name = data.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

impl Directories {
    /// Makes the directories, but not their parents, locks them, and makes sure that files can be
    /// written, and moved from one to the other.
    ///
    /// Either may be given by a symbolic link; below them, none is followed. What others than the
    /// owner and the group may do is 0750 and 0640 at most, less the umask of the process.
    ///
    /// # Errors
    /// If one cannot be made or written, or others could exchange what is in it, one is within the
    /// other, they are on different filesystems, or another process uses one of them.
    pub fn prepare(data: &Path, partial: &Path) -> Result<Self, DirectoryError> {
        let data = top(data, Sharing::WithGroup)?;
        let partial = top(partial, Sharing::Private)?;
        Self::check_apart(data.real(), partial.real())?;
        let tops = [data.top(FileStep::Open)?, partial.top(FileStep::Open)?];
        let [data_lock, partial_lock] = tops.each_ref().map(|top| DirectoryLock::hold(top));
        let held = Held {
            run: new_run(&tops[1])?,
            data,
            partial,
            locks: [data_lock?, partial_lock?],
        };
        let directories = Self {
            held: Arc::new(held),
            fsync: false,
            boot: Boot::current().ok().map(Arc::new),
        };
        directories.try_moving()?;
        Ok(directories)
    }

    /// Whether files are synced before they are published, so that a power loss cannot empty them.
    /// They are not unless this is asked for.
    #[must_use]
    pub fn with_fsync(self, fsync: bool) -> Self {
        Self { fsync, ..self }
    }

    /// Gives files and directories this group from now on, by its number, instead of the process's.
    ///
    /// # Errors
    /// If this process may not give them to the group: it has to be in the group, or have
    /// CAP_CHOWN and CAP_FSETID.
    pub fn with_group(self, group: u32) -> Result<Self, FileError> {
        let group = Gid::from_raw(group);
        self.held.partial.share(group)?;
        self.held.data.share(group)?;
        Ok(self)
    }

    /// Writes a file and moves it, as all others will be.
    fn try_moving(&self) -> Result<(), DirectoryError> {
        let Held { data, partial, .. } = &*self.held;
        let (from, to) = (partial.top(FileStep::Write)?, data.top(FileStep::Finish)?);
        let made = create_probe(&from, MOVE_PROBE);
        made.doing(FileStep::Write, "writing", &from.path_of(MOVE_PROBE))?;
        let name = OsStr::new(MOVE_PROBE);
        let moved = from.rename_new(name, &to, MOVE_PROBE).or_else(|error| {
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Err(error);
            }
            to.remove(MOVE_PROBE)?;
            from.rename_new(name, &to, MOVE_PROBE)
        });
        let left = if moved.is_ok() { &to } else { &from };
        let removed = left.remove(MOVE_PROBE);
        moved.map_err(|source| DirectoryError::Unmovable {
            data: self.data().to_owned(),
            partial: self.partial().to_owned(),
            source,
        })?;
        Ok(removed.doing(FileStep::Finish, "removing", &left.path_of(MOVE_PROBE))?)
    }

    /// Makes sure that neither of two real paths is within the other. They need not exist.
    ///
    /// # Errors
    /// [`DirectoryError::Nested`] if one is.
    pub fn check_apart(data: &Path, partial: &Path) -> Result<(), DirectoryError> {
        if !partial.starts_with(data) && !data.starts_with(partial) {
            return Ok(());
        }
        Err(DirectoryError::Nested {
            data: data.to_owned(),
            partial: partial.to_owned(),
        })
    }

    /// Makes sure that this existing directory could be the data directory: nobody but this user,
    /// the superuser and its group can exchange what is in it.
    ///
    /// # Errors
    /// [`DirectoryError::Untrusted`] if somebody can, or it cannot be looked at.
    pub fn check_data(directory: &Path) -> Result<(), DirectoryError> {
        check_existing(directory, Sharing::WithGroup)
    }

    /// The same for the directory of partial files, in which the group must not write either.
    ///
    /// # Errors
    /// As those of [`Self::check_data`].
    pub fn check_partial(directory: &Path) -> Result<(), DirectoryError> {
        check_existing(directory, Sharing::Private)
    }

    /// Those of the directories that could not be locked because their filesystem cannot lock
    /// directories, and why. Nothing keeps other processes away from them.
    pub fn unlocked(&self) -> impl Iterator<Item = (&Path, &io::Error)> {
        self.held.locks.iter().filter_map(DirectoryLock::unlocked)
    }

    /// Writes a file where files grow, removes it, and makes sure that it could be published. No
    /// file is made where files are published: programs that watch that directory would pick it up.
    /// Both are on one filesystem, so what is true of one is true of the other.
    ///
    /// # Errors
    /// What is not possible, and where. It may take as long as the disk takes.
    pub fn try_writing(&self) -> Result<(), FileError> {
        let Held { data, partial, .. } = &*self.held;
        let (writing, removing) = ("writing a file in", "removing a file in");
        let directory = partial.existing();
        let directory = directory.doing(FileStep::Write, writing, partial.path())?;
        let written = create_probe(&directory, WRITE_PROBE)
            .and_then(|mut probe| probe.write_all(&[0; WRITE_PROBE_LEN]));
        let removed = directory.remove(WRITE_PROBE);
        written.doing(FileStep::Write, writing, partial.path())?;
        removed.doing(FileStep::Finish, removing, partial.path())?;
        let changeable = data.existing().and_then(|data| data.may_change());
        changeable.doing(FileStep::Finish, "publishing a file in", data.path())
    }

    /// Where published files go.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.held.data.path()
    }

    /// Where the directories of runs are.
    #[must_use]
    pub fn partial(&self) -> &Path {
        self.held.partial.path()
    }

    /// Where the directories of runs are, open.
    pub(crate) fn open_partial(&self) -> Result<Arc<Directory>, FileError> {
        let partial = self.held.partial.existing();
        partial.doing(FileStep::Open, "opening the directory", self.partial())
    }

    /// Whether this entry of a directory of partial files is the directory of a run.
    #[must_use]
    pub fn is_run(entry: &Path) -> bool {
        entry.file_name().is_some_and(is_run)
    }

    /// Whether this is the name of a file that is there for a moment, to see whether the disk takes one.
    pub(crate) fn is_probe(name: &OsStr) -> bool {
        name == WRITE_PROBE || name == MOVE_PROBE
    }

    /// Whether an entry of this name of the directory of partial files is that of an earlier run.
    pub(crate) fn is_earlier_run(&self, name: &OsStr) -> bool {
        is_run(name) && name != OsStr::new(&self.held.run)
    }

    /// Begins a file of this day with these bytes. `name` gives its name, by a number that is 0
    /// unless there are several.
    ///
    /// # Errors
    /// If the file cannot be made or written. Nothing is left behind then.
    pub(crate) fn create(
        &self,
        day: &Path,
        name: &dyn Fn(u32) -> String,
        bytes: &[u8],
    ) -> Result<PartialFile, FileError> {
        let free = FreeName {
            top: &self.held.partial,
            directory: &Path::new(&self.held.run).join(day),
            name,
            sync: false,
            step: FileStep::Open,
            doing: "creating",
        };
        let Named {
            directory,
            name,
            done: file,
        } = free.find(|directory, name| directory.create(name, FILE_MODE))?;
        PartialFile::begin((directory, name), file, bytes)
    }

    /// Publishes a file by itself, and syncs it if that is asked for.
    ///
    /// # Errors
    /// If it cannot be synced or moved.
    pub(crate) fn publish_alone(
        &self,
        file: Place<'_>,
        day: &Path,
        name: &dyn Fn(u32) -> String,
    ) -> Result<PathBuf, FileError> {
        if self.fsync {
            sync(file)?;
        }
        let (path, directory) = self.publish(file, day, name)?;
        if self.fsync {
            sync_names(&directory)?;
        }
        Ok(path)
    }

    /// Gives a finished file its final name, without ever replacing another, and without a sync: its
    /// path from then on, and the directory that it is in, whatever the name of that leads to by
    /// now.
    ///
    /// # Errors
    /// If it cannot be moved. It stays where it is then.
    pub(crate) fn publish(
        &self,
        (from, file): Place<'_>,
        day: &Path,
        name: &dyn Fn(u32) -> String,
    ) -> Result<(PathBuf, Arc<Directory>), FileError> {
        let free = FreeName {
            top: &self.held.data,
            directory: day,
            name,
            sync: self.fsync,
            step: FileStep::Finish,
            doing: "publishing",
        };
        let to = free.find(|to, name| from.rename_new(file, to, name))?;
        Ok((to.directory.path_of(&to.name), to.directory))
    }

    /// The first number with which a name is free in the directory of a day, or 0 if that cannot be found
    /// out. Names that `is_taken`, as paths below the data directory, are passed over.
    pub(crate) fn first_free(
        &self,
        day: &Path,
        name: &dyn Fn(u32) -> String,
        is_taken: &dyn Fn(&Path) -> bool,
    ) -> u32 {
        let Ok(directory) = self.held.data.below(day, FileStep::Finish, self.fsync) else {
            return 0;
        };
        let is_free = |number: &u32| {
            let name = name(*number);
            !is_taken(&day.join(&name)) && !directory.has(&name).unwrap_or(false)
        };
        (0..free_name::MAX_NUMBER).find(is_free).unwrap_or(0)
    }

    /// A directory among those of runs, made if there is none. Recovery does not look into it.
    pub(crate) fn beside_runs(&self, name: &str) -> Result<Arc<Directory>, FileError> {
        let partial = &self.held.partial;
        partial.below(Path::new(name), FileStep::Open, false)
    }

    /// Begins a file with these bytes in such a directory, whose name must be free.
    pub(crate) fn create_beside_runs(
        &self,
        directory: &str,
        name: &str,
    ) -> Result<PartialFile, FileError> {
        let free = FreeName {
            top: &self.held.partial,
            directory: Path::new(directory),
            name: &|number| match number {
                0 => name.to_owned(),
                number => format!("{number}.{name}"),
            },
            sync: false,
            step: FileStep::Open,
            doing: "creating",
        };
        let named = free.find(|directory, name| directory.create(name, FILE_MODE))?;
        PartialFile::begin((named.directory, named.name), named.done, &[])
    }

    /// The name of this run, which no other has.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.held.run
    }

    /// Whether files are synced before they are published.
    #[must_use]
    pub const fn has_fsync(&self) -> bool {
        self.fsync
    }

    /// Makes files safe against a power loss, for little more than one of them costs.
    pub(crate) fn sync(&self, files: &[Place<'_>]) -> Vec<Result<(), FileError>> {
        // All of them are on their way to the disk before any of them is waited for.
        for (directory, name) in files {
            if let Ok(Opened::Ours(file)) = directory.open_to_append(name) {
                // What goes wrong is noticed when it is waited for.
                let _refused = file.begin_sync();
            }
        }
        each_at_once(files, |file| sync(*file))
    }

    /// Makes a published file of this day a partial file of an earlier run again.
    ///
    /// # Errors
    /// If it cannot be moved. It stays where it is then.
    pub(crate) fn take_back(&self, (from, file): Place<'_>, day: &Path) -> Result<(), FileError> {
        let same = file.to_string_lossy();
        let name = |number| {
            FileName::parse(&same).map_or_else(String::new, |name| {
                FileName {
                    number: name.number + number,
                    ..name
                }
                .build()
            })
        };
        let free = FreeName {
            top: &self.held.partial,
            directory: &Path::new(TORN_RUN).join(day),
            name: &name,
            sync: false,
            step: FileStep::Finish,
            doing: "taking back",
        };
        let taken = free.find(|to, name| from.rename_new(file, to, name));
        taken.map(drop)
    }

    /// Whether a partial file is visible under its name, too. A power loss can leave both: btrfs has
    /// been seen to bring a name back that had been given up before the new one was synced.
    pub(crate) fn is_published(&self, (from, file): Place<'_>, day: &Path) -> io::Result<bool> {
        let mut there = self.held.data.existing()?;
        for part in day {
            there = Arc::new(there.enter(part)?);
        }
        from.shares(file, &there)
    }

    /// Where published files are, open.
    pub(crate) fn open_data(&self) -> Result<Arc<Directory>, FileError> {
        let data = self.held.data.existing();
        data.doing(FileStep::Open, "opening the directory", self.data())
    }

    /// The boot of the host, where the kernel tells.
    pub(crate) fn boot(&self) -> Option<&Boot> {
        self.boot.as_deref()
    }

    /// The boot of the host that has looked at what was there before it, if one is noted.
    pub(crate) fn noted_boot(&self) -> Option<String> {
        let partial = self.open_partial().ok()?;
        String::from_utf8(partial.attribute(BOOT_NOTE).ok()?).ok()
    }

    /// Notes a boot.
    ///
    /// # Errors
    /// If it cannot be noted, except for a filesystem that has no such attributes: it never knows.
    pub(crate) fn note_boot(&self, id: &str) -> Result<(), FileError> {
        let partial = self.held.partial.top(FileStep::Write)?;
        match partial.set_attribute(BOOT_NOTE, id.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
            noted => noted.doing(FileStep::Write, "noting the boot of", self.partial()),
        }
    }

    /// Gives a file of an earlier run the mode and the group that those of this run get.
    ///
    /// # Errors
    /// If the kernel refuses to.
    pub(crate) fn adopt(&self, file: &OwnFile) -> io::Result<()> {
        file.share(FILE_MODE, self.held.data.group())
    }

    /// Removes the directory of this run and the empty directories in it.
    pub(crate) fn clear(&self) {
        self.remove_run(OsStr::new(&self.held.run));
    }

    /// Removes the directory of a run and those in it, as far as they are empty.
    pub(crate) fn remove_run(&self, name: &OsStr) {
        if let Ok(partial) = self.open_partial() {
            partial.remove_empty(name, RUN_DEPTH);
        }
    }
}

fn is_run(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name.starts_with(RUN_PREFIX))
}

/// Makes and opens one of the directories.
fn top(path: &Path, sharing: Sharing) -> Result<Top, DirectoryError> {
    Top::prepare(path, sharing).map_err(|error| match error {
        TopError::Io(error) => error.into(),
        TopError::Untrusted(why) => untrusted(path, sharing, why),
    })
}

fn check_existing(directory: &Path, sharing: Sharing) -> Result<(), DirectoryError> {
    let stat = statat(CWD, directory, AtFlags::empty());
    let stat = stat.doing(FileStep::Open, "inspecting the directory", directory)?;
    check(sharing, &stat).map_err(|why| untrusted(directory, sharing, why))
}

fn untrusted(directory: &Path, sharing: Sharing, why: Untrusted) -> DirectoryError {
    DirectoryError::Untrusted {
        directory: directory.to_owned(),
        is_partial: sharing == Sharing::Private,
        why,
    }
}

/// A name for the directory of this run: one that no earlier run has left. In a container, each may
/// be the same process of the same second.
fn new_run(partial: &Directory) -> Result<String, FileError> {
    let now = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let name = format!("{RUN_PREFIX}{now}-{}", std::process::id());
    let has = |name: &str| {
        let has = partial.has(name);
        has.doing(FileStep::Open, "inspecting", &partial.path_of(name))
    };
    let (mut run, mut number) = (name.clone(), 1);
    while has(&run)? {
        number += 1;
        run = format!("{name}-{number}");
    }
    Ok(run)
}

/// Makes a probe in place of one that a crash left behind.
fn create_probe(directory: &Directory, name: &str) -> io::Result<OwnFile> {
    match directory.create(name, FILE_MODE) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // The name only: whatever it leads to stays as it is.
            directory.remove(name)?;
            directory.create(name, FILE_MODE)
        }
        other => other,
    }
}

/// Makes a file safe against a power loss.
fn sync((directory, name): Place<'_>) -> Result<(), FileError> {
    let synced = match directory.open_to_append(name) {
        Ok(Opened::Ours(file)) => file.sync(),
        Ok(Opened::Foreign(why)) => Err(io::Error::other(why)),
        Err(error) => Err(error),
    };
    synced.doing(FileStep::Finish, "syncing", &directory.path_of(name))
}

/// Makes the names in a directory safe against a power loss.
pub(crate) fn sync_names(directory: &Directory) -> Result<(), FileError> {
    let synced = directory.sync();
    synced.doing(FileStep::Finish, "syncing", directory.path())
}

#[cfg(test)]
mod tests;
