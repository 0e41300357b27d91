//! Promise: with `--flow-id=uuid` a file's name is the RFC 9562 UUID, version 5, of M-Lab's name.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use end_to_end::capture::{self, Capture};
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::peers::tcpinfo::{StandIn, uuid};
use end_to_end::traffic::{self, Connection, Plan};
use end_to_end::world::command::output_of;
use end_to_end::world::netns::Lab;
use end_to_end::world::python;

/// Prints the UUID of each argument, as Python's library computes it.
const PROGRAM: &str = "
import sys, uuid
space = uuid.uuid5(uuid.NAMESPACE_URL, 'https://github.com/m-lab/uuid')
for name in sys.argv[1:]:
    print(uuid.uuid5(space, name))
";

/// The UUID of each name, computed by Python.
fn uuids(names: &[String]) -> Result<HashMap<String, String>> {
    let mut command = python::command()?;
    command.args(["-c", PROGRAM]).args(names);
    let (out, _) = output_of(&mut command, "python3")?;
    let uuids: Vec<_> = out.lines().map(str::to_owned).collect();
    ensure!(uuids.len() == names.len(), "{out}");
    Ok(names.iter().cloned().zip(uuids).collect())
}

/// Concludes a capture whose files are named by the UUIDs of these names.
fn conclude(
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
    let lab = Lab::beside_others()?;
    let tcpdump = Tcpdump::start(&lab.host)?;
    let daemon = Daemon::start(&lab, &["--flow-id=uuid"])?;
    let connections = traffic::run(&lab, &Plan::mixed(12), &())?;
    conclude(daemon, tcpdump, &connections, kernel_uuid)
}

#[test]
fn and_of_those_that_tcpinfo_tells() -> Result<()> {
    let lab = Lab::beside_others()?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let tcpdump = Tcpdump::start(&lab.host)?;
    let daemon = Daemon::follow(&lab, &tcpinfo, &["--flow-id=uuid"])?;
    tcpinfo.wait_for_client(1)?;
    let connections = traffic::run(&lab, &Plan::mixed(12), &tcpinfo)?;
    conclude(daemon, tcpdump, &connections, uuid)
}

#[test]
fn mlab_is_the_form_without_the_flag() -> Result<()> {
    let lab = Lab::beside_others()?;
    let traffic = |_: &mut Daemon| traffic::run(&lab, &[Plan::SHORT], &());
    let capture = Capture::new(&lab);
    capture.run(&["--flow-id=mlab"], traffic).map(drop)
}
