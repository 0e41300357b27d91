//! Whose connection it was.

mod bounded;
mod cgroup_path;
mod text;
mod wanted;

use std::sync::Arc;

pub use wanted::{
    BadCgroupTree, BadContainerName, BadPodUid, BadProcessName, CgroupTree, ContainerName, PodUid,
    ProcessName, WantedOwners,
};

/// The process at this host's end of a connection: the one that connected or that bound the port and, once the socket
/// is closed, the one that closed it.
///
/// A connection that is older than the daemon has the owner of its socket until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its user: the real user ID, in the initial user namespace or, for older connections, in the daemon's.
    pub uid: u32,
    /// The process (thread group), in the initial PID namespace or, for older connections, in the daemon's.
    pub pid: Option<u32>,
    /// Its name, or that of the thread that did it: at most 15 bytes, which the process chose itself.
    pub process: Option<Box<str>>,
    /// Its cgroup: the path in the cgroup2 hierarchy, which begins with a slash.
    pub cgroup: Option<Arc<str>>,
}

impl Owner {
    /// The memory that it takes, in bytes. The path is counted as a whole, though others may have it, too.
    #[must_use]
    pub fn memory(&self) -> usize {
        let name = self.process.as_deref().map_or(0, str::len);
        let path = self.cgroup.as_deref().map_or(0, str::len);
        size_of::<Self>() + name + path
    }

    /// The ID of the container that it was in, from the path of its cgroup.
    #[must_use]
    pub fn container(&self) -> Option<&str> {
        self.cgroup.as_deref().and_then(cgroup_path::container)
    }

    /// The UID of the Kubernetes pod that it was in, from the path of its cgroup.
    #[must_use]
    pub fn pod(&self) -> Option<String> {
        self.cgroup.as_deref().and_then(cgroup_path::pod)
    }
}
