//! The systemd units, under a systemd of their own: pid 1 of a pid namespace, with a copy-on-write
//! view of this machine's files, in the network namespace of a lab's host.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::world::netns::Namespace;
use crate::world::process::Process;
use crate::world::{cgroup, deploy, wait};

/// The daemon's unit.
pub const UNIT: &str = "packet-headers.service";
/// The uploader's units.
pub const UPLOAD: [&str; 2] = [
    "packet-headers-upload.service",
    "packet-headers-upload.timer",
];
/// Makes the uploader's timer fast enough for a test.
const OFTEN: &str = "[Timer]\nOnActiveSec=1s\nOnUnitInactiveSec=1s\nAccuracySec=100ms\n";
/// Where the uploader moves files.
const DESTINATION: &str = "uploaded";
/// The targets that services depend on; without them systemd cannot restart a service.
const TARGETS: [&str; 5] = ["basic", "sysinit", "shutdown", "network", "network-online"];

/// A unit's file in deploy/.
#[must_use]
pub fn unit(name: &str) -> PathBuf {
    deploy::directory().join("systemd").join(name)
}

/// A running systemd that runs our units and nothing else; ended on drop.
#[derive(Debug)]
pub struct Systemd {
    systemd: Process,
    cgroup: PathBuf,
    home: TempDir,
}

impl Systemd {
    /// Boots it in a network namespace with this executable of the daemon, and with the uploader's
    /// units if it `uploads`.
    ///
    /// # Errors
    /// There is no cgroup2, or systemd is not installed.
    pub fn boot(namespace: &Namespace, daemon: &Path, uploads: bool) -> Result<Self> {
        let home = TempDir::new()?;
        for directory in ["view", "log", "private"] {
            fs::create_dir(home.path().join(directory))?;
        }
        // The mode that systemd gives it.
        fs::set_permissions(home.path().join("private"), Permissions::from_mode(0o700))?;
        let remote = format!("R:/var/lib/packet-headers/{DESTINATION}");
        let upload = format!("DESTINATION={remote}\nRCLONE_CONFIG_R_TYPE=local\n");
        fs::write(home.path().join("upload"), upload)?;
        write_units(&home.path().join("units"), uploads)?;
        let cgroup = cgroup::root()?.join(namespace.name());
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
        command.arg(namespace.name()).arg(daemon);
        let systemd = Process::start(namespace, &mut command)?;
        Ok(Self {
            systemd,
            cgroup,
            home,
        })
    }

    /// Waits until the daemon has begun to capture for the `count`th time; returns its process ID.
    ///
    /// # Errors
    /// It has not.
    pub fn wait_for_starts(&mut self, count: usize) -> Result<u32> {
        let log = self.home.path().join("log/err");
        let waited = wait::until(format!("start {count} of the daemon"), || {
            // The file does not exist before the first start.
            let text = fs::read_to_string(&log).unwrap_or_default();
            let starts = text.lines().filter(|line| deploy::captures(line));
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

    /// The daemon's data directory.
    #[must_use]
    pub fn datadir(&self) -> PathBuf {
        self.state().join("pcap")
    }

    /// The directory of the files that the uploader has moved.
    #[must_use]
    pub fn uploaded(&self) -> PathBuf {
        self.state().join(DESTINATION)
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
        // Every process of the namespace ends with its pid 1.
        let ended = self
            .systemd
            .signal(Signal::KILL)
            .and_then(|()| self.systemd.wait().map(drop))
            .and_then(|()| wait::until("empty cgroups", || Ok(remove(&self.cgroup).ok())));
        if let Err(error) = ended {
            eprintln!("{error:#}");
        }
    }
}

/// Writes the units that systemd runs.
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

/// Removes a cgroup and those below it.
fn remove(cgroup: &Path) -> Result<()> {
    for entry in fs::read_dir(cgroup)? {
        let path = entry?.path();
        if path.is_dir() {
            remove(&path)?;
        }
    }
    Ok(fs::remove_dir(cgroup)?)
}
