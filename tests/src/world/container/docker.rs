//! Containers as `docker run` makes them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Account;
use crate::world::cgroup;
use crate::world::deploy::{self, Mount};
use crate::world::wait;

/// What Docker gives every container (https://docs.docker.com/engine/containers/run).
const CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// A command line of `docker run`, on a host with cgroup2.
#[derive(Debug)]
pub struct Docker {
    /// Whether it is on the host's network.
    pub on_host_network: bool,
    /// Whether it is in the host's cgroup namespace.
    pub in_host_cgroups: bool,
    /// Its mounts.
    pub volumes: Vec<Mount>,
    capabilities: Vec<String>,
}

impl Docker {
    /// The command line that deploy/README.md gives.
    ///
    /// # Errors
    /// There is none, or it has a flag that is not known here.
    pub fn documented() -> Result<Self> {
        let text = fs::read_to_string(deploy::directory().join("README.md"))?;
        let text = text.replace("\\\n", " ");
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.trim().strip_prefix("docker run "));
        Self::parse(line.context("no docker run in deploy/README.md")?)
    }

    fn parse(line: &str) -> Result<Self> {
        let mut docker = Self {
            on_host_network: false,
            in_host_cgroups: false,
            volumes: Vec::new(),
            capabilities: CAPABILITIES.map(str::to_owned).into(),
        };
        let flags = line.split_whitespace().take_while(|it| it.starts_with('-'));
        for flag in flags {
            match flag.split_once('=') {
                None if matches!(flag, "--detach" | "--rm") => {}
                Some(("--network", "host")) => docker.on_host_network = true,
                Some(("--cgroupns", "host")) => docker.in_host_cgroups = true,
                Some(("--cap-add", name)) => docker.capabilities.push(name.to_owned()),
                Some(("--volume", volume)) => docker.volumes.push(mount(volume)?),
                Some(_) | None => bail!("what is {flag}?"),
            }
        }
        Ok(docker)
    }

    pub(super) fn account(&self) -> Account {
        Account {
            user: 0,
            capabilities: self.capabilities.clone(),
        }
    }
}

/// `HOST:CONTAINER`, or `HOST:CONTAINER:ro`.
fn mount(volume: &str) -> Result<Mount> {
    let mut words = volume.split(':');
    let (host, path) = (words.next(), words.next());
    let (host, path) = host.zip(path).context("a volume is HOST:CONTAINER")?;
    Ok(Mount {
        host: Some(host.into()),
        path: path.into(),
        read_only: words.next() == Some("ro"),
    })
}

/// A cgroup of version 2, in which a container is; removed on drop.
#[derive(Debug)]
pub(super) struct Part(PathBuf);

impl Part {
    /// Makes one.
    pub(super) fn make(name: &str) -> Result<Self> {
        let path = cgroup::root()?.join(name);
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    /// The file that takes processes into it.
    pub(super) fn processes(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }

    fn remove(path: &Path) -> Result<()> {
        wait::until(format!("{} is empty", path.display()), || {
            Ok(fs::remove_dir(path).is_ok().then_some(()))
        })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Err(error) = Self::remove(&self.0) {
            eprintln!("{error:#}");
        }
    }
}
