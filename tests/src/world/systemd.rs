//! The systemd unit, under a systemd of its own: pid 1 of a pid namespace, on a copy-on-write view of
//! this machine, on the network of a lab's host.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::peers::daemon::executable;
use crate::verify::captures::Captures;
use crate::world::deploy;
use crate::world::netns::Namespace;
use crate::world::process::Process;
use crate::world::wait;

/// The daemon's unit.
pub const UNIT: &str = "packet-headers.service";
/// The uploader's units, and how often the test wants it.
pub const UPLOAD: [&str; 2] = [
    "packet-headers-upload.service",
    "packet-headers-upload.timer",
];
const OFTEN: &str = "[Timer]\nOnActiveSec=1s\nOnUnitInactiveSec=1s\nAccuracySec=100ms\n";
/// Where the uploader takes files.
const DESTINATION: &str = "uploaded";
/// How long systemd may take for anything.
const LIMIT: Duration = Duration::from_secs(20);
/// What every service needs to be there, without which systemd cannot start it again.
const TARGETS: [&str; 5] = ["basic", "sysinit", "shutdown", "network", "network-online"];

/// A unit as it is shipped.
#[must_use]
pub fn unit(name: &str) -> PathBuf {
    deploy::directory().join("systemd").join(name)
}

/// A running systemd with nothing to do but run our units; ended on drop.
#[derive(Debug)]
pub struct Systemd {
    systemd: Process,
    cgroup: PathBuf,
    home: TempDir,
}

impl Systemd {
    /// Boots it in a network namespace; with the uploader's units on request.
    ///
    /// # Errors
    /// There is no cgroup2, or systemd is not installed.
    pub fn boot(namespace: &Namespace, uploads: bool) -> Result<Self> {
        let home = TempDir::new()?;
        for directory in ["view", "log", "private"] {
            fs::create_dir(home.path().join(directory))?;
        }
        // As systemd makes it.
        fs::set_permissions(home.path().join("private"), Permissions::from_mode(0o700))?;
        let remote = format!("R:/var/lib/packet-headers/{DESTINATION}");
        let upload = format!("DESTINATION={remote}\nRCLONE_CONFIG_R_TYPE=local\n");
        fs::write(home.path().join("upload"), upload)?;
        write_units(&home.path().join("units"), uploads)?;
        let cgroup = cgroup2()?.join(namespace.name());
        fs::create_dir(&cgroup).with_context(|| format!("making {}", cgroup.display()))?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/boot_systemd.sh");
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--pid",
            "--ipc",
            "--uts",
            "--fork",
            "--kill-child",
            "--",
        ]);
        command.arg("sh").arg(script).arg(home.path());
        command.arg(namespace.name()).arg(executable()?);
        let systemd = Process::start(namespace, &mut command)?;
        Ok(Self {
            systemd,
            cgroup,
            home,
        })
    }

    /// Waits until the daemon has begun to capture so many times; its process id.
    ///
    /// # Errors
    /// It has not.
    pub fn wait_for_starts(&mut self, count: usize) -> Result<u32> {
        let out = self.home.path().join("log/out");
        let waited = wait::until(format!("start {count} of the daemon"), LIMIT, || {
            // Not there before the first start.
            let text = fs::read_to_string(&out).unwrap_or_default();
            let starts = text.lines().filter(|line| line.contains("capturing "));
            Ok((starts.count() == count).then_some(()))
        });
        waited.with_context(|| self.transcript())?;
        let procs = self
            .cgroup
            .join("system.slice")
            .join(UNIT)
            .join("cgroup.procs");
        let text = fs::read_to_string(&procs).with_context(|| self.transcript())?;
        text.trim()
            .parse()
            .with_context(|| format!("one process in {text:?}"))
    }

    /// The daemon's files.
    #[must_use]
    pub fn captures(&self) -> Captures {
        Captures::new(self.state().join("pcap"))
    }

    /// Those that the uploader has taken.
    #[must_use]
    pub fn uploaded(&self) -> Captures {
        Captures::new(self.state().join(DESTINATION))
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("private/packet-headers")
    }

    /// Kills the daemon.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&self, id: u32) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(id)?).context("process id 0")?;
        kill_process(pid, Signal::KILL).with_context(|| self.transcript())
    }

    /// Everything that the daemon and systemd printed.
    #[must_use]
    pub fn transcript(&self) -> String {
        let mut text = self.systemd.transcript();
        for name in ["out", "err"] {
            text +=
                &fs::read_to_string(self.home.path().join("log").join(name)).unwrap_or_default();
        }
        text
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        // With pid 1 every process of its namespace ends.
        let ended = self
            .systemd
            .signal(Signal::KILL)
            .and_then(|()| self.systemd.wait(LIMIT).map(drop))
            .and_then(|()| wait::until("empty cgroups", LIMIT, || Ok(remove(&self.cgroup).ok())));
        if let Err(error) = ended {
            eprintln!("{error:#}");
        }
    }
}

/// Writes what systemd is to run.
fn write_units(units: &Path, uploads: bool) -> Result<()> {
    fs::create_dir(units)?;
    let service = |name: &str| units.join(format!("{name}.d"));
    for name in [&[UNIT], &UPLOAD[..]].concat() {
        fs::copy(unit(name), units.join(name))?;
        fs::create_dir(service(name))?;
    }
    for target in TARGETS {
        let text = "[Unit]\nDefaultDependencies=no\n";
        fs::write(units.join(format!("{target}.target")), text)?;
    }
    let timer = if uploads { UPLOAD[1] } else { "" };
    let default = format!("[Unit]\nRequires={UNIT} {timer}\n");
    fs::write(units.join("default.target"), default)?;
    let log = |name| {
        format!(
            "[Service]\nStandardOutput=append:/run/log/{name}\nStandardError=append:/run/log/err\n"
        )
    };
    fs::write(service(UNIT).join("test.conf"), log("out"))?;
    fs::write(service(UPLOAD[0]).join("test.conf"), log("err"))?;
    Ok(fs::write(service(UPLOAD[1]).join("test.conf"), OFTEN)?)
}

/// Removes a cgroup and those below.
fn remove(cgroup: &Path) -> Result<()> {
    for entry in fs::read_dir(cgroup)? {
        let path = entry?.path();
        if path.is_dir() {
            remove(&path)?;
        }
    }
    Ok(fs::remove_dir(cgroup)?)
}

/// Where cgroup2 is mounted.
fn cgroup2() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mut places = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let place = words.next()?;
        (words.next()? == "cgroup2").then(|| place.into())
    });
    places.next().context("this machine has no cgroup2")
}
