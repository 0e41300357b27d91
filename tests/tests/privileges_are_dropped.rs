//! Promise: once it captures, the daemon keeps only the privileges that it still needs, in every
//! thread, and is confined by its sandbox; and an ordinary user with only the documented capabilities
//! captures as well as root. What the sandbox refuses is in `packet-headers/tests/sandbox.rs`.

use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result, ensure};
use end_to_end::capture::{self, Capture};
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::public::Public;
use end_to_end::peers::refusal::{one_line, refused};
use end_to_end::peers::tcpdump::{TCP, Tcpdump};
use end_to_end::peers::tcpinfo::{StandIn, uuid};
use end_to_end::traffic::pair::Pair;
use end_to_end::traffic::{self, Plan};
use end_to_end::world::netns::{self, Lab, WAN};
use end_to_end::world::procfs;
use tempfile::TempDir;

/// Capabilities by their number (linux/capability.h).
const NOTHING: u64 = 0;
const DAC_OVERRIDE: u64 = 1 << 1;
const NET_ADMIN: u64 = 1 << 12;
const NET_RAW: u64 = 1 << 13;
const PERFMON: u64 = 1 << 38;
const BPF: u64 = 1 << 39;

/// An ordinary user: nobody.
const USER: &str = "--reuid=65534";
const GROUP: &str = "--regid=65534";

/// Checks that each thread has exactly the capabilities `kept`, and has no way to get others: a new
/// program could get those in `bounding`, which cannot be dropped without CAP_SETPCAP.
fn check_threads(daemon: &Daemon, kept: u64, bounding: u64) -> Result<()> {
    let threads = procfs::threads(daemon.id())?;
    ensure!(threads.len() > 2, "{} threads", threads.len());
    for status in &threads {
        let field = |key: &str| procfs::field(status, key);
        for (set, expected) in [
            ("CapEff", kept),
            ("CapPrm", kept),
            ("CapInh", 0),
            ("CapAmb", 0),
            ("CapBnd", bounding),
        ] {
            let is = u64::from_str_radix(field(set)?, 16)?;
            ensure!(
                is == expected,
                "{set} is {is:x}, not {expected:x}: {status}"
            );
        }
        ensure!(field("NoNewPrivs")? == "1", "{status}");
        ensure!(field("Seccomp")? == "2", "not filtered: {status}");
    }
    Ok(())
}

/// Checks that a connection over an interface that appears after the start has its file, and then
/// the capabilities.
fn capture_a_new_interface(lab: &Lab, mut daemon: Daemon, kept: u64, bounding: u64) -> Result<()> {
    netns::join((&lab.host, "late0"), (&lab.peer, "late0"), 1)?;
    daemon.wait_for_log(1, "attached to late0")?;
    let tcpdump = Tcpdump::start_on((&lab.host, "late0"), TCP)?;
    let [address, _] = netns::first(1);
    let pair = Pair::open((&lab.host, (address, 0).into()), &lab.peer)?;
    let connection = pair.accepted()?;
    pair.finish()?;
    daemon.wait_for_files(1)?;
    check_threads(&daemon, kept, bounding)?;
    capture::conclude(daemon, tcpdump, &[connection], kernel_uuid).map(drop)
}

/// A wrapper that starts a program as an ordinary user with only these capabilities, such as
/// `-all,+bpf`.
fn as_user(capabilities: &str) -> Vec<String> {
    let sets = ["inh-caps", "ambient-caps", "bounding-set"];
    let sets = sets.map(|set| format!("--{set}={capabilities}"));
    let user = ["setpriv", USER, GROUP, "--clear-groups"].map(str::to_owned);
    user.into_iter()
        .chain(sets)
        .chain(["--".to_owned()])
        .collect()
}

#[test]
fn root_keeps_what_hot_plug_and_files_need() -> Result<()> {
    // A host name has to be looked up, and the port needs a privilege.
    let listen = "--prometheusx.listen-address=localhost:999";
    for method in ["tcx", "netlink"] {
        let lab = Lab::beside_others()?;
        let attach = format!("--attach={method}");
        let daemon = Launch::new(&lab).on(&[]).start(&[&attach, listen])?;
        capture_a_new_interface(&lab, daemon, BPF | NET_ADMIN | DAC_OVERRIDE, NOTHING)
            .context(attach)?;
    }
    Ok(())
}

/// Those of other users are refused: `directories_are_ours.rs`.
#[test]
fn a_data_directory_of_root_is_no_obstacle() -> Result<()> {
    let lab = Lab::beside_others()?;
    let public = Public::new()?;
    fs::create_dir(public.path().join("captures"))?;
    let wrapper = as_user("-all,+bpf,+perfmon,+net_admin,+dac_override");
    let wrapper: Vec<_> = wrapper.iter().map(String::as_str).collect();
    let launch = Launch::new(&lab)
        .on(&[])
        .by(&wrapper)
        .program(&public.program);
    let daemon = launch.within(public.path()).start(&[])?;
    let kept = BPF | NET_ADMIN | DAC_OVERRIDE;
    capture_a_new_interface(&lab, daemon, kept, kept | PERFMON)
}

#[test]
fn with_a_packet_socket_another_capability_stays() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    let mut tcpinfo = StandIn::unix(&home.path().join("tcpevents.sock"));
    tcpinfo.listen()?;
    let launch = Launch::new(&lab).following(&tcpinfo).without_prefix();
    let capture = Capture::new(&lab).by(launch).named(uuid);
    let traffic = |daemon: &mut Daemon| {
        tcpinfo.wait_for_client(1)?;
        let connections = traffic::run(&lab, &Plan::mixed(4), &tcpinfo)?;
        check_threads(daemon, BPF | NET_RAW | DAC_OVERRIDE, NOTHING)?;
        Ok(connections)
    };
    capture.run(&["--attach=socket"], traffic).map(drop)
}

#[test]
fn an_ordinary_user_with_the_documented_capabilities_captures() -> Result<()> {
    let lab = Lab::beside_others()?;
    let public = Public::new()?;
    let wrapper = as_user("-all,+bpf,+perfmon,+net_admin");
    let wrapper: Vec<_> = wrapper.iter().map(String::as_str).collect();
    let launch = Launch::new(&lab)
        .on(&[])
        .by(&wrapper)
        .program(&public.program);
    let daemon = launch.within(public.path()).start(&[])?;
    capture_a_new_interface(&lab, daemon, BPF | NET_ADMIN, BPF | PERFMON | NET_ADMIN)
}

/// Whether this process can be dumped: the files of one that cannot are root's (proc(5)).
fn can_be_dumped(daemon: &Daemon) -> Result<bool> {
    let file = format!("/proc/{}/limits", daemon.id());
    let limits = fs::read_to_string(&file)?;
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core = core.context("no limit of core files")?;
    let is_zero = core
        .split_whitespace()
        .skip(4)
        .take(2)
        .all(|limit| limit == "0");
    let dumped = fs::metadata(&file)?.uid() != 0;
    ensure!(dumped || is_zero, "{core}");
    Ok(dumped)
}

#[test]
fn hidden_addresses_are_in_no_core_dump() -> Result<()> {
    let lab = Lab::beside_others()?;
    let public = Public::new()?;
    let wrapper = as_user("-all,+bpf,+perfmon,+net_admin");
    let wrapper: Vec<_> = wrapper.iter().map(String::as_str).collect();
    for (method, dumped) in [("none", true), ("netblock", false)] {
        let launch = Launch::new(&lab).by(&wrapper).program(&public.program);
        let launch = launch.within(public.path());
        let daemon = launch.start(&[&format!("--anonymize.ip={method}")])?;
        ensure!(can_be_dumped(&daemon)? == dumped, "with {method}");
        daemon.stop()?;
    }
    Ok(())
}

#[test]
fn the_sandbox_can_be_declined() -> Result<()> {
    let lab = Lab::beside_others()?;
    let mut daemon = Launch::new(&lab).start(&["--sandbox=off"])?;
    daemon.wait_for_log(1, "the sandbox is off")?;
    for status in procfs::threads(daemon.id())? {
        ensure!(procfs::field(&status, "Seccomp")? == "0", "{status}");
    }
    daemon.stop().map(drop)
}

#[test]
fn a_missing_capability_is_named() -> Result<()> {
    let lab = Lab::beside_others()?;
    let public = Public::new()?;
    let all = ["bpf", "perfmon", "net_admin"];
    for missing in all {
        let others = all.into_iter().filter(|name| *name != missing);
        let list: String = others.map(|name| format!(",+{name}")).collect();
        let wrapper = as_user(&format!("-all{list}"));
        let wrapper: Vec<_> = wrapper.iter().map(String::as_str).collect();
        let launch = Launch::new(&lab)
            .on(&[WAN])
            .by(&wrapper)
            .program(&public.program);
        let launch = launch.within(public.path());
        let mut command = launch.command(&public.path().join("captures"), &[])?;
        let lines = refused(&lab, &mut command, 1)?;
        let named = format!(": CAP_{} missing", missing.to_uppercase());
        one_line(&lines, &[&named])?;
    }
    Ok(())
}
