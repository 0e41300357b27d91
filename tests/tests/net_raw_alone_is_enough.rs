//! Promise: with CAP_NET_RAW alone, as an ordinary user and without bpf(2), the files are the same. What is
//! lacking then is said once, and what cannot be had is refused.

use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::{Result, ensure};
use end_to_end::capture::Capture;
use end_to_end::peers::daemon::Daemon;
use end_to_end::peers::doctor::{doctor, examine};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::public::Public;
use end_to_end::peers::refusal::{one_line, refused};
use end_to_end::peers::tcpdump::{TCP, Tcpdump};
use end_to_end::peers::tcpinfo::{StandIn, uuid};
use end_to_end::traffic::bulk::Bulk;
use end_to_end::traffic::pair::Pair;
use end_to_end::traffic::{self, Observer as _, Plan};
use end_to_end::verify::report::{ConnectionField, DiscardReason, PacketField, Report};
use end_to_end::world::bpf;
use end_to_end::world::netns::{self, Lab, WAN};
use end_to_end::world::procfs;
use end_to_end::world::python;
use rustix::process::Signal;
use serde_json::json;

/// CAP_NET_RAW by its number (linux/capability.h).
const NET_RAW: u64 = 1 << 13;

/// What the log says at the start.
const INSTEAD: &str = "capturing without eBPF, by packet sockets (--attach raw)";

/// The daemon's program, a directory to capture into and a tcp-info, where an ordinary user can reach all of
/// them.
struct Deployed {
    public: Public,
    tcpinfo: StandIn,
}

impl Deployed {
    fn new() -> Result<Self> {
        let public = Public::new()?;
        let path = public.path().join("tcpevents.sock");
        let mut tcpinfo = StandIn::unix(&path);
        tcpinfo.listen()?;
        fs::set_permissions(&path, Permissions::from_mode(0o777))?;
        Ok(Self { public, tcpinfo })
    }

    /// The arguments of a deployment of the Go program, with the test's own paths.
    fn deployment(&self) -> Vec<String> {
        let [address, _] = netns::first(0);
        let (home, data) = (self.public.path().display(), "captures");
        vec![
            format!("-prometheusx.listen-address={address}:9993"),
            format!("-datadir={home}/{data}"),
            format!("-tcpinfo.eventsocket={home}/tcpevents.sock"),
            "-stream=false".to_owned(),
            "-anonymize.ip=none".to_owned(),
            "-maxidleram=1500MB".to_owned(),
            "-maxheap=2GB".to_owned(),
            "-flowtimeout=5s".to_owned(),
            "-maxflows=150".to_owned(),
        ]
    }
}

/// Starts a program as an ordinary user with only these capabilities.
fn as_user(capabilities: &str) -> [String; 7] {
    let set = |set: &str| format!("--{set}={capabilities}");
    [
        "setpriv".to_owned(),
        "--reuid=65534".to_owned(),
        "--regid=65534".to_owned(),
        "--clear-groups".to_owned(),
        set("inh-caps"),
        set("ambient-caps"),
        set("bounding-set"),
    ]
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// Checks that no thread has a capability, nor can get another one than that which was there at the start.
fn nothing_is_kept(daemon: &Daemon) -> Result<()> {
    for status in procfs::threads(daemon.id())? {
        for (set, most) in [
            ("CapEff", 0),
            ("CapPrm", 0),
            ("CapAmb", 0),
            ("CapBnd", NET_RAW),
        ] {
            let has = u64::from_str_radix(procfs::field(&status, set)?, 16)?;
            ensure!(has & !most == 0, "{set} is {has:x}: {status}");
        }
        ensure!(procfs::field(&status, "Seccomp")? == "2", "{status}");
    }
    Ok(())
}

#[test]
fn a_deployment_that_drops_all_others_runs_unchanged() -> Result<()> {
    let lab = Lab::beside_others()?;
    let deployed = Deployed::new()?;
    let wrapper = as_user("-all,+net_raw");
    let wrapper = strs(&wrapper);
    let launch = Launch::bare(&lab)
        .without_datadir()
        .within(deployed.public.path())
        .program(&deployed.public.program)
        .by(&wrapper);
    let arguments = deployed.deployment();
    let captured = Capture::new(&lab)
        .by(launch)
        .named(uuid)
        .run(&strs(&arguments), |daemon| {
            deployed.tcpinfo.wait_for_client(1)?;
            bpf::has_none(daemon.id())?;
            nothing_is_kept(daemon)?;
            traffic::run(&lab, &Plan::mixed(20), &deployed.tcpinfo)
        })?;
    let transcript = &captured.stopped.transcript;
    let said: Vec<_> = transcript
        .lines()
        .filter(|line| line.contains("eBPF"))
        .collect();
    let lacking = "CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON missing";
    let ends_with = "rings of packet sockets, without eBPF";
    let start: Vec<_> = said
        .iter()
        .filter(|line| !line.contains(ends_with))
        .collect();
    ensure!(
        start.len() == 1 && start[0].contains(INSTEAD) && start[0].contains(lacking),
        "{said:#?}"
    );
    Ok(())
}

/// Both directions of a connection, and what tcp-info says of it, must come to one shard.
#[test]
fn each_connection_is_of_one_of_several_shards() -> Result<()> {
    let lab = Lab::new()?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let launch = Launch::new(&lab)
        .following(&tcpinfo)
        .without_prefix()
        .on(&[]);
    let capture = Capture::new(&lab).by(launch).named(uuid);
    capture
        .run(&["--attach=raw", "--shards=5"], |_| {
            tcpinfo.wait_for_client(1)?;
            traffic::run(&lab, &Plan::mixed(50), &tcpinfo)
        })
        .map(drop)
}

/// Waits until the daemon has looked which connections there are, and takes from then on what tcp-info says. It
/// would name a connection of this host by the end that it finds first.
fn listens_to(tcpinfo: &StandIn, daemon: &mut Daemon) -> Result<()> {
    tcpinfo.wait_for_client(1)?;
    let id = json!({
        "SPort": 4444, "DPort": 1, "SrcIP": "192.0.2.1", "DstIP": "192.0.2.2", "Interface": 0, "Cookie": 1,
    });
    tcpinfo.send_open("vm_1_unsafe_0000000000000001", &id);
    let opened = |report: &Report| report.get(ConnectionField::Opened) == 1;
    daemon
        .wait_for_report("it listens to tcp-info", opened)
        .map(drop)
}

#[test]
fn over_loopback_each_packet_is_saved_once() -> Result<()> {
    let lab = Lab::new()?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let launch = Launch::new(&lab)
        .following(&tcpinfo)
        .without_prefix()
        .on(&["lo"]);
    let capture = Capture::new(&lab).by(launch).named(uuid).beside("lo", TCP);
    let captured = capture.run(&["--attach=raw", "--shards=2", "--port=4444"], |daemon| {
        listens_to(&tcpinfo, daemon)?;
        let at = SocketAddr::new(IpAddr::from(Ipv4Addr::LOCALHOST), 4444);
        let pair = Pair::open((&lab.host, at), &lab.host)?;
        let connection = pair.accepted()?;
        tcpinfo.opened(&connection);
        pair.finish()?;
        tcpinfo.closed(&connection);
        Ok(vec![connection])
    })?;
    let report = &captured.stopped.report;
    let copies = report.get(DiscardReason::Duplicate);
    assert_eq!(copies, report.get(PacketField::Written), "{report:?}");
    // Those between tcp-info and the daemon, among others.
    ensure!(report.get(DiscardReason::Filtered) > 0, "{report:?}");
    Ok(())
}

#[test]
fn interfaces_that_come_later_are_captured_until_they_are_not_wanted() -> Result<()> {
    let lab = Lab::new()?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let launch = Launch::new(&lab)
        .following(&tcpinfo)
        .without_prefix()
        .on(&["late*"]);
    let mut daemon = launch.start(&["--attach=raw", "--shards=2"])?;
    tcpinfo.wait_for_client(1)?;
    let converse = |pair: u8| -> Result<_> {
        let [address, _] = netns::first(pair);
        let pair = Pair::open((&lab.host, (address, 0).into()), &lab.peer)?;
        let connection = pair.accepted()?;
        tcpinfo.opened(&connection);
        pair.finish()?;
        tcpinfo.closed(&connection);
        Ok(connection)
    };
    // Another interface is not captured.
    converse(0)?;
    netns::join((&lab.host, "late0"), (&lab.peer, "late0"), 1)?;
    daemon.wait_for_log(1, "attached to late0")?;
    let tcpdump = Tcpdump::start_on((&lab.host, "late0"), TCP)?;
    let connection = converse(1)?;
    daemon.wait_for_files(1)?;
    daemon.wait_until_quiet()?;
    let oracle = tcpdump.stop()?;
    lab.host.ip(&["link", "set", "late0", "down"])?;
    lab.host.ip(&["link", "set", "late0", "name", "other0"])?;
    daemon.wait_for_log(1, "detached from late0")?;
    lab.host.ip(&["link", "set", "other0", "up"])?;
    let before = daemon.report()?.get(PacketField::Seen);
    converse(1)?;
    let stopped = daemon.stop()?;
    assert_eq!(stopped.report.get(PacketField::Seen), before);
    oracle.verify(&stopped.captures, &[connection], uuid)
}

#[test]
fn what_a_full_ring_loses_is_counted() -> Result<()> {
    let lab = Lab::new()?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let launch = Launch::new(&lab).following(&tcpinfo).without_prefix();
    let mut daemon = launch.start(&["--attach=raw", "--ring-size=256KiB"])?;
    tcpinfo.wait_for_client(1)?;
    let bulk = Bulk::start(&lab, &tcpinfo)?;
    bulk.wait_for(20 << 20)?;
    daemon.signal(Signal::STOP)?;
    bulk.wait_for(800 << 20)?;
    daemon.signal(Signal::CONT)?;
    let connections = bulk.connections().to_vec();
    bulk.stop()?;
    for connection in &connections {
        tcpinfo.closed(connection);
    }
    daemon.wait_until_quiet()?;
    let stopped = daemon.stop()?;
    let report = &stopped.report;
    ensure!(report.get(DiscardReason::PacketRingFull) > 0, "{report:?}");
    let mut written = 0;
    let files = stopped.captures.published()?;
    for file in files.values() {
        written += stopped.captures.read(file)?.len() as u64;
    }
    assert_eq!(
        (files.len(), report.get(PacketField::Written)),
        (2, written)
    );
    stopped.captures.no_payload()
}

#[test]
fn a_seccomp_filter_that_refuses_bpf_is_no_obstacle() -> Result<()> {
    let lab = Lab::new()?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let wrapper = python::program("without_bpf.py")?;
    let wrapper = [wrapper.get_program()]
        .into_iter()
        .chain(wrapper.get_args());
    let wrapper: Vec<_> = wrapper
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let wrapper = strs(&wrapper);
    let launch = Launch::new(&lab)
        .following(&tcpinfo)
        .without_prefix()
        .by(&wrapper);
    let captured = Capture::new(&lab).by(launch).named(uuid).run(&[], |_| {
        tcpinfo.wait_for_client(1)?;
        traffic::run(&lab, &Plan::mixed(4), &tcpinfo)
    })?;
    let transcript = &captured.stopped.transcript;
    ensure!(
        transcript.contains(INSTEAD) && transcript.contains("bpf(2) is refused"),
        "{transcript}"
    );
    Ok(())
}

#[test]
fn what_it_cannot_do_is_refused() -> Result<()> {
    let lab = Lab::beside_others()?;
    let deployed = Deployed::new()?;
    let events = format!(
        "--tcpinfo.eventsocket={}/tcpevents.sock",
        deployed.public.path().display()
    );
    let said = |capabilities: &str, flags: &[&str]| -> Result<Vec<String>> {
        let user = as_user(capabilities);
        let mut command = Command::new(&user[0]);
        command
            .args(&user[1..])
            .arg(&deployed.public.program)
            .args(flags);
        command
            .arg("--datadir")
            .arg(deployed.public.path().join("captures"));
        refused(&lab, &mut command, 1)
    };
    let (raw, nothing) = ("-all,+net_raw", "-all");
    let instead = "--tcpinfo.eventsocket";
    one_line(&said(raw, &["--attach=raw"])?, &["without eBPF", instead])?;
    one_line(
        &said(raw, &[])?,
        &["CAP_BPF", instead, "CAP_NET_RAW alone is enough"],
    )?;
    one_line(&said(nothing, &[&events])?, &["CAP_BPF", "--attach raw"])?;
    one_line(
        &said(nothing, &["--attach=raw", &events])?,
        &["CAP_NET_RAW missing"],
    )?;
    let hardware = ["--timestamp=hardware", &events];
    one_line(
        &said(raw, &hardware)?,
        &["without eBPF", "omit --timestamp"],
    )
}

#[test]
fn the_doctor_says_what_there_is_and_what_would_be_better() -> Result<()> {
    let lab = Lab::beside_others()?;
    let deployed = Deployed::new()?;
    let events = format!("{}/tcpevents.sock", deployed.public.path().display());
    let flags = ["--tcpinfo.eventsocket", &events, "--interface", WAN];
    let command = doctor(
        &deployed.public.program,
        &deployed.public.path().join("captures"),
        &flags,
    );
    let user = |capabilities: &'static str| {
        move |command: &Command| {
            let user = as_user(capabilities);
            let mut outer = Command::new(&user[0]);
            outer
                .args(&user[1..])
                .arg(command.get_program())
                .args(command.get_args());
            outer
        }
    };
    let report = examine(&lab, &command, &user("-all,+net_raw"))?;
    ensure!(report.problems().is_empty(), "{report:#?}");
    report.says("packet sockets", "ok", &["opens them"])?;
    report.says("eBPF", "note", &["CAP_BPF", "not counted"])?;
    report.says("capabilities", "ok", &["CAP_NET_RAW, for rings"])
}
