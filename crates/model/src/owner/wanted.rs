//! Whose connections are wanted.

use std::fmt;
use std::str::FromStr;

use super::Owner;

/// Whose connections are wanted, as filters say it.
///
/// ```
/// use model::Owner;
/// use model::owner::WantedOwners;
///
/// let wanted = WantedOwners {
///     uids: vec![0, 33],
///     cgroups: vec!["/system.slice".parse()?],
///     ..WantedOwners::default()
/// };
/// let owner = Owner {
///     uid: 33,
///     pid: Some(812),
///     process: Some("nginx".into()),
///     cgroup: Some("/system.slice/nginx.service".into()),
/// };
/// assert!(wanted.accepts(Some(&owner)));
/// assert!(!wanted.accepts(Some(&Owner { uid: 1000, ..owner })));
/// assert!(!wanted.accepts(None));
/// # Ok::<(), model::owner::BadCgroupTree>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WantedOwners {
    /// Users, by their IDs.
    pub uids: Vec<u32>,
    /// Processes, by their names.
    pub processes: Vec<ProcessName>,
    /// Cgroups, each with those below it.
    pub cgroups: Vec<CgroupTree>,
    /// Containers.
    pub containers: Vec<ContainerName>,
    /// Pods.
    pub pods: Vec<PodUid>,
}

impl WantedOwners {
    /// Whether everybody's connections are wanted, and also those of which nobody knows whose they are.
    #[must_use]
    pub const fn is_everybody(&self) -> bool {
        let Self {
            uids,
            processes,
            cgroups,
            containers,
            pods,
        } = self;
        uids.is_empty()
            && processes.is_empty()
            && cgroups.is_empty()
            && containers.is_empty()
            && pods.is_empty()
    }

    /// Whether a connection is wanted: each list that is not empty has something that fits its owner. Where the
    /// owner, or what a list asks for, is not known, only an empty list accepts it.
    #[must_use]
    pub fn accepts(&self, owner: Option<&Owner>) -> bool {
        let Some(owner) = owner else {
            return self.is_everybody();
        };
        fits(&self.uids, Some(owner.uid), |uid, of| *uid == of)
            && fits(&self.processes, owner.process.as_deref(), ProcessName::fits)
            && fits(&self.cgroups, owner.cgroup.as_deref(), CgroupTree::has)
            && fits(&self.containers, owner.container(), ContainerName::fits)
            && (self.pods.is_empty() || fits(&self.pods, owner.pod().as_deref(), PodUid::fits))
    }
}

fn fits<W, T: Copy>(wanted: &[W], known: Option<T>, fits: impl Fn(&W, T) -> bool) -> bool {
    let any = |known| wanted.iter().any(|wanted| fits(wanted, known));
    wanted.is_empty() || known.is_some_and(any)
}

/// The name of a process, as in /proc/PID/comm, or of its thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessName(Box<str>);

/// The kernel's TASK_COMM_LEN without the NUL: of a longer name it knows no more than this.
const NAME_LENGTH: usize = 15;

/// A text that cannot be the name of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a process cannot be empty: give what `ps -L -o comm` says")]
pub struct BadProcessName;

impl ProcessName {
    fn fits(&self, name: &str) -> bool {
        *self.0 == *name
    }
}

/// A longer name is cut, as the kernel does.
impl FromStr for ProcessName {
    type Err = BadProcessName;

    fn from_str(text: &str) -> Result<Self, BadProcessName> {
        let bytes = text.as_bytes();
        match bytes.get(..NAME_LENGTH).unwrap_or(bytes) {
            [] => Err(BadProcessName),
            name => Ok(Self(String::from_utf8_lossy(name).into())),
        }
    }
}

impl fmt::Display for ProcessName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A cgroup and those below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupTree(Box<str>);

/// Where systemd mounts the cgroup2 hierarchy.
const MOUNTED_AT: &str = "/sys/fs/cgroup";

/// A text that cannot be the path of a cgroup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the path of a cgroup, which begins with a slash: /system.slice/ssh.service, for \
     example (see /proc/PID/cgroup)"
)]
pub struct BadCgroupTree(String);

impl CgroupTree {
    /// Whether a cgroup is this one or below it.
    fn has(&self, path: &str) -> bool {
        let below = path.strip_prefix(&*self.0);
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }
}

/// The path in the hierarchy, or where that is mounted.
impl FromStr for CgroupTree {
    type Err = BadCgroupTree;

    fn from_str(text: &str) -> Result<Self, BadCgroupTree> {
        if !text.starts_with('/') {
            return Err(BadCgroupTree(text.to_owned()));
        }
        let inside = text.strip_prefix(MOUNTED_AT);
        let inside = inside.filter(|it| it.is_empty() || it.starts_with('/'));
        let path = inside.unwrap_or(text).trim_end_matches('/');
        Ok(Self(path.into()))
    }
}

impl fmt::Display for CgroupTree {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            "" => out.write_str("/"),
            path => out.write_str(path),
        }
    }
}

/// A container: its ID, the beginning of its ID, or an LXC container's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerName(Box<str>);

/// From so many hexadecimal digits on, a name is also the beginning of an ID. Engines show twelve.
const LEAST_DIGITS: usize = 8;

/// A text that cannot be the ID or name of a container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a container: give its ID, or the first {LEAST_DIGITS} digits of it or more, as \
     `docker ps` and `kubectl get pod -o yaml` show it, or an LXC container's name"
)]
pub struct BadContainerName(String);

impl ContainerName {
    fn fits(&self, container: &str) -> bool {
        let is_prefix = self.0.len() >= LEAST_DIGITS && is_hex(&self.0) && is_hex(container);
        *self.0 == *container || is_prefix && container.starts_with(&*self.0)
    }
}

/// An ID with or without the engine's name, as in `containerd://0123…`, which Kubernetes shows.
impl FromStr for ContainerName {
    type Err = BadContainerName;

    fn from_str(text: &str) -> Result<Self, BadContainerName> {
        let name = text.split_once("://").map_or(text, |(_, id)| id);
        if name.is_empty() || name.contains('/') {
            return Err(BadContainerName(text.to_owned()));
        }
        Ok(Self(name.into()))
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The UID of a Kubernetes pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodUid {
    text: Box<str>,
    digits: Box<str>,
}

/// A text that cannot be the UID of a pod.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the UID of a pod, which has 32 hexadecimal digits: \
     `kubectl get pod NAME -o jsonpath={{.metadata.uid}}` prints it"
)]
pub struct BadPodUid(String);

impl PodUid {
    fn fits(&self, uid: &str) -> bool {
        uid.bytes()
            .filter(|byte| *byte != b'-')
            .eq(self.digits.bytes())
    }
}

/// With or without `-` between its parts, in either case.
impl FromStr for PodUid {
    type Err = BadPodUid;

    fn from_str(text: &str) -> Result<Self, BadPodUid> {
        const DIGITS: usize = 32;
        let digits = text.replace('-', "").to_ascii_lowercase();
        if digits.len() != DIGITS || !is_hex(&digits) {
            return Err(BadPodUid(text.to_owned()));
        }
        Ok(Self {
            text: text.into(),
            digits: digits.into(),
        })
    }
}

impl fmt::Display for PodUid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
