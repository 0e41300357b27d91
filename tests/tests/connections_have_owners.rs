//! Promise: of each connection it is known whose it was: the process at this host's end, its user, cgroup and
//! container, as `ss` and /proc say it, whoever hands sockets on to whom; and connections can be chosen by it.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, Stopped, executable};
use end_to_end::peers::http;
use end_to_end::peers::refusal::refused;
use end_to_end::verify::report::DiscardReason;
use end_to_end::world::command::output_of;
use end_to_end::world::netns::{Lab, Namespace, first, second};
use end_to_end::world::process::{Process, Stream};
use end_to_end::world::{cgroup, python, wait};
use serde_json::Value;

/// What names a container has.
const CONTAINER: &str = "4f5a1c3e9b7d4f5a1c3e9b7d4f5a1c3e9b7d4f5a1c3e9b7d4f5a1c3e9b7d0123";

const PORT: u16 = 5001;

/// Users that are not root.
const WEB: u32 = 33;
const SOMEBODY: u32 = 1000;

/// A cgroup of this test, removed on drop.
struct Cgroup {
    directory: PathBuf,
    path: String,
}

impl Cgroup {
    fn make(name: &str) -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = format!("/ph-{}-{number}-{name}", process::id());
        let directory = cgroup::root()?.join(path.trim_start_matches('/'));
        fs::create_dir_all(&directory)
            .with_context(|| format!("making {}", directory.display()))?;
        Ok(Self { directory, path })
    }

    /// One that is named as Docker's are.
    fn of_container() -> Result<Self> {
        Self::make(&format!("docker-{CONTAINER}.scope"))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A process that was killed leaves it a moment later.
        let _left = wait::until("the cgroup is empty", || {
            Ok(fs::remove_dir(&self.directory).ok())
        });
    }
}

/// Starts a program as this user, in this cgroup.
fn start(
    namespace: &Namespace,
    (uid, cgroup): (u32, &Cgroup),
    program: &[&str],
) -> Result<Process> {
    let script = format!(
        "echo $$ > {}/cgroup.procs && exec setpriv --reuid={uid} --regid={uid} --clear-groups \"$@\"",
        cgroup.directory.display()
    );
    let mut command = Command::new("sh");
    command.args(["-ec", &script, "sh"]).args(program);
    Process::start(namespace, &mut command)
}

/// A program that every user can run.
fn hold() -> Result<(tempfile::TempDir, String)> {
    let home = tempfile::Builder::new()
        .permissions(open_to_all())
        .tempdir()?;
    let program = home.path().join("hold");
    fs::copy(env!("CARGO_BIN_EXE_hold"), &program)?;
    let program = program.to_str().context("no text")?.to_owned();
    Ok((home, program))
}

fn open_to_all() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}

/// One process that listens on the host, and one on the peer; each has a connection from the other host.
struct Held {
    accepting: Process,
    connecting: Process,
    _others: [Process; 2],
}

impl Held {
    fn begin(lab: &Lab, program: &str, cgroup: &Cgroup, elsewhere: &Cgroup) -> Result<Self> {
        let [host, peer] = [first(0)[0], second(0)[0]];
        let at = |address: IpAddr| SocketAddr::new(address, PORT).to_string();
        let listens = |mut process: Process| {
            process.wait_for_line((Stream::Out, 0), "it listens", |line| line == "listening")?;
            Ok::<_, anyhow::Error>(process)
        };
        let holds = |mut process: Process| {
            process.wait_for_line((Stream::Out, 0), "it holds", |line| line == "holding 1")?;
            Ok::<_, anyhow::Error>(process)
        };
        let accepting = start(&lab.host, (WEB, cgroup), &[program, "listen", &at(host)])?;
        let accepting = listens(accepting)?;
        let sink = start(&lab.peer, (0, elsewhere), &[program, "listen", &at(peer)])?;
        let sink = listens(sink)?;
        let source = start(
            &lab.peer,
            (0, elsewhere),
            &[program, "connect", &at(host), "1"],
        )?;
        let connecting = [program, "connect", &at(peer), "1"];
        let connecting = start(&lab.host, (SOMEBODY, elsewhere), &connecting)?;
        Ok(Self {
            accepting,
            connecting: holds(connecting)?,
            _others: [sink, holds(source)?],
        })
    }
}

/// Whose a connection is, as JSON of `/flows` or of a row says it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Whose {
    uid: u64,
    pid: u64,
    process: String,
    cgroup: String,
    container: Option<String>,
}

impl Whose {
    /// Of an object with these fields, whose names may begin with something.
    fn read(object: &Value, prefix: &str) -> Result<Self> {
        let field = |name: &str| &object[format!("{prefix}{name}")];
        let text = |name: &str| field(name).as_str().map(str::to_owned);
        let number = |name: &str| field(name).as_u64();
        let read = || {
            Some(Self {
                uid: number("uid")?,
                pid: number("pid")?,
                process: text("process")?,
                cgroup: text("cgroup")?,
                container: text("container"),
            })
        };
        read().with_context(|| format!("not all is known in {object}"))
    }
}

/// What `/flows` says of the connections.
fn listed(lab: &Lab, daemon: &Daemon) -> Result<Vec<Value>> {
    let page = http::get(&lab.host, daemon.http()?, "/flows")?.good()?;
    let page: Value = serde_json::from_str(&page)?;
    let flows = page["flows"].as_array().context("no list")?;
    let to_port = |flow: &&Value| {
        let ends = ["local", "remote"].map(|end| flow[end].as_str().unwrap_or_default());
        ends.iter().any(|end| end.ends_with(&format!(":{PORT}")))
    };
    Ok(flows.iter().filter(to_port).cloned().collect())
}

/// Whose the connections are, once there are so many.
fn owners(lab: &Lab, daemon: &Daemon, connections: usize) -> Result<Vec<Whose>> {
    wait::until("the connections are known", || {
        let flows = listed(lab, daemon)?;
        let named = flows.iter().filter(|flow| !flow["uuid"].is_null()).count();
        if named < connections {
            return Ok(None);
        }
        let whose = flows.iter().map(|flow| Whose::read(&flow["owner"], ""));
        let mut whose = whose.collect::<Result<Vec<_>>>()?;
        whose.sort();
        Ok(Some(whose))
    })
}

/// The same of rows of published files.
fn in_files(stopped: &Stopped) -> Result<Vec<Whose>> {
    let mut command = Command::new(executable()?);
    command.args(["flows", "--format", "jsonl"]);
    command.arg(stopped.captures.root());
    let (out, _) = output_of(&mut command, "packet-headers")?;
    let rows = out.lines().map(|line| {
        let row: Value = serde_json::from_str(line)?;
        Whose::read(&row, "owner_")
    });
    let mut whose = rows.collect::<Result<Vec<_>>>()?;
    whose.sort();
    Ok(whose)
}

/// What `ss -tpe` says of the established sockets of a namespace, and /proc of their processes.
fn by_ss(namespace: &Namespace) -> Result<Vec<Whose>> {
    let mut command = Command::new("ss");
    command.args(["-tpeHnO", "--cgroup", "state", "established"]);
    let (out, _) = namespace.run(|| output_of(&mut command, "iproute2"))?;
    let sockets = out
        .lines()
        .filter(|line| line.contains(&format!(":{PORT} ")));
    let whose = sockets.map(|line| {
        let after = |key: &str, end: char| {
            let found = line
                .split_once(key)
                .and_then(|(_, rest)| rest.split(end).next());
            found.with_context(|| format!("no {key} in {line}"))
        };
        let pid: u64 = after("pid=", ',')?.parse()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        let cgroup = groups.lines().find_map(|line| line.strip_prefix("0::"));
        let cgroup = cgroup.context("no cgroup2")?.to_owned();
        let of_socket = after("cgroup:", ' ')?.trim_start_matches("unified:");
        ensure!(of_socket == cgroup, "{of_socket} is not {cgroup}");
        let uid: u64 = after("uid:", ' ')?.parse()?;
        ensure!(status.contains(&format!("\nUid:\t{uid}\t")), "{status}");
        Ok(Whose {
            uid,
            pid,
            process: after("users:((\"", '"')?.to_owned(),
            container: cgroup.contains(CONTAINER).then(|| CONTAINER.to_owned()),
            cgroup,
        })
    });
    let mut whose = whose.collect::<Result<Vec<_>>>()?;
    whose.sort();
    Ok(whose)
}

/// The established sockets' owners, of which none may be missing: `uid:0` is not shown by `ss`.
fn check_open(
    lab: &Lab,
    daemon: &Daemon,
    held: &Held,
    cgroups: [&Cgroup; 2],
) -> Result<Vec<Whose>> {
    let whose = owners(lab, daemon, 2)?;
    assert_eq!(whose, by_ss(&lab.host)?);
    let expected = [
        (WEB, held.accepting.id(), cgroups[0], Some(CONTAINER)),
        (SOMEBODY, held.connecting.id(), cgroups[1], None),
    ];
    for (found, (uid, pid, cgroup, container)) in whose.iter().zip(expected) {
        assert_eq!((found.uid, found.pid), (uid.into(), pid.into()));
        assert_eq!(
            (found.process.as_str(), &found.cgroup),
            ("hold", &cgroup.path)
        );
        assert_eq!(found.container.as_deref(), container);
    }
    Ok(whose)
}

#[test]
fn who_connects_and_who_accepts_is_known_as_ss_and_proc_say_it_and_stays_in_the_file() -> Result<()>
{
    let lab = Lab::beside_others()?;
    let (_home, program) = hold()?;
    let (container, elsewhere) = (Cgroup::of_container()?, Cgroup::make("elsewhere")?);
    let daemon = Daemon::start(&lab, &["--format=pcapng"])?;
    let held = Held::begin(&lab, &program, &container, &elsewhere)?;
    let whose = check_open(&lab, &daemon, &held, [&container, &elsewhere])?;
    drop(held);
    let stopped = daemon.stop()?;
    assert_eq!(in_files(&stopped)?, whose);
    Ok(())
}

#[test]
fn connections_and_listeners_that_are_older_than_the_daemon_have_owners_too() -> Result<()> {
    let lab = Lab::beside_others()?;
    let (_home, program) = hold()?;
    let (container, elsewhere) = (Cgroup::of_container()?, Cgroup::make("elsewhere")?);
    let held = Held::begin(&lab, &program, &container, &elsewhere)?;
    let daemon = Daemon::start(&lab, &["--format=pcapng"])?;
    check_open(&lab, &daemon, &held, [&container, &elsewhere])?;
    // The listener is older, and its next connection is not.
    let to = SocketAddr::new(first(0)[0], PORT).to_string();
    let mut newer = start(&lab.peer, (0, &elsewhere), &[&program, "connect", &to, "1"])?;
    newer.wait_for_line((Stream::Out, 0), "it holds", |line| line == "holding 1")?;
    let whose = owners(&lab, &daemon, 3)?;
    assert_eq!(whose, by_ss(&lab.host)?);
    drop((held, newer));
    daemon.stop()?;
    Ok(())
}

/// A server that binds as root and serves as another user, which ends each connection in another way.
const SERVER: &str = r#"
import os, socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
pid = os.fork()
if pid == 0:
    with open("/proc/self/comm", "w") as name:
        name.write("worker \"\x1b[31m")
    os.setgid(33)
    os.setuid(33)
    print("worker", os.getpid(), flush=True)
    for ending in ["close", "shutdown", "reset"]:
        connection = listener.accept()[0]
        connection.sendall(b"hello")
        if ending == "shutdown":
            connection.recv(1)
            connection.shutdown(socket.SHUT_RDWR)
        elif ending == "reset":
            try:
                connection.recv(1)
            except ConnectionResetError:
                pass
        connection.close()
        print(ending, flush=True)
os.waitpid(pid, 0)
"#;

/// Clients to that server.
const CLIENT: &str = r#"
import socket, struct, sys
for ending in ["close", "shutdown", "reset"]:
    connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    assert connection.recv(5, socket.MSG_WAITALL) == b"hello"
    if ending == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif ending == "close":
        assert connection.recv(1) == b""
    connection.close()
"#;

#[test]
fn who_closes_a_connection_has_it_however_it_ends() -> Result<()> {
    let lab = Lab::beside_others()?;
    let daemon = Daemon::start(&lab, &["--format=pcapng"])?;
    let (host, port) = (first(0)[0].to_string(), PORT.to_string());
    let mut command = python::command()?;
    command.args(["-c", SERVER, &host, &port]);
    let mut server = Process::start(&lab.host, &mut command)?;
    let at = server.wait_for_line((Stream::Out, 0), "it serves", |line| {
        line.starts_with("worker ")
    })?;
    let worker = server.lines(Stream::Out)[at].replace("worker ", "");
    let mut command = python::command()?;
    command.args(["-c", CLIENT, &host, &port]);
    Process::start(&lab.peer, &mut command)?.finish()?;
    server.finish()?;
    let stopped = daemon.stop()?;
    let whose = in_files(&stopped)?;
    assert_eq!(whose.len(), 3);
    for found in whose {
        assert_eq!((found.uid, found.pid), (WEB.into(), worker.parse()?));
        // What the process calls itself, to the letter.
        assert_eq!(found.process, "worker \"\u{1b}[31m");
    }
    Ok(())
}

#[test]
fn only_those_of_a_user_a_cgroup_or_a_container_are_captured() -> Result<()> {
    let lab = Lab::beside_others()?;
    let (_home, program) = hold()?;
    let (container, elsewhere) = (Cgroup::of_container()?, Cgroup::make("elsewhere")?);
    let somebody = format!("--uid={SOMEBODY}");
    let below = format!("--cgroup={}", container.path);
    let id = format!("--container={}", &CONTAINER[..12]);
    let (web, both) = (u64::from(WEB), format!("--uid={SOMEBODY},{WEB}"));
    for (flags, uid) in [
        ([&somebody, &both], u64::from(SOMEBODY)),
        ([&below, &both], web),
        ([&id, &both], web),
    ] {
        let flags: Vec<_> = flags.iter().map(|flag| flag.as_str()).collect();
        let flags = if uid == web { &flags[..] } else { &flags[..1] };
        let daemon = Daemon::start(&lab, &[&["--format=pcapng"], flags].concat())?;
        let held = Held::begin(&lab, &program, &container, &elsewhere)?;
        owners(&lab, &daemon, 2)?;
        drop(held);
        let stopped = daemon.stop()?;
        let found: Vec<_> = in_files(&stopped)?.iter().map(|it| it.uid).collect();
        assert_eq!(found, [uid], "{flags:?}");
        assert!(stopped.report.get(DiscardReason::OtherOwner) > 0);
    }
    Ok(())
}

#[test]
fn where_addresses_are_hidden_nobody_is_said_to_own_anything() -> Result<()> {
    let lab = Lab::beside_others()?;
    let (_home, program) = hold()?;
    let (container, elsewhere) = (Cgroup::of_container()?, Cgroup::make("elsewhere")?);
    let hidden = "--anonymize.ip=netblock";
    let daemon = Daemon::start(&lab, &["--format=pcapng", hidden])?;
    let held = Held::begin(&lab, &program, &container, &elsewhere)?;
    let flows = wait::until("the connections are known", || {
        let flows = listed(&lab, &daemon)?;
        Ok((flows.len() == 2).then_some(flows))
    })?;
    assert!(
        flows.iter().all(|flow| flow["owner"].is_null()),
        "{flows:?}"
    );
    drop(held);
    let stopped = daemon.stop()?;
    for file in stopped.captures.published()?.values() {
        let content = fs::read(file)?;
        for secret in ["hold", CONTAINER, "owner"] {
            let found = content
                .windows(secret.len())
                .any(|at| at == secret.as_bytes());
            ensure!(!found, "{} has {secret}", file.display());
        }
    }
    let mut command = Command::new(executable()?);
    command.args([hidden, "--uid=33"]);
    let lines = refused(&lab, &mut command, 2)?;
    ensure!(
        lines[0].contains("--uid: --anonymize.ip hides"),
        "{lines:?}"
    );
    Ok(())
}
