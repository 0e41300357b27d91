//! Which process has a socket open, by /proc.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long it may take. A host with a million descriptors takes some seconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// The most sockets that are known.
const MOST: usize = 1 << 20;

/// The processes that had sockets open at one moment. With the capability CAP_SYS_PTRACE it has all, without it those
/// of the daemon's own user.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    /// By the inode of the socket: of several processes, the one that was there first.
    by_socket: HashMap<u64, u32>,
    by_pid: HashMap<u32, Process>,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its ID, in the PID namespace of /proc.
    pub(crate) pid: u32,
    /// Its real user ID.
    pub(crate) uid: u32,
    /// Its name.
    pub(crate) comm: Vec<u8>,
}

impl Processes {
    /// Looks at all processes of a proc filesystem.
    pub(crate) fn look(proc: &Path) -> Self {
        let begun = Instant::now();
        let mut found = Self::default();
        let entries = fs::read_dir(proc).into_iter().flatten();
        let entries = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let mut pids: Vec<u32> = entries.collect();
        // The first to have a socket is, as a rule, who made it.
        pids.sort_unstable();
        for pid in pids {
            if begun.elapsed() > PATIENCE {
                tracing::info!(
                    "looking at every process takes too long: some older connections have no process"
                );
                break;
            }
            found.add(proc, pid);
        }
        found
    }

    fn add(&mut self, proc: &Path, pid: u32) {
        let home = proc.join(pid.to_string());
        let before = self.by_socket.len();
        // A process may end at any moment, or be none of ours.
        for link in fs::read_dir(home.join("fd")).into_iter().flatten() {
            let target = link.and_then(|link| fs::read_link(link.path()));
            let inode = target.ok().and_then(|target| socket(target.to_str()?));
            if let Some(inode) = inode
                && self.by_socket.len() < MOST
            {
                self.by_socket.entry(inode).or_insert(pid);
            }
        }
        if self.by_socket.len() > before
            && let Some(process) = Process::read(&home, pid)
        {
            self.by_pid.insert(pid, process);
        }
    }

    /// The process that had the socket with this inode open.
    pub(crate) fn of_socket(&self, inode: u64) -> Option<&Process> {
        self.by_pid.get(self.by_socket.get(&inode)?)
    }
}

impl Process {
    fn read(home: &Path, pid: u32) -> Option<Self> {
        let mut comm = fs::read(home.join("comm")).ok()?;
        if comm.last() == Some(&b'\n') {
            comm.pop();
        }
        let status = fs::read(home.join("status")).ok()?;
        Some(Self {
            pid,
            uid: uid(&String::from_utf8_lossy(&status))?,
            comm,
        })
    }
}

/// The inode in what a descriptor of a socket links to: `socket:[4242]`.
fn socket(target: &str) -> Option<u64> {
    let inode = target.strip_prefix("socket:[")?.strip_suffix(']')?;
    inode.parse().ok()
}

/// The real user ID in /proc/PID/status. A name cannot make it up: the kernel escapes line ends there.
fn uid(status: &str) -> Option<u32> {
    let mut lines = status.lines();
    let ids = lines.find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::os::fd::AsRawFd as _;
    use std::process;

    use super::*;

    #[test]
    fn this_process_has_its_socket() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let link = format!("/proc/self/fd/{}", listener.as_raw_fd());
        let inode = socket(fs::read_link(link).unwrap().to_str().unwrap()).unwrap();
        let found = Processes::look(Path::new("/proc"));
        let found = found.of_socket(inode).unwrap();
        assert_eq!(found.pid, process::id());
        let comm = fs::read("/proc/self/comm").unwrap();
        assert_eq!(found.comm, comm.trim_ascii_end());
        assert_eq!(found.uid, rustix::process::getuid().as_raw());
    }

    #[test]
    fn what_is_no_socket_and_no_process_is_passed_over() {
        for target in ["/dev/null", "socket:[]", "socket:[1", "pipe:[7]", ""] {
            assert_eq!(socket(target), None, "{target}");
        }
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("17/fd")).unwrap();
        fs::create_dir(home.path().join("sys")).unwrap();
        let found = Processes::look(home.path());
        assert_eq!(found.of_socket(1), None);
    }

    #[test]
    fn the_first_process_with_a_socket_has_it() {
        let home = tempfile::tempdir().unwrap();
        for (pid, uid) in [("18", "33"), ("17", "0")] {
            let process = home.path().join(pid);
            fs::create_dir_all(process.join("fd")).unwrap();
            std::os::unix::fs::symlink("socket:[4242]", process.join("fd/3")).unwrap();
            fs::write(process.join("comm"), "nginx\n").unwrap();
            let status = format!("Name:\tnginx\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n");
            fs::write(process.join("status"), status).unwrap();
        }
        let found = Processes::look(home.path());
        let expected = Process {
            pid: 17,
            uid: 0,
            comm: b"nginx".to_vec(),
        };
        assert_eq!(found.of_socket(4242), Some(&expected));
    }
}
