//! Mounts that belong to a test: a small filesystem that can be filled or made read-only, and mount
//! namespaces.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::fs::statvfs;
use tempfile::TempDir;

use crate::world::command::output_of;
use crate::world::{cgroup, wait};

/// `command` behind a shell script, in a mount namespace of their own: the script's mounts end with
/// it.
#[must_use]
pub fn with_mounts(script: &str, command: &Command) -> Command {
    let mut outer = Command::new("unshare");
    outer.args(["--mount", "--", "sh", "-ec"]);
    outer.arg(format!("{script}\nexec \"$@\"")).arg("sh");
    outer.arg(command.get_program()).args(command.get_args());
    outer
}

/// A script that unmounts every cgroup2.
///
/// # Errors
/// There is none.
pub fn without_cgroup2() -> Result<String> {
    let mounts = cgroup::mounts()?;
    ensure!(!mounts.is_empty(), "this machine has no cgroup2");
    let unmount = |place: &PathBuf| format!("umount -l '{}'\n", place.display());
    Ok(mounts.iter().map(unmount).collect())
}

/// The hierarchies of control groups of a host, in whose mount namespace [`Host::wrapper`] starts programs.
#[derive(Debug, Clone, Copy)]
pub enum Host {
    /// cgroup2 at /sys/fs/cgroup, as on all newer hosts.
    Unified,
    /// Version 1 there, and cgroup2 beside it.
    Hybrid,
    /// Version 1 alone: cgroup2 is mounted nowhere.
    Old,
    /// cgroup2 is mounted, but something else is mounted over it.
    Hidden,
}

impl Host {
    /// A program and arguments that become the program whose command line follows.
    ///
    /// # Errors
    /// This machine has no cgroup2.
    pub fn wrapper(self) -> Result<Vec<String>> {
        const UNIFIED: &str = "mount -t cgroup2 none /sys/fs/cgroup\n";
        // A hierarchy without a controller, as these may be in use by cgroup2.
        const OLD: &str = "mount -t tmpfs none /sys/fs/cgroup\nmkdir /sys/fs/cgroup/lab\n\
             mount -t cgroup -o none,name=packet-headers-lab none /sys/fs/cgroup/lab\n";
        const BESIDE: &str = "mkdir /sys/fs/cgroup/unified\n\
             mount -t cgroup2 none /sys/fs/cgroup/unified\n";
        let mounts = match self {
            Self::Unified => UNIFIED.to_owned(),
            Self::Hybrid => [OLD, BESIDE].concat(),
            Self::Old => OLD.to_owned(),
            Self::Hidden => [UNIFIED, OLD].concat(),
        };
        let script = format!("{}{mounts}exec \"$@\"", without_cgroup2()?);
        let words = ["unshare", "--mount", "--", "sh", "-ec", &script, "sh"];
        Ok(words.map(str::to_owned).into())
    }
}

/// What is used of a filesystem, and what is free.
#[derive(Debug, Clone, Copy)]
pub struct Space {
    /// Bytes in whole blocks.
    pub used: u64,
    /// Files and directories that can still be made.
    pub free_inodes: u64,
}

/// A mounted tmpfs; unmounted on drop.
#[derive(Debug)]
pub struct SmallDisk {
    directory: TempDir,
}

impl SmallDisk {
    /// Mounts one of `mebibytes` MiB.
    ///
    /// # Errors
    /// No privilege to mount.
    pub fn mount(mebibytes: u32) -> Result<Self> {
        Self::mount_with(&format!("size={mebibytes}m"))
    }

    /// Mounts one of `mebibytes` MiB with room for so many files and directories.
    ///
    /// # Errors
    /// No privilege to mount.
    pub fn of_inodes(mebibytes: u32, inodes: u32) -> Result<Self> {
        Self::mount_with(&format!("size={mebibytes}m,nr_inodes={inodes}"))
    }

    fn mount_with(options: &str) -> Result<Self> {
        let directory = TempDir::new()?;
        let size = format!("{options},mode=0755");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &size, "none"]);
        output_of(command.arg(directory.path()), "mount")?;
        Ok(Self { directory })
    }

    /// Its mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// What is used of it, and what is free, as the filesystem counts.
    ///
    /// # Errors
    /// It is not mounted.
    pub fn space(&self) -> Result<Space> {
        let found = statvfs(self.path())?;
        Ok(Space {
            used: (found.f_blocks - found.f_bfree) * found.f_frsize,
            free_inodes: found.f_ffree,
        })
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Fills it to the last page.
    ///
    /// # Errors
    /// A write fails for another reason than lack of space.
    pub fn fill(&self) -> Result<()> {
        let mut file = File::create(self.filler())?;
        for size in [64 << 10, 4 << 10, 1] {
            let piece = vec![b'.'; size];
            loop {
                match file.write(&piece) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error).context("filling the disk"),
                }
            }
        }
        Ok(())
    }

    /// Undoes [`SmallDisk::fill`].
    ///
    /// # Errors
    /// It was not filled.
    pub fn make_room(&self) -> Result<()> {
        fs::remove_file(self.filler()).context("removing the filler")
    }

    /// Remounts it with `ro` or `rw`. The kernel refuses `ro` while a file is open for writing.
    ///
    /// # Errors
    /// The kernel refuses for too long.
    pub fn remount(&self, option: &str) -> Result<()> {
        let mut last = None;
        let waited = wait::until(format!("remount {option}"), || {
            let mut command = Command::new("mount");
            command.args(["-o", &format!("remount,{option}")]);
            last = output_of(command.arg(self.path()), "mount").err();
            Ok(last.is_none().then_some(()))
        });
        waited.with_context(|| format!("{last:?}"))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let mut command = Command::new("umount");
        // Lazily, because after a failed test a program may still have a file open.
        if let Err(error) = output_of(command.arg("-l").arg(self.path()), "mount") {
            eprintln!("{error:#}");
        }
    }
}
