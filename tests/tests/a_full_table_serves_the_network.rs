//! Promise: connections that cannot have a packet on a captured interface take nobody's place,
//! however many of them another user opens, and the daemon stays as prompt as it was.

use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::peers::http;
use end_to_end::traffic::{self, Plan, Side};
use end_to_end::verify::report::{ConnectionField, DiscardReason, EventField, FileField};
use end_to_end::world::netns::{self, Lab};
use end_to_end::world::process::{Process, Stream};
use tempfile::TempDir;

/// The user that opens connections: nobody.
const STRANGER: u32 = 65534;
/// Some machines give a process no more than 20,000 descriptors.
const EACH: usize = 10_000;
/// The processes at either end, for connections over 127.0.0.1 and for those to the host's own address:
/// 100,000 connections in all. Neither kind leaves the host.
const PROCESSES: u16 = 5;
/// How many connections of the other kind come over the network.
const NETWORK: usize = 200;
/// How long the stranger's connections may take to open.
const OPEN_WITHIN: Duration = Duration::from_secs(120);

/// A program that the stranger can run.
struct Program {
    path: PathBuf,
    _directory: TempDir,
}

impl Program {
    fn new() -> Result<Self> {
        let directory = TempDir::new()?;
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        let path = directory.path().join("hold");
        fs::copy(env!("CARGO_BIN_EXE_hold"), &path)?;
        Ok(Self {
            path,
            _directory: directory,
        })
    }

    fn start(&self, lab: &Lab, arguments: &[&str]) -> Result<Process> {
        let mut command = Command::new(&self.path);
        command.args(arguments).uid(STRANGER).gid(STRANGER);
        Process::start(&lab.host, &mut command)
    }
}

/// Opens connections from the host to one of its own addresses; they last as long as what this returns.
fn open(lab: &Lab, program: &Program, to: IpAddr) -> Result<Vec<Process>> {
    let mut ends = Vec::new();
    for number in 0..PROCESSES {
        let at = SocketAddr::new(to, 6001 + number).to_string();
        let mut listener = program.start(lab, &["listen", &at])?;
        let listens = |line: &str| line == "listening";
        listener.wait_for_line((Stream::Out, 0), "it listens", listens)?;
        let mut connector = program.start(lab, &["connect", &at, &EACH.to_string()])?;
        let all = |line: &str| line.starts_with("holding");
        connector.wait_for_line_within(OPEN_WITHIN, (Stream::Out, 0), "all are open", all)?;
        ends.extend([listener, connector]);
    }
    Ok(ends)
}

#[test]
fn after_100_000_connections_within_the_host_those_of_the_network_have_their_files() -> Result<()> {
    let lab = Lab::new()?;
    let program = Program::new()?;
    // Room for some 25,000 connections: a quarter of those that the stranger opens.
    let mut daemon = Daemon::start(&lab, &["--maxheap=32MiB", "--shards=2"])?;
    let loopback = open(&lab, &program, Ipv4Addr::LOCALHOST.into())?;
    let own = open(&lab, &program, netns::first(0)[0])?;
    let held = PROCESSES as u64 * EACH as u64;
    let both_ends = 2 * held;
    daemon.wait_for_report("all are heard of", |report| {
        report.get(ConnectionField::Loopback) == both_ends
            && report.get(ConnectionField::Opened) >= held
    })?;

    for path in ["/healthz", "/readyz"] {
        let answer = http::get(&lab.host, daemon.http()?, path)?;
        ensure!(answer.status == 200, "{path}: {answer:?}");
    }
    let incoming = Plan::mixed(NETWORK).into_iter().map(|plan| Plan {
        opener: Side::Peer,
        long: false,
        ..plan
    });
    let incoming: Vec<_> = incoming.collect();
    let connections = traffic::run(&lab, &incoming, &())?;
    daemon.wait_for_files(NETWORK)?;
    let stopped = daemon.stop()?;

    let mut files = stopped.captures.published()?;
    for connection in &connections {
        let file = files.remove(&kernel_uuid(connection));
        file.with_context(|| format!("no file of {connection}"))?;
    }
    ensure!(files.is_empty(), "files of no connection: {files:?}");
    let report = &stopped.report;
    println!("{report:?}");
    assert_eq!(report.get(FileField::Published), NETWORK as u64);
    assert_eq!(report.get(EventField::Refused), 0);
    assert_eq!(report.get(DiscardReason::TooManyFlows), 0);
    assert!(
        report.get(ConnectionField::Evicted) > 0,
        "the table was not full"
    );
    drop((loopback, own));
    Ok(())
}
