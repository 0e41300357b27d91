//! Where files grow and where they appear: two directories on one filesystem.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustix::fs::{Access, Advice, AtFlags, CWD, RenameFlags, accessat, fadvise, renameat_with};
use rustix::io::Errno;

use crate::error::{Doing as _, FileError, FileStep};
use crate::group_sync::each_at_once;
use crate::partial_file::PartialFile;

mod error;
mod free_name;
mod lock;

pub use error::DirectoryError;
use free_name::FreeName;
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
    data: PathBuf,
    partial: PathBuf,
    /// The directory of this run's partial files.
    run: PathBuf,
    fsync: bool,
    locks: Arc<[DirectoryLock; 2]>,
}

/// What the directories of runs are called: this prefix, a moment and a process, and a number if
/// that is not enough.
const RUN_PREFIX: &str = "run-";

/// A file that shows at the start that files can be written and moved. One that a crash left behind
/// is replaced by the next.
const MOVE_PROBE: &str = ".capture-files-move";

/// A file that shows that files can be written now.
const WRITE_PROBE: &str = ".capture-files-write";

/// The length of that file in bytes: a page, for which there is no room on a full disk.
const WRITE_PROBE_LEN: usize = 4096;

/// The mode of directories of files: anybody may look, as far as the umask allows.
const DIRECTORY_MODE: u32 = 0o755;

/// The mode of the directory of partial files: nobody else has to look.
const PARTIAL_MODE: u32 = 0o700;

/// The mode of files: anybody may read them, as far as the umask allows.
const FILE_MODE: u32 = 0o644;

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
    /// Makes the directories, locks them, and makes sure that files can be written, and moved from
    /// one to the other.
    ///
    /// # Errors
    /// If one cannot be made or written, one is within the other, they are on different
    /// filesystems, or another process uses one of them.
    pub fn prepare(data: &Path, partial: &Path) -> Result<Self, DirectoryError> {
        make_directory(data, DIRECTORY_MODE)?;
        make_directory(partial, PARTIAL_MODE)?;
        Self::check_apart(&real(data)?, &real(partial)?)?;
        let locks = [DirectoryLock::take(data)?, DirectoryLock::take(partial)?];
        let directories = Self {
            data: data.to_owned(),
            partial: partial.to_owned(),
            run: new_run(partial),
            fsync: false,
            locks: Arc::new(locks),
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

    /// Writes a file and moves it, as all others will be.
    fn try_moving(&self) -> Result<(), DirectoryError> {
        let (from, to) = (self.partial.join(MOVE_PROBE), self.data.join(MOVE_PROBE));
        fs::write(&from, b"").doing(FileStep::Write, "writing", &from)?;
        let moved = fs::rename(&from, &to);
        let left = if moved.is_ok() { to } else { from };
        let removed = fs::remove_file(&left);
        moved.map_err(|source| DirectoryError::Unmovable {
            data: self.data.clone(),
            partial: self.partial.clone(),
            source,
        })?;
        Ok(removed.doing(FileStep::Finish, "removing", &left)?)
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

    /// Those of the directories that could not be locked because their filesystem cannot lock
    /// directories, and why. Nothing keeps other processes away from them.
    pub fn unlocked(&self) -> impl Iterator<Item = (&Path, &io::Error)> {
        self.locks.iter().filter_map(DirectoryLock::unlocked)
    }

    /// Writes a file where files grow, removes it, and makes sure that it could be published. No
    /// file is made where files are published: programs that watch that directory would pick it up.
    /// Both are on one filesystem, so what is true of one is true of the other.
    ///
    /// # Errors
    /// What is not possible, and where. It may take as long as the disk takes.
    pub fn try_writing(&self) -> Result<(), FileError> {
        let probe = self.partial.join(WRITE_PROBE);
        let written = fs::write(&probe, [0; WRITE_PROBE_LEN]);
        let removed = fs::remove_file(&probe);
        written.doing(FileStep::Write, "writing a file in", &self.partial)?;
        removed.doing(FileStep::Finish, "removing a file in", &self.partial)?;
        let changeable = Access::WRITE_OK | Access::EXEC_OK;
        accessat(CWD, &self.data, changeable, AtFlags::EACCESS).doing(
            FileStep::Finish,
            "publishing a file in",
            &self.data,
        )
    }

    /// Where published files go.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Where the directories of runs are.
    #[must_use]
    pub fn partial(&self) -> &Path {
        &self.partial
    }

    /// Whether this entry of a directory of partial files is the directory of a run.
    #[must_use]
    pub fn is_run(entry: &Path) -> bool {
        let name = entry.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(RUN_PREFIX))
    }

    /// Whether this entry of the directory of partial files is the directory of an earlier run.
    pub(crate) fn is_earlier_run(&self, entry: &Path) -> bool {
        Self::is_run(entry) && entry != self.run
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
        let day = self.run.join(day);
        let free = FreeName {
            directory: &day,
            name,
            make_directory: &|| make_directory(&day, DIRECTORY_MODE),
            step: FileStep::Open,
            doing: "creating",
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(FILE_MODE);
        let (path, file) = free.find(|path| options.open(path))?;
        PartialFile::begin(path, file, bytes)
    }

    /// Publishes a file by itself, and syncs it if that is asked for.
    ///
    /// # Errors
    /// If it cannot be synced or moved.
    pub(crate) fn publish_alone(
        &self,
        partial: &Path,
        day: &Path,
        name: &dyn Fn(u32) -> String,
    ) -> Result<PathBuf, FileError> {
        if self.fsync {
            sync(partial)?;
        }
        let path = self.publish(partial, day, name)?;
        if self.fsync {
            self.sync_day(&self.data.join(day))?;
        }
        Ok(path)
    }

    /// Gives a finished file its final name, without ever replacing another, and without a sync.
    ///
    /// # Errors
    /// If it cannot be moved. It stays where it is then.
    pub(crate) fn publish(
        &self,
        partial: &Path,
        day: &Path,
        name: &dyn Fn(u32) -> String,
    ) -> Result<PathBuf, FileError> {
        let day = self.data.join(day);
        let free = FreeName {
            directory: &day,
            name,
            make_directory: &|| self.make_day(&day),
            step: FileStep::Finish,
            doing: "publishing",
        };
        let (path, ()) = free.find(|path| rename_new(partial, path))?;
        Ok(path)
    }

    /// Whether files are synced before they are published.
    pub(crate) const fn has_fsync(&self) -> bool {
        self.fsync
    }

    /// Makes files safe against a power loss, for little more than one of them costs.
    pub(crate) fn sync(&self, files: &[&PartialFile]) -> Vec<Result<(), FileError>> {
        // All of them are on their way to the disk before any of them is waited for.
        for file in files {
            // What cannot be opened now fails when it is synced.
            let _refused = File::open(file.path()).map(|file| fadvise(&file, 0, None, Advice::DontNeed));
        }
        each_at_once(files, |file| sync(file.path()))
    }

    /// Makes the names in the directory of a day of published files safe against a power loss.
    pub(crate) fn sync_day(&self, day: &Path) -> Result<(), FileError> {
        sync(day)
    }

    /// Makes the directory of a day's published files.
    fn make_day(&self, day: &Path) -> Result<(), FileError> {
        make_directory(day, DIRECTORY_MODE)?;
        if self.fsync {
            // The day in its month, the month in its year, the year in the data directory.
            day.ancestors().skip(1).take(3).try_for_each(sync)?;
        }
        Ok(())
    }

    /// Removes the directory of this run and the empty directories in it.
    pub(crate) fn clear(&self) {
        remove_empty(&self.run);
    }
}

/// A directory for this run: one that no earlier run has left. In a container, each may be the same
/// process of the same second.
fn new_run(partial: &Path) -> PathBuf {
    let now = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let name = format!("{RUN_PREFIX}{now}-{}", std::process::id());
    let (mut run, mut number) = (partial.join(&name), 1);
    while run.exists() {
        number += 1;
        run = partial.join(format!("{name}-{number}"));
    }
    run
}

fn make_directory(path: &Path, mode: u32) -> Result<(), FileError> {
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(mode).create(path);
    made.doing(FileStep::MakeDirectory, "creating the directory", path)
}

/// The real path of a directory that exists.
fn real(path: &Path) -> Result<PathBuf, FileError> {
    let real = path.canonicalize();
    real.doing(FileStep::Open, "resolving the directory", path)
}

/// Makes a file or directory safe against a power loss.
fn sync(path: &Path) -> Result<(), FileError> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.doing(FileStep::Finish, "syncing", path)
}

/// Removes a directory and those in it, as far as they are empty.
pub(crate) fn remove_empty(directory: &Path) {
    if let Ok(entries) = fs::read_dir(directory) {
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove_empty(&entry.path());
            }
        }
    }
    // Refused if something is in it, as it should be.
    let _refused = fs::remove_dir(directory);
}

/// Renames, unless the new name is taken.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A filesystem that cannot refuse to replace can refuse a second link.
        Err(Errno::INVAL | Errno::NOSYS) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests;
