//! A disk of the machine: a filesystem in a file, and what is written in one boot above it.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::volatile;
use crate::{machines::debian, workspace::Workspace};

/// The filesystems, and how each is made with blocks of 4 KiB.
const FILESYSTEMS: [(&str, &[&str]); 3] = [
    ("ext4", &["-q", "-F", "-b", "4096"]),
    ("xfs", &["-q", "-f", "-s", "size=4096"]),
    ("btrfs", &["-q", "-f"]),
];
/// What the names of disks end with whose daemon has `--fsync`.
const FSYNC: [&str; 2] = ["", "-fsync"];
/// How long a disk is: it takes only what is written to it.
const LENGTH: u64 = 1 << 30;
/// What makes filesystems.
const PACKAGES: [&str; 2] = ["xfsprogs", "btrfs-progs"];

/// Where the programs are that make filesystems.
pub(super) struct Tools(PathBuf);

/// Fetches what this host does not have.
pub(super) fn tools(workspace: &Workspace, home: &Path) -> Result<Tools> {
    let root = home.join("filesystems");
    Ok(Tools(debian::unpacked(workspace, root, &PACKAGES)?))
}

impl Tools {
    /// Makes a filesystem in a file.
    fn make(&self, filesystem: &str, flags: &[&str], image: &Path) -> Result<()> {
        let name = format!("mkfs.{filesystem}");
        let there = ["sbin", "usr/sbin"].map(|place| self.0.join(place).join(&name));
        let unpacked = there.into_iter().find(|path| path.exists());
        let program = unpacked.unwrap_or_else(|| Path::new("/usr/sbin").join(&name));
        let output = Command::new(&program)
            .env("LD_LIBRARY_PATH", debian::library_path(&self.0)?)
            .args(flags)
            .arg(image)
            .output()
            .with_context(|| format!("running {}", program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{name}: {}: {said}", output.status);
        Ok(())
    }
}

/// A disk, whose serial number is its name.
pub(super) struct Disk {
    name: String,
    image: PathBuf,
    overlay: PathBuf,
}

impl Disk {
    /// Makes a disk of every kind.
    pub(super) fn make_all(home: &Path, tools: &Tools) -> Result<Vec<Self>> {
        let mut disks = Vec::new();
        for (filesystem, flags) in FILESYSTEMS {
            for fsync in FSYNC {
                let name = format!("{filesystem}{fsync}");
                let image = home.join(format!("{name}.img"));
                File::create(&image)?.set_len(LENGTH)?;
                tools.make(filesystem, flags, &image)?;
                let overlay = home.join(format!("{name}.qcow2"));
                disks.push(Self {
                    name,
                    image,
                    overlay,
                });
            }
        }
        Ok(disks)
    }

    /// Its filesystem, and whether its daemon has `--fsync`, as one word.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Makes it ready for a boot; the emulator's arguments for it.
    pub(super) fn attach(&self) -> Result<[OsString; 4]> {
        volatile::create(&self.overlay, &self.image)?;
        let name = &self.name;
        // The emulator must never write its tables but for a flush: they all fit into its memory.
        let mut drive = OsString::from(format!(
            "if=none,id={name},format=qcow2,cache=writeback,lazy-refcounts=on,\
             l2-cache-size=8M,refcount-cache-size=4M,cache-clean-interval=0,file="
        ));
        drive.push(&self.overlay);
        let device = format!(
            "virtio-blk-pci,drive={name},serial={name},\
             logical_block_size=4096,physical_block_size=4096"
        );
        Ok(["-drive".into(), drive, "-device".into(), device.into()])
    }

    /// Keeps what the emulator has left of a boot.
    pub(super) fn detach(&self) -> Result<()> {
        volatile::apply(&self.overlay, &self.image)?;
        fs::remove_file(&self.overlay)?;
        Ok(())
    }

    /// Removes it.
    pub(super) fn remove(&self) -> Result<()> {
        fs::remove_file(&self.image).with_context(|| format!("removing {}", self.image.display()))
    }
}
