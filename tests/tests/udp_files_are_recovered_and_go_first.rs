//! Promise: what a killed daemon had of UDP flows is published by the next one, and where room is scarce, the files of UDP
//! flows go before one of a connection does.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::traffic::datagrams::Socket;
use end_to_end::traffic::{self, Connection, Plan};
use end_to_end::verify::captures::{Captures, files_below};
use end_to_end::verify::flows::{self, Flow};
use end_to_end::verify::oracle;
use end_to_end::verify::pcap;
use end_to_end::verify::report::{FileField, PacketField};
use end_to_end::world::mount::SmallDisk;
use end_to_end::world::netns::{self, Lab, WAN};
use end_to_end::world::wait;
use tempfile::TempDir;

const UDP: &str = "--protocols=tcp,udp";

/// The spill interval, and how much older what a kill costs may be, on a machine that is busy with other things.
const SPILL: Duration = Duration::from_millis(100);
const SLACK: Duration = Duration::from_millis(400);

/// Flows at the same time.
const FLOWS: usize = 8;

/// No flow of these tests is silent for so long.
const NEVER: Duration = Duration::from_secs(3600);

/// A server, and clients that it has not heard of.
struct Ends {
    server: Socket,
    clients: Vec<Socket>,
}

impl Ends {
    fn open(lab: &Lab, clients: usize) -> Result<Self> {
        let ([host, _], [peer, _]) = (netns::first(0), netns::second(0));
        let client = |_| Socket::bind((&lab.host, host), 0);
        Ok(Self {
            server: Socket::bind((&lab.peer, peer), 0)?,
            clients: (0..clients).map(client).collect::<Result<_>>()?,
        })
    }

    /// Every client asks once.
    fn ask(&self) -> Result<()> {
        self.clients.iter().try_for_each(|it| it.ask(&self.server))
    }
}

/// The flows whose first packet has this time or a later one, or those that were before.
fn since(flows: Vec<Flow>, at: Duration) -> [Vec<Flow>; 2] {
    let mut parts = [Vec::new(), Vec::new()];
    for flow in flows {
        let (before, after) = flow.into_iter().partition(|packet| packet.time < at);
        for (part, packets) in parts.iter_mut().zip([before, after]) {
            part.push(packets);
        }
    }
    parts
}

#[test]
fn what_a_killed_daemon_had_written_is_published_and_flows_go_on_in_files_of_their_own()
-> Result<()> {
    let (lab, home) = (Lab::new()?, TempDir::new()?);
    let launch = Launch::new(&lab).within(home.path());
    let flags = [UDP, "--udptimeout=10m", "--spill-interval=100ms"];
    let tcpdump = Tcpdump::start_on((&lab.host, WAN), "udp")?;
    let mut daemon = launch.start(&flags)?;
    let ends = Ends::open(&lab, FLOWS)?;
    // For several spills.
    for _ in 0..40 {
        ends.ask()?;
        thread::sleep(SPILL / 5);
    }
    let partial = daemon.captures().partial().join("udp");
    let open = files_below(&partial)?;
    ensure!(open.len() >= FLOWS, "{open:?}");
    ensure!(daemon.report()?.get(FileField::Published) == 0);
    let killed = daemon.kill()?;
    let mut daemon = launch.start(&flags)?;
    // While they are recovered.
    ends.ask()?;
    daemon.wait_for_files(FLOWS)?;
    let report = daemon.report()?;
    ensure!(
        report.get(FileField::Recovered) == FLOWS as u64,
        "{report:?}"
    );
    let stopped = daemon.stop()?;
    let all = pcap::read(&tcpdump.finish()?.file())?;
    let [before, after] = since(flows::apart(all, NEVER), killed.at);
    let captures = &stopped.captures;
    let mut files = flows::files(captures, |address| address)?;
    ensure!(files.len() == 2 * FLOWS, "{} files", files.len());
    for (flow, is_recovered) in before
        .iter()
        .map(|it| (it, true))
        .chain(after.iter().map(|it| (it, false)))
    {
        let is_its = |(_, ours): &flows::Named| {
            ours[0].from == flow[0].from && (ours[0].time < killed.at) == is_recovered
        };
        let at = files.iter().position(is_its).context("no file of a flow")?;
        let (name, ours) = files.swap_remove(at);
        let must_have = killed.at.saturating_sub(SPILL + SLACK);
        let compared = match is_recovered {
            true => oracle::equal_until(&ours, flow, must_have),
            false => oracle::equal(&ours, flow),
        };
        compared.with_context(|| name)?;
    }
    captures.no_partial_files()?;
    captures.no_payload()
}

/// The names of connections whose files are there.
fn there<'a>(captures: &Captures, of: &'a [Connection]) -> Result<Vec<&'a Connection>> {
    let files = captures.published()?;
    let is_there = |it: &&Connection| files.contains_key(&kernel_uuid(it));
    Ok(of.iter().filter(is_there).collect())
}

/// Makes connections and UDP flows, and waits for their files.
fn make(
    lab: &Lab,
    daemon: &mut Daemon,
    [connections, flows]: [usize; 2],
) -> Result<(Vec<Connection>, Vec<SocketAddr>)> {
    let made = traffic::run(lab, &Plan::mixed(connections), &())?;
    let ends = Ends::open(lab, flows)?;
    ends.ask()?;
    let published = daemon.report()?.get(FileField::Published);
    let all = (connections + flows) as u64;
    daemon.wait_for_report("all files are published", |report| {
        report.get(FileField::Published) >= all.max(published) && report.get(PacketField::Held) == 0
    })?;
    let clients = ends.clients.iter().map(Socket::address);
    Ok((made, clients.collect::<Result<_>>()?))
}

#[test]
fn of_what_files_may_take_a_quarter_is_for_udp_and_the_latest_are_there() -> Result<()> {
    let lab = Lab::beside_others()?;
    let flags = [UDP, "--udptimeout=1s", "--max-files=60"];
    let mut daemon = Daemon::start(&lab, &flags)?;
    let (connections, _) = make(&lab, &mut daemon, [40, 0])?;
    for _ in 0..3 {
        make(&lab, &mut daemon, [0, 30])?;
    }
    let (_, last) = make(&lab, &mut daemon, [0, 10])?;
    let captures = daemon.captures().clone();
    wait::until("the oldest files of UDP flows are gone", || {
        Ok((captures.of_udp()?.len() <= 15).then_some(()))
    })?;
    ensure!(there(&captures, &connections)?.len() == connections.len());
    let left = captures.of_udp()?;
    let left = left.values().map(|file| Ok(captures.read(file)?[0].from));
    let left = left.collect::<Result<BTreeSet<_>>>()?;
    ensure!(last.iter().all(|client| left.contains(client)), "{left:?}");
    daemon.stop()?;
    Ok(())
}

#[test]
fn where_others_fill_the_filesystem_files_of_udp_flows_go_before_those_of_connections() -> Result<()>
{
    const INODES: u32 = 1000;
    let lab = Lab::new()?;
    let disk = SmallDisk::of_inodes(64, INODES)?;
    let launch = Launch::new(&lab).within(disk.path());
    let mut daemon = launch.start(&[UDP, "--udptimeout=1s"])?;
    let (connections, flows) = make(&lab, &mut daemon, [30, 60])?;
    let captures = daemon.captures().clone();
    ensure!(captures.of_udp()?.len() == flows.len());
    // Between what connections leave free, which is 5 percent, and what UDP flows do.
    let others = disk.path().join("others");
    fs::create_dir(&others)?;
    for number in 0.. {
        if disk.space()?.free_inodes <= u64::from(INODES) * 7 / 100 {
            break;
        }
        File::create(others.join(number.to_string()))?;
    }
    wait::until("files of UDP flows are gone", || {
        let enough = disk.space()?.free_inodes >= u64::from(INODES) / 10;
        Ok((enough && captures.of_udp()?.len() < flows.len()).then_some(()))
    })?;
    ensure!(there(&captures, &connections)?.len() == connections.len());
    // Connections still get their files.
    let more = traffic::run(&lab, &Plan::mixed(5), &())?;
    wait::until("files of new connections", || {
        Ok((there(&captures, &more)?.len() == more.len()).then_some(()))
    })?;
    ensure!(there(&captures, &connections)?.len() == connections.len());
    daemon.stop()?;
    Ok(())
}

/// Whoever no longer wants UDP still has what there was.
#[test]
fn without_udp_what_a_killed_daemon_had_written_is_published() -> Result<()> {
    let (lab, home) = (Lab::beside_others()?, TempDir::new()?);
    let launch = Launch::new(&lab).within(home.path());
    let daemon = launch.start(&[UDP, "--udptimeout=10m", "--spill-interval=100ms"])?;
    let ends = Ends::open(&lab, FLOWS)?;
    ends.ask()?;
    let partial = daemon.captures().partial().join("udp");
    wait::until("all flows are spilled", || {
        let spilled = files_below(&partial)?;
        let sizes = spilled.iter().map(|file| Ok(fs::metadata(file)?.len()));
        let sizes = sizes.collect::<Result<Vec<_>>>()?;
        Ok((sizes.iter().filter(|size| **size > 100).count() >= FLOWS).then_some(()))
    })?;
    daemon.kill()?;
    let mut daemon = launch.start(&[])?;
    daemon.wait_for_files(FLOWS)?;
    let captures = daemon.captures().clone();
    ensure!(captures.of_udp()?.len() == FLOWS);
    daemon.stop()?;
    captures.no_partial_files()
}

#[test]
fn without_udp_its_old_files_count_and_go() -> Result<()> {
    let (lab, home) = (Lab::beside_others()?, TempDir::new()?);
    let launch = Launch::new(&lab).within(home.path());
    let mut daemon = launch.start(&[UDP, "--udptimeout=1s"])?;
    make(&lab, &mut daemon, [0, FLOWS])?;
    let captures = daemon.captures().clone();
    daemon.stop()?;
    let mut daemon = launch.start(&["--max-files=4"])?;
    let (connections, _) = make(&lab, &mut daemon, [3, 0])?;
    wait::until("the oldest files are gone", || {
        Ok((captures.published()?.len() <= 4).then_some(()))
    })?;
    ensure!(there(&captures, &connections)?.len() == connections.len());
    daemon.stop()?;
    Ok(())
}
