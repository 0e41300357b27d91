//! A disk of the machine, with the files of one daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use end_to_end::verify::captures::{Captures, files_below};

use rustix::fs::getxattr;
use rustix::io::Errno;

use crate::file::State;

/// What the name of a disk ends with if its daemon has `--fsync`.
const FSYNC: &str = "-fsync";

/// Where the daemon notes the boot in which it has looked at everything.
const NOTE: &str = "user.capture-files.boot";

/// A mounted disk.
pub(crate) struct Disk {
    name: String,
    mount: PathBuf,
    captures: Captures,
}

impl Disk {
    /// Mounts every disk that has a serial number, which is its filesystem's name.
    pub(crate) fn mount_all() -> Result<Vec<Self>> {
        let mut disks = Vec::new();
        for device in fs::read_dir("/sys/block")? {
            let device = device?;
            let Ok(name) = fs::read_to_string(device.path().join("serial")) else {
                continue;
            };
            let name = name.trim().to_owned();
            let device = Path::new("/dev").join(device.file_name());
            disks.push(Self::mounted(name, &device)?);
        }
        disks.sort_by(|a, b| a.name.cmp(&b.name));
        ensure!(!disks.is_empty(), "the machine has no disks");
        Ok(disks)
    }

    fn mounted(name: String, device: &Path) -> Result<Self> {
        let mount = Path::new("/disks").join(&name);
        fs::create_dir_all(&mount)?;
        let filesystem = name.trim_end_matches(FSYNC);
        let mut command = Command::new("mount");
        command.args(["-t", filesystem]).args([device, &mount]);
        let status = command.status().context("running mount")?;
        ensure!(status.success(), "{name} cannot be mounted: {status}");
        Ok(Self {
            captures: Captures::new(mount.join("captures")),
            mount,
            name,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where it is mounted.
    pub(crate) fn mount(&self) -> &Path {
        &self.mount
    }

    pub(crate) fn has_fsync(&self) -> bool {
        self.name.ends_with(FSYNC)
    }

    /// The directory of published files.
    pub(crate) fn data(&self) -> &Path {
        self.captures.root()
    }

    /// Where every visible file is, below that directory.
    pub(crate) fn paths(&self) -> Result<Vec<PathBuf>> {
        let paths = files_below(self.data())?.into_iter();
        let below = |path: PathBuf| Ok(path.strip_prefix(self.data())?.to_owned());
        paths.map(below).collect()
    }

    /// Every visible file, and what it is.
    pub(crate) fn published(&self) -> Result<Vec<(String, State)>> {
        let paths = self.paths()?.into_iter();
        let file = |path: PathBuf| {
            let state = State::of(&self.data().join(&path))?;
            Ok((path.to_string_lossy().into_owned(), state))
        };
        paths.map(file).collect()
    }

    /// Whether the daemon has looked at what was there before it.
    pub(crate) fn has_recovered(&self) -> Result<bool> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let mut noted = [0; 64];
        Ok(match getxattr(self.captures.partial(), NOTE, &mut noted) {
            Ok(length) => noted[..length] == *boot.trim().as_bytes(),
            Err(Errno::NODATA) => false,
            Err(error) => return Err(error).context("reading which boot has recovered"),
        })
    }

    /// Removes every file, for good.
    pub(crate) fn clear(&self) -> Result<()> {
        for path in files_below(self.data())? {
            fs::remove_file(path)?;
        }
        rustix::fs::syncfs(fs::File::open(&self.mount)?).context("syncing the disk")
    }
}
