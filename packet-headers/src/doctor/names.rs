//! Where connections get their names: the kernel's sockets, tcp-info, and the files that flags name.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use caps::{CapSet, Capability};

use super::finding::Group;
use crate::cli::NamedFile;
use crate::config::Config;
use crate::events::tcpinfo::connect;
use crate::kernel::Cgroup2;
use crate::load_options;
use model::{EventSocket, FlowSource};

pub(super) fn check(config: &Config, named: Vec<NamedFile>) -> Group {
    let mut group = Group::new("names");
    for NamedFile { flag, what, bad } in named {
        let name = flag.trim_start_matches('-');
        match bad {
            None => group.ok(name, what),
            Some(error) => group.error(name, &error, &format!("use another {flag}")),
        }
    }
    if config.source.watches_sockets() {
        match Cgroup2::find() {
            Ok(found) => cgroup2(&mut group, &found),
            Err(error) => group.error("cgroup2", &error, "mount a cgroup2 filesystem"),
        }
        owners(
            &mut group,
            load_options::wants_owners(config),
            sees_processes(),
        );
    }
    group
}

/// Whether this process may look at those of others, and they are in its /proc.
fn sees_processes() -> bool {
    let permitted = caps::has_cap(None, CapSet::Effective, Capability::CAP_SYS_PTRACE);
    // What a namespace of PIDs hides, nobody can tell; but /proc may hide processes of others (hidepid).
    permitted.unwrap_or_default() && fs::read_link("/proc/1/exe").is_ok()
}

fn owners(group: &mut Group, wanted: bool, sees_processes: bool) {
    const NAME: &str = "owners";
    if !wanted {
        return group.mention(
            NAME,
            "not told: whose connections are is hidden with their addresses",
        );
    }
    if sees_processes {
        return group.ok(NAME, "told: process, user, cgroup, container and pod");
    }
    group.note(
        NAME,
        "connections that are older than the daemon have a user and a cgroup, and no process",
        "grant CAP_SYS_PTRACE, which is dropped after the start, if you need these",
    );
}

fn cgroup2(group: &mut Group, found: &Cgroup2) {
    const NAME: &str = "cgroup2";
    match found.lacking() {
        Some(lacking) => group.diagnostic(NAME, lacking),
        None if found.is_own() => group.ok(
            NAME,
            "is not mounted whole where it can be seen: the daemon mounts one for itself",
        ),
        None => group.ok(
            NAME,
            format!("its root is mounted at {}", found.path().display()),
        ),
    }
}

/// Connects to tcp-info's event socket, if the source uses it.
pub(super) async fn tcpinfo(group: &mut Group, source: &FlowSource) {
    const NAME: &str = "tcpinfo.eventsocket";
    let socket = match source {
        FlowSource::Kernel(_) => return,
        FlowSource::TcpInfo(socket, _) | FlowSource::Hybrid(socket, _) => socket,
    };
    match connect(socket).await {
        Ok(_closed) => group.ok(NAME, format!("{socket} answers{}", rights(socket))),
        Err(error) => group.problem(
            NAME,
            format!("{socket}: {error}{}", rights(socket)),
            no_answer(&error),
        ),
    }
}

/// What to do about a socket that cannot be connected to.
fn no_answer(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        "let this user write to the socket, or run as a user who can"
    } else {
        "start tcp-info (until then packet-headers waits, and connections get no names), or use \
         the path of its --tcpinfo.eventsocket"
    }
}

/// The mode and owner of a Unix socket, in words.
fn rights(socket: &EventSocket) -> String {
    let EventSocket::Unix(path) = socket else {
        return String::new();
    };
    fs::metadata(path).map_or_else(
        |_| String::new(),
        |file| {
            let kind = if file.file_type().is_socket() {
                ""
            } else {
                ", which is not a socket"
            };
            let (mode, uid, gid) = (file.mode() & 0o7777, file.uid(), file.gid());
            format!("{kind} (mode {mode:04o}, user {uid}, group {gid})")
        },
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::finding::State;
    use super::*;

    #[test]
    fn whether_owners_are_told_and_what_is_missing_for_older_connections() {
        let judged = |wanted, sees| {
            let mut group = Group::new("names");
            owners(&mut group, wanted, sees);
            group.the("owners").clone()
        };
        assert_eq!(judged(true, true).state, State::Ok);
        let blind = judged(true, false);
        assert_eq!(blind.state, State::Note);
        assert!(blind.help.unwrap().contains("CAP_SYS_PTRACE"));
        assert!(judged(false, true).found.contains("hidden"));
    }

    #[test]
    fn a_named_file_is_said_good_or_bad() {
        let good = NamedFile::new("--uuid-prefix-file", Path::new("/p"), Ok(1)).0;
        let bad = Err::<(), _>(anyhow::anyhow!("no such file"));
        let (bad, nothing) = NamedFile::new("--anonymize.key-file", Path::new("/k"), bad);
        assert_eq!(nothing, None);
        let config = crate::doctor::tests::config(&["--tcpinfo.eventsocket=/run/none"]);
        let group = check(&config, vec![good, bad]);
        assert_eq!(group.the("uuid-prefix-file").state, State::Ok);
        let bad = group.the("anonymize.key-file");
        assert_eq!(bad.state, State::Problem);
        assert_eq!(
            bad.help.as_deref(),
            Some("use another --anonymize.key-file")
        );
    }

    #[tokio::test]
    async fn a_socket_that_nobody_serves_is_a_problem() {
        let config = crate::doctor::tests::config(&["--tcpinfo.eventsocket=/nowhere/tcpevents"]);
        let mut group = Group::new("names");
        tcpinfo(&mut group, &config.source).await;
        let socket = group.the("tcpinfo.eventsocket");
        assert_eq!(socket.state, State::Problem);
        assert!(socket.found.contains("/nowhere/tcpevents"), "{socket:?}");
        assert!(socket.help.as_ref().unwrap().contains("start tcp-info"));
    }
}
