//! A small filesystem of a test's own, that can be filled and made read-only.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::world::process::output_of;
use crate::world::wait;

/// How long a filesystem may be busy.
const LIMIT: Duration = Duration::from_secs(10);

/// `command` after a shell script, in a mount namespace of its own: its mounts end with it.
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
    let mounts = fs::read_to_string("/proc/mounts")?;
    let cgroup2 = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let place = words.nth(1)?;
        (words.next()? == "cgroup2").then_some(place)
    });
    let script: String = cgroup2
        .map(|place| format!("umount -l '{place}'\n"))
        .collect();
    ensure!(!script.is_empty(), "this machine has no cgroup2");
    Ok(script)
}

/// A mounted tmpfs; unmounted on drop.
#[derive(Debug)]
pub struct SmallDisk {
    directory: TempDir,
}

impl SmallDisk {
    /// Mounts one of so many MiB.
    ///
    /// # Errors
    /// No privilege to mount.
    pub fn mount(mebibytes: u32) -> Result<Self> {
        let directory = TempDir::new()?;
        let size = format!("size={mebibytes}m,mode=0755");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &size, "none"]);
        output_of(command.arg(directory.path()), "mount")?;
        Ok(Self { directory })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Fills it to the last page.
    ///
    /// # Errors
    /// A write fails for another reason than that it is full.
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

    /// Makes room again.
    ///
    /// # Errors
    /// It was not filled.
    pub fn make_room(&self) -> Result<()> {
        fs::remove_file(self.filler()).context("removing the filler")
    }

    /// Makes it read-only, once nobody has a file open to write, or writable.
    ///
    /// # Errors
    /// Somebody has, for too long.
    pub fn remount(&self, option: &str) -> Result<()> {
        let mut last = None;
        let waited = wait::until(format!("remount {option}"), LIMIT, || {
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
        // Lazily: also when a test failed and somebody still has a file open.
        if let Err(error) = output_of(command.arg("-l").arg(self.path()), "mount") {
            eprintln!("{error:#}");
        }
    }
}
