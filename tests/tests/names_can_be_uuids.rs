//! Promise: with `--flow-id=uuid` a file's name is the RFC 9562 UUID, version 5, of M-Lab's name.

use std::collections::HashMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::capture;
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::peers::scapy;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::peers::tcpinfo::{StandIn, uuid};
use end_to_end::traffic::{self, Connection, Plan};
use end_to_end::world::netns::Lab;
use end_to_end::world::process::output_of;

/// Prints the UUID of each argument, as Python's library has it.
const PROGRAM: &str = "
import sys, uuid
space = uuid.uuid5(uuid.NAMESPACE_URL, 'https://github.com/m-lab/uuid')
for name in sys.argv[1:]:
    print(uuid.uuid5(space, name))
";

/// The UUID of each name, by Python.
fn uuids(names: &[String]) -> Result<HashMap<String, String>> {
    let mut command = Command::new(scapy::python()?);
    command.args(["-c", PROGRAM]).args(names);
    let (out, _) = output_of(&mut command, "python3")?;
    let uuids: Vec<_> = out.lines().map(str::to_owned).collect();
    ensure!(uuids.len() == names.len(), "{out}");
    Ok(names.iter().cloned().zip(uuids).collect())
}

fn judge(
    daemon: Daemon,
    tcpdump: Tcpdump,
    connections: &[Connection],
    name: fn(&Connection) -> String,
) -> Result<()> {
    let names: Vec<_> = connections.iter().map(name).collect();
    let uuids = uuids(&names)?;
    let uuid = |of: &Connection| uuids.get(&name(of)).cloned().unwrap_or_default();
    capture::conclude(daemon, tcpdump, connections, uuid).map(drop)
}

#[test]
fn of_the_kernels_names() -> Result<()> {
    let lab = Lab::new()?;
    let tcpdump = Tcpdump::start(&lab.host, 0)?;
    let arguments = ["--flow-source=kernel", "--flow-id=uuid"];
    let daemon = Daemon::start(&lab, &arguments)?;
    let connections = traffic::run(&lab, &Plan::mixed(12), &())?;
    judge(daemon, tcpdump, &connections, kernel_uuid)
}

#[test]
fn and_of_those_that_tcpinfo_tells() -> Result<()> {
    let lab = Lab::new()?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let tcpdump = Tcpdump::start(&lab.host, 0)?;
    let daemon = Daemon::follow(&lab, &tcpinfo, &["--flow-id=uuid"])?;
    tcpinfo.wait_for_client(1)?;
    let connections = traffic::run(&lab, &Plan::mixed(12), &tcpinfo)?;
    judge(daemon, tcpdump, &connections, uuid)
}

#[test]
fn mlab_is_the_form_without_the_flag() -> Result<()> {
    let lab = Lab::new()?;
    let tcpdump = Tcpdump::start(&lab.host, 0)?;
    let daemon = Daemon::start(&lab, &["--flow-source=kernel", "--flow-id=mlab"])?;
    let connections = traffic::run(&lab, &[Plan::SHORT], &())?;
    let name = kernel_uuid(connections.first().context("one was made")?);
    let (stopped, _) = capture::conclude(daemon, tcpdump, &connections, kernel_uuid)?;
    assert!(stopped.captures.published()?.contains_key(&name));
    Ok(())
}
