//! Whose connections are, from what the kernel tells.

use std::collections::HashMap;
use std::sync::Arc;

use messages::sock_diag::ExistingSocket;
use model::Owner;
use packet_headers_common::owner_record::COMM_LEN;
use packet_headers_common::{ListenerKey, OwnerRecord};

use super::existing;
use crate::host::cgroups::Cgroups;
use crate::host::processes::{Process, Processes};
use crate::kernel::Cgroup2;
use crate::kernel::listeners::Listeners;

/// How many owners are remembered, so that the connections of a server share one.
const REMEMBERED: usize = 4096;

/// Turns what the kernel tells into owners.
pub(crate) struct Owners {
    cgroups: Cgroups,
    /// Who had older sockets open.
    processes: Arc<Processes>,
    remembered: HashMap<OwnerRecord, Arc<Owner>>,
}

impl Owners {
    /// For sockets that these processes may have had open before the daemon began.
    pub(crate) fn new(processes: Arc<Processes>) -> Self {
        Self {
            cgroups: Cgroups::new(Cgroup2::find().ok().map(|found| found.path().to_owned())),
            processes,
            remembered: HashMap::new(),
        }
    }

    /// The owner that a kernel program noted.
    pub(super) fn noted(&mut self, record: &OwnerRecord) -> Arc<Owner> {
        if let Some(owner) = self.remembered.get(record) {
            return Arc::clone(owner);
        }
        let owner = Owner {
            uid: record.uid,
            pid: (record.pid != 0).then_some(record.pid),
            process: name(record.name()),
            cgroup: self.cgroups.path(record.cgroup),
        };
        // As files and rows hold it.
        let owner = Arc::new(owner.bounded());
        // One whose cgroup is not known may have one the next time.
        if owner.cgroup.is_some() {
            if self.remembered.len() >= REMEMBERED {
                self.remembered.clear();
            }
            self.remembered.insert(*record, Arc::clone(&owner));
        }
        owner
    }

    /// The owner of a socket that is older than the daemon; `None` if no process has it open.
    pub(super) fn of_older(&mut self, socket: &ExistingSocket) -> Option<Arc<Owner>> {
        Some(self.noted(&self.record(socket)?))
    }

    /// What a kernel program would have noted of a socket, had it been there.
    fn record(&self, socket: &ExistingSocket) -> Option<OwnerRecord> {
        if socket.inode == 0 {
            return None;
        }
        let process = self.processes.of_socket(socket.inode.into());
        Some(OwnerRecord {
            cgroup: socket.cgroup.unwrap_or_default(),
            pid: process.map_or(0, |process| process.pid),
            uid: process.map_or(socket.uid, |process| process.uid),
            comm: process.map_or([0; COMM_LEN], comm),
        })
    }

    /// Tells the kernel programs who listens already in the daemon's network namespace, which has this cookie.
    pub(crate) fn tell_listeners(&self, listeners: &mut Listeners, netns: u64) {
        let listening = existing::listening().unwrap_or_else(|error| {
            tracing::info!("connections to sockets that listen already have no owner while they are open: {error:#}");
            Vec::new()
        });
        for socket in listening {
            let port = u64::from(socket.local.port());
            if let Some(record) = self.record(&socket) {
                listeners.add(&ListenerKey { netns, port }, &record);
            }
        }
    }
}

fn comm(process: &Process) -> [u8; COMM_LEN] {
    let mut comm = [0; COMM_LEN];
    // The kernel's own are one byte shorter, and end with a zero.
    for (to, from) in comm.iter_mut().zip(&process.comm) {
        *to = *from;
    }
    comm
}

fn name(comm: &[u8]) -> Option<Box<str>> {
    (!comm.is_empty()).then(|| String::from_utf8_lossy(comm).into())
}

#[cfg(test)]
mod tests {
    use packet_headers_common::Endpoint;

    use super::*;

    fn owners() -> Owners {
        Owners {
            cgroups: Cgroups::new(None),
            processes: Arc::default(),
            remembered: HashMap::new(),
        }
    }

    fn record(pid: u32, cgroup: u64) -> OwnerRecord {
        OwnerRecord {
            cgroup,
            pid,
            uid: 33,
            comm: *b"nginx\0\0\0\0\0\0\0\0\0\0\0",
        }
    }

    #[test]
    fn connections_of_one_process_share_their_owner() {
        let mut owners = owners();
        let (first, second) = (owners.noted(&record(7, 1)), owners.noted(&record(7, 1)));
        assert!(Arc::ptr_eq(&first, &second));
        let expected = Owner {
            uid: 33,
            pid: Some(7),
            process: Some("nginx".into()),
            cgroup: Some("/".into()),
        };
        assert_eq!(*first, expected);
        // Of an unknown cgroup, nothing is made up and nothing remembered.
        assert_eq!(owners.noted(&record(7, 99)).cgroup, None);
        assert_eq!(owners.remembered.len(), 1);
    }

    #[test]
    fn as_many_processes_as_one_likes_take_bounded_memory() {
        let mut owners = owners();
        for pid in 1..=3 * u32::try_from(REMEMBERED).unwrap() {
            owners.noted(&record(pid, 1));
        }
        assert!(owners.remembered.len() <= REMEMBERED);
    }

    #[test]
    fn an_older_socket_that_nobody_has_open_has_no_owner() {
        let mut owners = owners();
        let mut socket = ExistingSocket {
            cookie: 1,
            local: Endpoint::v4([192, 0, 2, 1], 443),
            remote: Endpoint::v4([192, 0, 2, 2], 50_000),
            inode: 0,
            uid: 0,
            cgroup: Some(1),
        };
        assert_eq!(owners.of_older(&socket), None);
        socket.inode = 4242;
        socket.uid = 33;
        let expected = Owner {
            uid: 33,
            pid: None,
            process: None,
            cgroup: Some("/".into()),
        };
        assert_eq!(owners.of_older(&socket).as_deref(), Some(&expected));
    }
}
