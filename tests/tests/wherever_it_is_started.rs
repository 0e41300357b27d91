//! Promise: the daemon captures wherever people start it.

use std::process::Command;

use anyhow::{Result, ensure};
use end_to_end::capture::Capture;
use end_to_end::peers::daemon::executable;
use end_to_end::peers::doctor::{doctor, examine};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::refusal::{one_line, refused};
use end_to_end::traffic::{self, Plan};
use end_to_end::world::mount::Host;
use end_to_end::world::netns::{Lab, WAN};

#[test]
fn in_ip_netns_exec_which_hides_the_cgroups() -> Result<()> {
    let lab = Lab::beside_others()?;
    let wrapper = ["ip", "netns", "exec", lab.host.name()];
    let capture = Capture::new(&lab).by(Launch::new(&lab).by(&wrapper));
    let captured = capture.run(&[], |_| traffic::run(&lab, &Plan::mixed(4), &()))?;
    let transcript = &captured.stopped.transcript;
    ensure!(
        transcript.contains("from this kernel's sockets"),
        "{transcript}"
    );
    Ok(())
}

/// Captures on such a host; its doctor must find no problem with cgroups, and these words.
fn on_a_host(host: Host, found: &str) -> Result<()> {
    let lab = Lab::beside_others()?;
    let wrapper = host.wrapper()?;
    let wrapper: Vec<_> = wrapper.iter().map(String::as_str).collect();
    let capture = Capture::new(&lab).by(Launch::new(&lab).by(&wrapper));
    let captured = capture.run(&[], |_| traffic::run(&lab, &Plan::mixed(4), &()))?;
    let transcript = &captured.stopped.transcript;
    ensure!(!transcript.contains("part of"), "{transcript}");
    let flags = ["--flow-source=kernel", "--interface", WAN];
    let command = doctor(&executable()?, captured.stopped.captures.root(), &flags);
    let findings = examine(&lab, &command, &|command| {
        let mut outer = Command::new(wrapper[0]);
        outer.args(&wrapper[1..]).arg(command.get_program());
        outer.args(command.get_args());
        outer
    })?;
    findings.says("cgroup2", "ok", &[found])
}

#[test]
fn on_a_host_with_cgroup2_alone() -> Result<()> {
    on_a_host(Host::Unified, "mounted at /sys/fs/cgroup")
}

#[test]
fn on_a_host_with_both_versions_of_cgroups() -> Result<()> {
    on_a_host(Host::Hybrid, "mounted at /sys/fs/cgroup/unified")
}

#[test]
fn on_a_host_with_the_old_version_of_cgroups_alone() -> Result<()> {
    on_a_host(Host::Old, "the daemon mounts one for itself")
}

#[test]
fn on_a_host_whose_cgroup2_is_hidden_by_another_mount() -> Result<()> {
    on_a_host(Host::Hidden, "the daemon mounts one for itself")
}

#[test]
fn in_one_namespace_for_another() -> Result<()> {
    let lab = Lab::beside_others()?;
    let peer = format!("--net=/run/netns/{}", lab.peer.name());
    let elsewhere = ["nsenter", &peer];
    let name = lab.host.name();
    for netns in [name.to_owned(), format!("/run/netns/{name}")] {
        let capture = Capture::new(&lab).by(Launch::new(&lab).by(&elsewhere));
        let flag = format!("--netns={netns}");
        capture.run(&[&flag], |_| traffic::run(&lab, &Plan::mixed(4), &()))?;
    }
    Ok(())
}

#[test]
fn a_namespace_that_is_not_there_is_said_with_those_that_are() -> Result<()> {
    let lab = Lab::beside_others()?;
    let mut command = Command::new(executable()?);
    command.args(["--netns", "nowhere-at-all"]);
    let lines = refused(&lab, &mut command, 1)?;
    one_line(
        &lines,
        &["--netns", "/run/netns/nowhere-at-all", lab.host.name()],
    )
}
