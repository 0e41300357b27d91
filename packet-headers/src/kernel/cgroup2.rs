//! The cgroup2 hierarchy, to which the program that watches sockets is attached. Where a host has it differs:
//! at /sys/fs/cgroup, beside the hierarchies of version 1, or nowhere; and a container may see a part of it.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, IntoRawFd as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use model::Diagnostic;

/// The hierarchy, if it had to be mounted for this process alone.
static DETACHED: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Where paths begin that only this process has.
const OWN: &str = "/proc/self/fd";

/// What this process sees of the hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup2 {
    path: PathBuf,
    is_whole: bool,
}

impl Cgroup2 {
    /// Looks for it: first where it is mounted whole, and not hidden behind another mount; then it is mounted
    /// where only this process sees it, if that is permitted; then for a part of it.
    ///
    /// # Errors
    /// A [`Diagnostic`] when there is none that this process can see.
    pub fn find() -> Result<Self> {
        let mounts =
            fs::read_to_string("/proc/self/mounts").context("reading /proc/self/mounts")?;
        let mounted: Vec<_> = places(&mounts).filter_map(Self::at).collect();
        if let Some(whole) = mounted.iter().find(|found| found.is_whole) {
            return Ok(whole.clone());
        }
        let own = DETACHED.get_or_init(|| mount_detached().ok()).clone();
        let own = own.and_then(Self::at);
        match (own, mounted.into_iter().next()) {
            (Some(own), None) => Ok(own),
            (Some(own), Some(_)) if own.is_whole => Ok(own),
            (_, Some(part)) => Ok(part),
            (None, None) => Err(missing().into()),
        }
    }

    /// What a directory is of the hierarchy, if it is of it.
    fn at(path: PathBuf) -> Option<Self> {
        // Each cgroup of version 2 has the first file, and each but the root the second one (cgroups(7)). A
        // cgroup namespace hides what is above its root, and changes no file.
        let has = |file| path.join(file).exists();
        let (is_of_it, is_whole) = (has("cgroup.controllers"), !has("cgroup.events"));
        is_of_it.then_some(Self { path, is_whole })
    }

    /// A path to it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it had to be mounted, where only this process sees it.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.path.starts_with(OWN)
    }

    /// What is missed because this is only a part of the hierarchy, if it is.
    #[must_use]
    pub fn lacking(&self) -> Option<Diagnostic> {
        let at = self.path.display();
        (!self.is_whole).then(|| {
            Diagnostic::new(
                format!(
                    "{at} is only a part of the cgroup2 hierarchy: connections of processes outside of \
                     it get no name and no file"
                ),
                "start the container in the host's cgroup namespace (--cgroupns=host), or mount the \
                 host's /sys/fs/cgroup into it",
            )
        })
    }
}

fn missing() -> Diagnostic {
    Diagnostic::new(
        "no cgroup2 filesystem is mounted, but the kernel flow source needs one",
        "run mkdir -p /run/cgroup2 && mount -t cgroup2 none /run/cgroup2, and show that to a container \
         (--volume=/run/cgroup2:/run/cgroup2:ro); or, instead of ip netns exec, \
         nsenter --net=/run/netns/NAME; or use --flow-source tcpinfo",
    )
}

/// Mounts the hierarchy nowhere: it can be reached by a descriptor, which stays open. To be called before
/// the sandbox is entered.
fn mount_detached() -> io::Result<PathBuf> {
    let filesystem = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(filesystem.as_fd())?;
    let mount = fsmount(
        filesystem.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID,
    )?;
    Ok(Path::new(OWN).join(mount.into_raw_fd().to_string()))
}

/// The mount points of cgroup2 in proc_pid_mounts(5): `none /sys/fs/cgroup cgroup2 rw 0 0`. What is mounted
/// last comes last, and may hide others.
fn places(mounts: &str) -> impl Iterator<Item = PathBuf> {
    mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (path, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_on_unified_and_hybrid_hosts() {
        let hybrid = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let found: Vec<_> = places(hybrid).collect();
        assert_eq!(found, [Path::new("/sys/fs/cgroup/unified")]);
        assert_eq!(places("proc /proc proc rw 0 0\n").next(), None);
    }

    #[test]
    fn what_hides_it_is_not_it_and_a_part_is_known_by_a_file_that_the_root_lacks() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &Path| Cgroup2::at(path.to_owned());
        assert_eq!(at(directory.path()), None);
        fs::write(directory.path().join("cgroup.controllers"), "cpu\n").unwrap();
        let whole = at(directory.path()).unwrap();
        assert!(whole.is_whole && whole.lacking().is_none() && !whole.is_own());
        fs::write(directory.path().join("cgroup.events"), "populated 1\n").unwrap();
        let lacking = at(directory.path()).unwrap().lacking().unwrap();
        assert!(lacking.problem.contains("outside of it get no name"));
        assert!(lacking.help.contains("--cgroupns=host"));
    }
}
