//! Flags that say whose connections are captured.

use clap::Args;
use clap::error::ErrorKind;
use model::owner::{CgroupTree, ContainerName, PodUid, ProcessName, WantedOwners};

use super::refusal::Refusal;

/// Flags that say whose connections are captured.
#[derive(Debug, Args)]
#[command(next_help_heading = "Capture")]
pub(super) struct OwnerArguments {
    /// Capture only connections of processes of this user, by its ID; repeatable. As for the next four, who closed
    /// the connection counts: until then it is captured
    #[arg(
        long,
        value_name = "UID",
        value_delimiter = ',',
        hide_short_help = true
    )]
    uid: Vec<u32>,

    /// Capture only connections of processes (or threads) of this name; repeatable
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    process: Vec<ProcessName>,

    /// Capture only connections of processes in this cgroup, or in one below it; repeatable
    #[arg(long, value_name = "PATH", hide_short_help = true)]
    cgroup: Vec<CgroupTree>,

    /// Capture only connections of processes in this container: the ID, or its first 8 digits or
    /// more, or an LXC container's name; repeatable
    #[arg(long, value_name = "ID", value_delimiter = ',', hide_short_help = true)]
    container: Vec<ContainerName>,

    /// Capture only connections of processes in this Kubernetes pod, by the pod's UID; repeatable
    #[arg(
        long,
        value_name = "UID",
        value_delimiter = ',',
        hide_short_help = true
    )]
    pod: Vec<PodUid>,
}

impl OwnerArguments {
    /// Refuses flags where nobody knows whose connections are.
    ///
    /// # Errors
    /// The message.
    pub(super) fn check(
        &self,
        hides_addresses: bool,
        watches_sockets: bool,
    ) -> Result<(), Refusal> {
        let Some(flag) = self.first() else {
            return Ok(());
        };
        let why = if hides_addresses {
            "--anonymize.ip hides whose connections are, with their addresses"
        } else if !watches_sockets {
            "only the kernel flow source tells whose connections are: use --flow-source=kernel or hybrid"
        } else {
            return Ok(());
        };
        Err((ErrorKind::ArgumentConflict, format!("{flag}: {why}")))
    }

    /// The first flag that is given.
    fn first(&self) -> Option<&'static str> {
        let given = [
            ("--uid", self.uid.is_empty()),
            ("--process", self.process.is_empty()),
            ("--cgroup", self.cgroup.is_empty()),
            ("--container", self.container.is_empty()),
            ("--pod", self.pod.is_empty()),
        ];
        let mut given = given.into_iter().filter(|(_, is_empty)| !is_empty);
        given.next().map(|(flag, _)| flag)
    }

    /// Whose connections are wanted.
    pub(super) fn wanted(&self) -> WantedOwners {
        WantedOwners {
            uids: self.uid.clone(),
            processes: self.process.clone(),
            cgroups: self.cgroup.clone(),
            containers: self.container.clone(),
            pods: self.pod.clone(),
        }
    }
}
