//! Whose connection it was at one of its ends.

use model::Owner;

use crate::column::columns;

columns! {
    /// The process at one end of the connection, as its host saw it; no values where nobody told.
    Owned [OWNED: "owner_"] {
        /// At which end the process was: `client` or `server`.
        end: Option<String>, "";
        /// Its user: the real user ID.
        uid: Option<u32>, "Linux: `getuid(2)`";
        /// The process: its thread group's ID on its host.
        pid: Option<u32>, "Linux: `getpid(2)`";
        /// The process's name, or that of its thread which connected or closed: 15 bytes at most, and its own choice.
        process: Option<String>, "Linux: `/proc/PID/comm`, `/proc/PID/task/TID/comm`";
        /// Its cgroup: the path in the cgroup2 hierarchy. In one of more than 1024 bytes, `/…` replaces names in
        /// the middle.
        cgroup: Option<String>, "Linux: `/proc/PID/cgroup`";
        /// The container that it was in, by the path of its cgroup: its ID or, of LXC, its name.
        container: Option<String>, "OCI runtimes: container ID";
        /// The Kubernetes pod that it was in, by the path of its cgroup.
        pod: Option<String>, "Kubernetes: `metadata.uid`";
    }
}

impl Owned {
    /// Nobody told.
    pub(crate) const UNKNOWN: Self = Self {
        end: None,
        uid: None,
        pid: None,
        process: None,
        cgroup: None,
        container: None,
        pod: None,
    };

    /// By this process at this end, `client` or `server`.
    #[must_use]
    pub fn by(end: &str, owner: &Owner) -> Self {
        let text = |text: &str| text.to_owned();
        Self {
            end: Some(end.to_owned()),
            uid: Some(owner.uid),
            pid: owner.pid,
            process: owner.process.as_deref().map(text),
            cgroup: owner.cgroup.as_deref().map(text),
            container: owner.container().map(text),
            pod: owner.pod(),
        }
    }

    /// Whose it was, if somebody told.
    #[must_use]
    pub fn owner(&self) -> Option<Owner> {
        Some(Owner {
            uid: self.uid?,
            pid: self.pid,
            process: self.process.as_deref().map(Into::into),
            cgroup: self.cgroup.as_deref().map(Into::into),
        })
    }
}
