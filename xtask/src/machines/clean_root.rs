//! Clean roots of Debian: a root's files, by debootstrap, and a system that was booted in a copy of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::debian;
use crate::{setup, workspace::Workspace};

/// What a root has beside the packages that every Debian has.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,iproute2,procps";
/// How long a system may take to start or to end, and whatever else is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The root of a release, made once.
pub(crate) fn root(workspace: &Workspace, suite: &str) -> Result<PathBuf> {
    let root = workspace.target.join("roots").join(suite);
    if root.is_dir() {
        return Ok(root);
    }
    setup::root_tools(workspace)?;
    println!(
        "making a root of Debian {suite} (once, in {})",
        root.display()
    );
    let partial = root.with_extension("partial");
    bootstrap(workspace, suite, PACKAGES, &partial)?;
    workspace.as_root("mv")?.args([&partial, &root]).run()?;
    Ok(root)
}

/// Makes a root of a release with some packages, in place of what is there.
pub(crate) fn bootstrap(
    workspace: &Workspace,
    suite: &str,
    packages: &str,
    root: &Path,
) -> Result<()> {
    setup::root_maker(workspace)?;
    let mirror = debian::mirror(workspace, suite)?;
    workspace.as_root("rm")?.args(["-rf"]).arg(root).run()?;
    workspace.sh.create_dir(workspace.target.join("roots"))?;
    let bootstrap = workspace.as_root("debootstrap")?;
    let bootstrap = bootstrap.args(["--variant=minbase", "--include", packages, suite]);
    bootstrap.arg(root).arg(mirror).ignore_stdout().run()?;
    Ok(())
}

/// A system with a network and processes of its own; ended on drop. What is changed in it is gone then.
pub(crate) struct System<'a> {
    workspace: &'a Workspace,
    unshare: Child,
    /// Its systemd, as this host numbers processes.
    pid: u32,
    cgroup: PathBuf,
}

impl<'a> System<'a> {
    /// Boots it, with a directory of packages as `/packages`.
    pub(crate) fn boot(workspace: &'a Workspace, root: &Path, packages: &Path) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let unified = cgroup2(&mounts).context("this host has no cgroup2")?;
        let name = format!("clean-root-{}", std::process::id());
        let cgroup = unified.join(&name);
        workspace.as_root("mkdir")?.arg(&cgroup).quiet().run()?;
        let script = workspace.root.join("xtask/scripts/boot_root.sh");
        let namespaces = ["--mount", "--pid", "--ipc", "--uts", "--net"];
        let unshare = workspace.as_root("unshare")?.args(namespaces);
        let unshare = unshare
            .args(["--fork", "--kill-child", "--", "sh"])
            .arg(script);
        let unshare = Command::from(unshare.arg(root).arg(packages).arg(&name));
        let unshare = { unshare }.spawn().context("starting unshare")?;
        let mut system = Self {
            workspace,
            pid: unshare.id(),
            unshare,
            cgroup,
        };
        let below = system.pid;
        wait_for("systemd to run", || {
            system.pid = found_below(below, "systemd").unwrap_or(below);
            system.pid != below
        })?;
        let running = "systemctl is-system-running 2>/dev/null | grep -E 'running|degraded'";
        wait_for("the system to have started", || system.run(running).is_ok())?;
        Ok(system)
    }

    /// Runs a shell's commands in it; what they print.
    pub(crate) fn run(&self, commands: &str) -> Result<String> {
        let pid = self.pid.to_string();
        let enter = self.workspace.as_root("nsenter")?.args(["--target", &pid]);
        let enter = enter.args(["--mount", "--pid", "--ipc", "--uts", "--net", "--"]);
        let enter = enter.args([
            "env",
            "-i",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL=C.UTF-8",
        ]);
        let enter = enter.args(["DEBIAN_FRONTEND=noninteractive", "sh", "-c", commands]);
        let output = enter.quiet().ignore_status().output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("`{commands}` failed: {}{}", said, errors.trim_end());
        }
        Ok(said.trim_end().to_owned())
    }

    /// Waits until commands succeed; what they print then.
    pub(crate) fn wait_for(&self, what: &str, commands: &str) -> Result<String> {
        let mut last = self.run(commands);
        wait_for(what, || {
            last = self.run(commands);
            last.is_ok()
        })
        .with_context(|| {
            last.as_ref()
                .err()
                .map(ToString::to_string)
                .unwrap_or_default()
        })?;
        last
    }
}

impl Drop for System<'_> {
    fn drop(&mut self) {
        let end = || -> Result<()> {
            let pid = self.pid.to_string();
            // With its first process, every other one ends.
            self.workspace
                .as_root("kill")?
                .args(["-KILL", &pid])
                .quiet()
                .run()?;
            Ok(())
        };
        let ended = end().and_then(|()| Ok(self.unshare.wait()?));
        let cgroup = &self.cgroup;
        // From the innermost on.
        let remove = || {
            let remove = self.workspace.as_root("find").ok()?.arg(cgroup);
            let remove = remove.args(["-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]);
            remove.quiet().ignore_stderr().run().ok()
        };
        let removed = wait_for("its cgroups to be empty", || {
            remove().is_some() && !cgroup.exists()
        });
        if let Err(error) = ended.map(drop).and(removed) {
            eprintln!("ending a clean root: {error:#}");
        }
    }
}

/// Where cgroup2 is mounted, in the text of /proc/mounts.
fn cgroup2(mounts: &str) -> Option<PathBuf> {
    let mut mounts = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let mount = mounts.find(|words| words.get(2) == Some(&"cgroup2"))?;
    mount.get(1).map(PathBuf::from)
}

/// A process of this name among the descendants of another one.
fn found_below(pid: u32, name: &str) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let mut children = children
        .split_whitespace()
        .filter_map(|child| child.parse().ok());
    children.find_map(|child: u32| {
        let comm = fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
        if comm.trim_end() == name {
            return Some(child);
        }
        found_below(child, name)
    })
}

/// Waits until something is so.
fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let begin = Instant::now();
    while !is_so() {
        ensure!(begin.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup2_is_found_beside_version_1() {
        let mounts = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
            cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(
            cgroup2(mounts),
            Some(PathBuf::from("/sys/fs/cgroup/unified"))
        );
        assert_eq!(cgroup2("tmpfs /tmp tmpfs rw 0 0\n"), None);
    }
}
