//! What a capture needs from its start on: files, sockets, ports.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use model::{AttachMethod, EventSocket, FlowSource};

use crate::config::{Config, Service, WatchSocket};
use crate::kernel::Cgroup2;
use crate::live;

/// What stays permitted.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// Directories in which files and directories are made, written, moved and removed.
    pub(super) writable: Vec<PathBuf>,
    /// Directories whose files may be removed.
    pub(super) removable: Vec<PathBuf>,
    /// Files, and directories with files, that are read.
    pub(super) readable: Vec<PathBuf>,
    /// Directories that are opened, and their files are not.
    pub(super) opened: Vec<PathBuf>,
    /// Sockets that are made.
    pub(super) sockets: Sockets,
}

/// Which sockets may be made. Netlink and Unix datagram sockets always may.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sockets {
    /// A TCP connection to this port.
    pub(super) tcp: Option<u16>,
    /// Connections to Unix stream sockets.
    pub(super) unix: bool,
    /// Packet sockets.
    pub(super) packet: bool,
}

/// What is read in every capture, as far as it is there.
const READABLE: &[&str] = &[
    // Metrics, and the mount of cgroup2.
    "/proc/self",
    "/proc/stat",
    // The names in the backtrace of a panic.
    "/proc/self/exe",
    // Which kernel this is, and since when it runs.
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/random/boot_id",
    "/proc/version_signature",
    // Seeds of hash tables, where a program that is linked statically does not find getrandom(2).
    "/dev/random",
    "/dev/urandom",
    // How many values a counter of the kernel programs has.
    "/sys/devices/system/cpu",
];

impl Needs {
    /// The needs of a capture with this configuration. Its directories must exist.
    #[must_use]
    pub fn of(config: &Config, method: AttachMethod) -> Self {
        let files = &config.files;
        let cgroup = (config.source.watches_sockets()).then(Cgroup2::find);
        Self {
            writable: with_own_parents(&[&files.data, &files.partial]),
            removable: sockets(&config.service).map(parent).collect(),
            readable: (READABLE.iter().map(PathBuf::from))
                .chain(config.file.iter().flat_map(|file| of_configuration(file)))
                .collect(),
            opened: (cgroup.into_iter().flatten())
                .map(|cgroup| cgroup.path().to_owned())
                .collect(),
            sockets: Sockets::of(&config.source, method),
        }
    }
}

impl Sockets {
    const fn of(source: &FlowSource, method: AttachMethod) -> Self {
        let (tcp, unix) = match source {
            FlowSource::Kernel(_) => (None, false),
            FlowSource::TcpInfo(socket, _) | FlowSource::Hybrid(socket, _) => match socket {
                EventSocket::Tcp(address) => (Some(address.port()), false),
                EventSocket::Unix(_) => (None, true),
            },
        };
        Self {
            tcp,
            unix,
            packet: matches!(method, AttachMethod::Socket),
        }
    }
}

/// The sockets that may have been made, and whose files are removed at the end.
fn sockets(service: &Service) -> impl Iterator<Item = &Path> {
    let watch = match &service.watch {
        WatchSocket::Usual => Some(Path::new(live::USUAL_PLACE)),
        WatchSocket::At(path) => Some(path.as_path()),
        WatchSocket::Off => None,
    };
    service.events.as_deref().into_iter().chain(watch)
}

fn parent(path: &Path) -> PathBuf {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).to_owned()
}

/// What is read to read a configuration again: the file, or its directory, if that holds nothing else,
/// because whoever changes a file often puts another one in its place; and the groups that it may name.
fn of_configuration(file: &Path) -> Vec<PathBuf> {
    let mut places = with_own_parents(&[file]);
    places.push(PathBuf::from("/etc/group"));
    places
}

/// These directories; in place of one, its parent, if that holds nothing but these.
///
/// Landlock knows directories by their inode: when one is removed and made again, it is out of reach,
/// unless its parent is permitted. That can be done only where it permits nothing else.
fn with_own_parents(directories: &[&Path]) -> Vec<PathBuf> {
    let real = |path: &&Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let real: Vec<_> = directories.iter().map(real).collect();
    let own: HashSet<_> = real.iter().map(PathBuf::as_path).collect();
    let chosen = real.iter().map(|directory| match directory.parent() {
        Some(parent) if holds_only(parent, &own) => parent,
        Some(_) | None => directory,
    });
    chosen.map(Path::to_owned).collect()
}

/// Whether a directory can be listed, and holds nothing but `own`.
fn holds_only(directory: &Path, own: &HashSet<&Path>) -> bool {
    let Ok(mut entries) = fs::read_dir(directory) else {
        return false;
    };
    entries.all(|entry| entry.is_ok_and(|entry| own.contains(entry.path().as_path())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_permitted_only_when_it_holds_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().canonicalize().unwrap().join(name);
        let (data, partial) = (path("data"), path("data.partial"));
        let permitted = || with_own_parents(&[&data, &partial]);
        for made in [&data, &partial] {
            fs::create_dir(made).unwrap();
        }
        let parent = home.path().canonicalize().unwrap();
        assert_eq!(permitted(), [parent.clone(), parent]);
        fs::write(path("other"), "").unwrap();
        assert_eq!(permitted(), [data.clone(), partial.clone()]);
    }

    #[test]
    fn only_what_the_source_and_the_method_use_can_be_a_socket() {
        let source = |socket: &str| FlowSource::TcpInfo(socket.parse().unwrap(), None);
        let tcp = Sockets::of(&source("tcp://127.0.0.1:9000"), AttachMethod::Tcx);
        assert_eq!((tcp.tcp, tcp.unix, tcp.packet), (Some(9000), false, false));
        let unix = Sockets::of(&source("/run/events.sock"), AttachMethod::Socket);
        assert_eq!((unix.tcp, unix.unix, unix.packet), (None, true, true));
    }

    #[test]
    fn a_path_without_a_directory_is_in_the_current_one() {
        assert_eq!(parent(Path::new("events.sock")), Path::new("."));
        assert_eq!(parent(Path::new("/run/events.sock")), Path::new("/run"));
    }
}
