//! The daemon's container image, run by an OCI runtime as Kubernetes or Docker would run it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::command::output_of;
use crate::world::deploy::{Mount, Pod, captures};
use crate::world::netns::Namespace;
use crate::world::process::{Process, Stream};

mod docker;
mod image;
mod seccomp;

pub use docker::Docker;
use docker::Part;
pub use image::Image;
pub use seccomp::Profile;

/// What a runtime mounts on its own account.
const RUNTIME_MOUNTS: [(&str, &str, &[&str]); 4] = [
    ("proc", "/proc", &["nosuid", "noexec", "nodev"]),
    ("tmpfs", "/dev", &["nosuid", "mode=755", "size=65536k"]),
    ("tmpfs", "/dev/shm", &["nosuid", "noexec", "nodev"]),
    ("sysfs", "/sys", &["nosuid", "noexec", "nodev", "ro"]),
];
/// Gives this machine the cgroup layout of [`crun`]'s comment, in a mount namespace, and becomes
/// the program that follows.
const NODE: &str = "
    unified=$(awk '$3 == \"cgroup2\" { print $2; exit }' /proc/self/mounts)
    [ \"$unified\" = /sys/fs/cgroup ] || mount --bind \"$unified\" /sys/fs/cgroup
    exec \"$@\"
";
/// Enters the cgroup whose file comes first, and becomes the program that follows.
const PART: &str = "
    echo $$ > \"$1\"
    shift
    exec \"$@\"
";
/// What a runtime hides, and what it shows read-only.
const MASKED: [&str; 4] = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/timer_list",
    "/sys/firmware",
];
const READ_ONLY: [&str; 4] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"];

/// The user that the daemon is in its container.
#[derive(Debug, Clone)]
pub struct Account {
    /// The user's ID, which is the group's too.
    pub user: u32,
    /// Its capabilities, without `CAP_`.
    pub capabilities: Vec<String>,
}

/// A running container, deleted on drop.
#[derive(Debug)]
pub struct Container {
    process: Process,
    state: PathBuf,
    name: String,
    _part: Option<Part>,
    _bundle: TempDir,
}

impl Container {
    /// Runs the image as `pod` says: in the network namespace `node`, with its data below `disk`,
    /// as `account` and under a seccomp profile.
    ///
    /// # Errors
    /// The runtime's, or it is not installed.
    pub fn run(
        image: &Image,
        pod: &Pod,
        (node, disk): (&Namespace, &Path),
        account: &Account,
        profile: Profile,
    ) -> Result<Self> {
        let escalates = pod.security.allow_privilege_escalation != Some(false);
        let config = json!({
            "ociVersion": "1.0.2",
            "root": { "path": image.root(), "readonly": pod.security.read_only_root_filesystem },
            "process": process(image, &pod.arguments, account, escalates)?,
            "mounts": mounts(&pod.mounts, disk)?,
            "linux": linux(node, &["pid", "ipc", "mount"], account, profile)?,
        });
        Self::start(
            node,
            format!("{}-{}", node.name(), account.user),
            &config,
            None,
        )
    }

    /// Runs the image as Docker does on a host with cgroup2: in the network namespace `node`, with its data
    /// below `disk`, in a cgroup of its own.
    ///
    /// # Errors
    /// The runtime's, or it is not installed.
    pub fn docker(
        image: &Image,
        docker: &Docker,
        (node, disk): (&Namespace, &Path),
    ) -> Result<Self> {
        let account = docker.account();
        let mut namespaces = vec!["pid", "ipc", "mount", "uts"];
        if !docker.in_host_cgroups {
            namespaces.push("cgroup");
        }
        let mut mounts = mounts(&docker.volumes, disk)?;
        let cgroup = Path::new("/sys/fs/cgroup");
        if !docker.volumes.iter().any(|volume| volume.path == cgroup) {
            mounts.push(json!({
                "type": "cgroup",
                "source": "cgroup",
                "destination": cgroup,
                "options": ["nosuid", "noexec", "nodev", "relatime", "ro"],
            }));
        }
        let config = json!({
            "ociVersion": "1.0.2",
            "root": { "path": image.root(), "readonly": false },
            "process": process(image, &image.arguments()?, &account, true)?,
            "mounts": mounts,
            "linux": linux(node, &namespaces, &account, Profile::New)?,
        });
        let name = format!("{}-docker", node.name());
        let part = Part::make(&name)?;
        Self::start(node, name, &config, Some(part))
    }

    fn start(node: &Namespace, name: String, config: &Value, part: Option<Part>) -> Result<Self> {
        let bundle = TempDir::new()?;
        let file = bundle.path().join("config.json");
        fs::write(&file, serde_json::to_vec(config)?)?;
        let state = bundle.path().join("state");
        let mut command = crun(&state);
        // The tests need no resource limits, and not every machine allows them.
        command.args(["--cgroup-manager=disabled", "run", "--bundle"]);
        command.arg(bundle.path()).arg(&name);
        if let Some(part) = &part {
            let mut outer = Command::new("sh");
            outer.args(["-ec", PART, "sh"]).arg(part.processes());
            outer.arg(command.get_program()).args(command.get_args());
            command = outer;
        }
        Ok(Self {
            process: Process::start(node, &mut command).context("crun: apt-get install crun")?,
            state,
            name,
            _part: part,
            _bundle: bundle,
        })
    }

    /// Waits until the daemon captures.
    ///
    /// # Errors
    /// It does not.
    pub fn wait_until_it_captures(&mut self) -> Result<()> {
        let log = (Stream::Err, 0);
        self.process.wait_for_line(log, "it captures", captures)?;
        Ok(())
    }

    /// Waits until a line of its log contains `text`; returns the line.
    ///
    /// # Errors
    /// None does.
    pub fn wait_until_it_says(&mut self, text: &str) -> Result<String> {
        let says = |line: &str| line.contains(text);
        self.process.wait_for_line((Stream::Err, 0), text, says)?;
        let lines = self.process.lines(Stream::Err);
        let line = lines.into_iter().find(|line| says(line));
        line.with_context(|| self.process.transcript())
    }

    /// Stops it as Kubernetes does; returns everything that it printed.
    ///
    /// # Errors
    /// It fails, or does not stop.
    pub fn stop(mut self) -> Result<String> {
        output_of(self.crun("kill").arg("TERM"), "crun")?;
        let status = self.process.wait()?;
        let transcript = self.process.transcript();
        ensure!(status.code() == Some(0), "{status}: {transcript}");
        Ok(transcript)
    }

    /// Waits until it has failed; returns the lines of its standard error.
    ///
    /// # Errors
    /// It keeps running, or succeeds.
    pub fn fails(mut self) -> Result<Vec<String>> {
        let status = self.process.wait()?;
        let transcript = self.process.transcript();
        ensure!(status.code() == Some(1), "{status}: {transcript}");
        Ok(self.process.lines(Stream::Err))
    }

    fn crun(&self, verb: &str) -> Command {
        let mut command = crun(&self.state);
        command.arg(verb);
        if verb == "delete" {
            command.arg("--force");
        }
        command.arg(&self.name);
        command
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // A container that has ended leaves nothing to delete.
        if self.process.ended().is_ok_and(|ended| ended.is_none())
            && let Err(error) = output_of(&mut self.crun("delete"), "crun")
        {
            eprintln!("{error:#}");
        }
    }
}

/// The runtime, where /sys/fs/cgroup is cgroup2 as on all newer nodes: crun refuses nodes with both
/// versions of cgroups.
fn crun(state: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-ec", NODE, "sh", "crun", "--root"]);
    command.arg(state);
    command
}

/// The process of a config.json.
fn process(
    image: &Image,
    arguments: &[String],
    account: &Account,
    escalates: bool,
) -> Result<Value> {
    let names = account.capabilities.iter();
    let names: Vec<_> = names.map(|name| format!("CAP_{name}")).collect();
    // A user other than root keeps capabilities across exec only if they are ambient.
    let ambient = if account.user == 0 { &[] } else { &names[..] };
    let mut line = image.entrypoint()?;
    line.extend(arguments.iter().cloned());
    Ok(json!({
        "terminal": false,
        "cwd": "/",
        "args": line,
        "env": ["PATH=/bin"],
        "user": { "uid": account.user, "gid": account.user },
        "noNewPrivileges": !escalates,
        "capabilities": {
            "bounding": names,
            "effective": names,
            "permitted": names,
            "inheritable": ambient,
            "ambient": ambient,
        },
    }))
}

/// What a config.json says of Linux: new namespaces of these kinds, and the network of `node`.
fn linux(node: &Namespace, kinds: &[&str], account: &Account, profile: Profile) -> Result<Value> {
    let mut namespaces: Vec<_> = kinds.iter().map(|kind| json!({ "type": kind })).collect();
    let network = format!("/run/netns/{}", node.name());
    namespaces.push(json!({ "type": "network", "path": network }));
    Ok(json!({
        "namespaces": namespaces,
        "seccomp": seccomp::filter(profile, &account.capabilities)?,
        "maskedPaths": MASKED,
        "readonlyPaths": READ_ONLY,
    }))
}

/// The mounts of a config.json: the runtime's own, then the pod's.
fn mounts(pod: &[Mount], disk: &Path) -> Result<Vec<Value>> {
    let own = RUNTIME_MOUNTS.iter().map(|(kind, path, options)| {
        json!({ "type": kind, "source": kind, "destination": path, "options": options })
    });
    let mut mounts: Vec<_> = own.collect();
    for mount in pod {
        let host = mount
            .host
            .as_deref()
            .context("a mount without a host path")?;
        // What is writable is the data directory, which belongs to the test.
        let source = match mount.read_only {
            true => host.to_owned(),
            false => disk.to_owned(),
        };
        let access = if mount.read_only { "ro" } else { "rw" };
        mounts.push(json!({
            "type": "bind",
            "source": source,
            "destination": mount.path,
            "options": ["rbind", "rprivate", access],
        }));
    }
    Ok(mounts)
}

/// The archive that `cargo xtask image` makes, or `PACKET_HEADERS_IMAGE`.
fn archive() -> Result<PathBuf> {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/image/packet-headers.tar");
    let path = env::var_os("PACKET_HEADERS_IMAGE").map_or(made, PathBuf::from);
    ensure!(
        path.exists(),
        "no image at {}: cargo xtask image, or set PACKET_HEADERS_IMAGE",
        path.display()
    );
    Ok(path)
}
