//! Promise: when another program detaches or replaces ours, that is noticed within ten seconds, said,
//! counted, and mended; until it is mended, the daemon is not ready.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::peers::http::{self, Answer, Metrics};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::traffic::{self, Connection, Plan};
use end_to_end::world::bpf;
use end_to_end::world::command::output_of;
use end_to_end::world::netns::{self, Lab, WAN};
use end_to_end::world::{python, wait};

/// How long it may take to notice and mend it.
const MENDED_WITHIN: Duration = Duration::from_secs(10);

/// What the log says when it has been mended.
const MENDED: &str = "another program removed ours";

fn metrics(lab: &Lab, daemon: &Daemon) -> Result<Metrics> {
    http::metrics(&lab.host, daemon.http()?)
}

fn ready(lab: &Lab, daemon: &Daemon) -> Result<Answer> {
    http::get(&lab.host, daemon.http()?, "/readyz")
}

/// How often the daemon has counted that its programs were detached from this.
fn counted(lab: &Lab, daemon: &Daemon, from: &str) -> Result<f64> {
    let name = format!("packet_headers_programs_detached_total{{from=\"{from}\"}}");
    metrics(lab, daemon)?.get(&name)
}

/// Waits for the `times`th line that says so, with these words in it.
fn wait_until_mended(daemon: &Daemon, times: usize, words: &str) -> Result<()> {
    let mended = wait::within(MENDED_WITHIN, format!("{words:?} is mended"), || {
        Ok((daemon.log_lines(MENDED) >= times).then_some(()))
    });
    mended.with_context(|| daemon.transcript())?;
    let lines = daemon.transcript();
    let line = lines.lines().rfind(|line| line.contains(MENDED));
    let line = line.context("no such line")?;
    ensure!(line.contains(words), "{line}");
    ensure!(line.contains("attached again"), "{line}");
    Ok(())
}

/// Makes connections, each of which must have its file.
fn capture(lab: &Lab, daemon: &mut Daemon, all: &mut Vec<Connection>) -> Result<()> {
    let tcpdump = Tcpdump::start(&lab.host)?;
    let connections = traffic::run(lab, &[Plan::SHORT; 5], &())?;
    all.extend(connections.iter().cloned());
    daemon.wait_for_files(all.len())?;
    let oracle = tcpdump.stop()?;
    for connection in &connections {
        let file = daemon.captures().packets_of(&kernel_uuid(connection))?;
        let passed = oracle.packets_of(connection)?;
        assert_eq!(file.len(), passed.len(), "{connection}");
    }
    Ok(())
}

/// Captures; lets `harm` be done to the daemon's programs, of which the log must have these words
/// and the metrics `from`; and captures again.
fn detach_and_recover(
    flags: &[&str],
    (from, words): (&str, &str),
    harm: impl Fn(&Lab, &Daemon) -> Result<()>,
) -> Result<()> {
    let lab = Lab::beside_others()?;
    let mut daemon = Daemon::start(&lab, flags)?;
    let mut all = Vec::new();
    capture(&lab, &mut daemon, &mut all)?;
    harm(&lab, &daemon)?;
    wait_until_mended(&daemon, 1, words)?;
    ensure!(counted(&lab, &daemon, from)? == 1.0);
    ensure!(ready(&lab, &daemon)?.status == 200);
    capture(&lab, &mut daemon, &mut all)?;
    daemon.stop()?;
    Ok(())
}

/// Detaches the links of the daemon whose description has this word.
fn detach_links(daemon: &Daemon, word: &str) -> Result<()> {
    let links = bpf::links(daemon.id())?;
    let ours = links.iter().filter(|(_, text)| text.contains(word));
    let mut detached = 0;
    for (id, _) in ours {
        bpf::detach(id)?;
        detached += 1;
    }
    ensure!(detached > 0, "no {word} among {links:?}");
    Ok(())
}

#[test]
fn a_tcx_link_that_is_detached_is_made_again() -> Result<()> {
    let flags = ["--attach=tcx"];
    let words = "wan0 (ingress detached, egress detached)";
    detach_and_recover(&flags, ("interface", words), |_, daemon| {
        detach_links(daemon, "tcx")
    })
}

#[test]
fn the_socket_program_is_attached_to_its_cgroup_again() -> Result<()> {
    let words = "sockets (detached)";
    detach_and_recover(&[], ("sockets", words), |_, daemon| {
        detach_links(daemon, "cgroup")
    })
}

#[test]
fn a_filter_that_is_deleted_is_added_again() -> Result<()> {
    let words = "wan0 (ingress detached)";
    let flags = ["--attach=netlink"];
    detach_and_recover(&flags, ("interface", words), |lab, _| {
        lab.host
            .tc(&["filter", "del", "dev", WAN, "ingress"])
            .map(drop)
    })
}

#[test]
fn a_qdisc_that_is_deleted_is_added_again_with_its_filters() -> Result<()> {
    let words = "wan0 (ingress detached, egress detached)";
    let flags = ["--attach=netlink"];
    detach_and_recover(&flags, ("interface", words), |lab, _| {
        lab.host
            .tc(&["qdisc", "del", "dev", WAN, "clsact"])
            .map(drop)
    })
}

/// Another daemon's program in the place of ours is one that does not capture for us.
#[test]
fn a_filter_that_is_replaced_is_taken_back() -> Result<()> {
    let words = "wan0 (egress replaced by program ";
    let flags = ["--attach=netlink"];
    detach_and_recover(&flags, ("interface", words), |lab, daemon| {
        let pinned = &format!("/sys/fs/bpf/{}", lab.host.name());
        bpf::pin(daemon.id(), "ph_raw_egress", pinned)?;
        let place = ["filter", "replace", "dev", WAN, "egress", "prio", "1"];
        let program = [
            "handle",
            "0x7068",
            "bpf",
            "direct-action",
            "object-pinned",
            pinned,
        ];
        let mut tc = Command::new("tc");
        tc.args(place).args(program);
        // `tc -n` would not see what is pinned.
        let replaced = lab.host.run(|| output_of(&mut tc, "iproute2"));
        fs::remove_file(pinned)?;
        replaced.map(drop)
    })
}

#[test]
fn the_filter_of_the_packet_socket_is_attached_again() -> Result<()> {
    let words = "wan0 (the packet socket's filter detached)";
    let flags = ["--attach=socket"];
    detach_and_recover(&flags, ("interface", words), |lab, daemon| {
        let mut steal = python::program("steal_filter.py")?;
        output_of(steal.arg(daemon.id().to_string()), "python3")?;
        // What shows it.
        traffic::run(lab, &[Plan::SHORT], &()).map(drop)
    })
}

/// An ingress qdisc is in the place of clsact, and has no egress.
#[test]
fn it_is_not_ready_until_it_could_attach_again() -> Result<()> {
    let lab = Lab::beside_others()?;
    let mut daemon = Daemon::start(&lab, &["--attach=netlink"])?;
    lab.host.tc(&["qdisc", "del", "dev", WAN, "clsact"])?;
    lab.host.tc(&["qdisc", "add", "dev", WAN, "ingress"])?;
    let not_ready = wait::within(MENDED_WITHIN, "it is not ready", || {
        Ok(Some(ready(&lab, &daemon)?).filter(|answer| answer.status == 503))
    });
    let body = not_ready.with_context(|| daemon.transcript())?.body;
    for word in [WAN, "egress", "--attach socket"] {
        ensure!(body.contains(word), "{body}");
    }
    let missing = "packet_headers_programs_missing";
    ensure!(metrics(&lab, &daemon)?.get(missing)? == 1.0);
    ensure!(daemon.log_lines("1 not attached again yet") == 1);

    lab.host.tc(&["qdisc", "del", "dev", WAN, "ingress"])?;
    wait::within(MENDED_WITHIN, "it is ready again", || {
        Ok((ready(&lab, &daemon)?.status == 200).then_some(()))
    })?;
    ensure!(metrics(&lab, &daemon)?.get(missing)? == 0.0);
    capture(&lab, &mut daemon, &mut Vec::new())?;
    daemon.stop()?;
    Ok(())
}

#[test]
fn what_could_not_be_attached_is_tried_again_although_no_interface_changes() -> Result<()> {
    let lab = Lab::beside_others()?;
    netns::join((&lab.host, "lan0"), (&lab.peer, "lan0"), 1)?;
    lab.host.tc(&["qdisc", "add", "dev", "lan0", "ingress"])?;
    let mut daemon = Launch::new(&lab).on(&[]).start(&["--attach=netlink"])?;
    daemon.wait_for_log(1, "not capturing lan0 for now")?;
    lab.host.tc(&["qdisc", "del", "dev", "lan0", "ingress"])?;
    wait::within(MENDED_WITHIN, "lan0 is attached to", || {
        Ok((daemon.log_lines("attached to lan0") > 0).then_some(()))
    })?;
    daemon.stop()?;
    Ok(())
}

#[test]
fn one_that_detaches_again_and_again_causes_no_storm() -> Result<()> {
    const FOR: Duration = Duration::from_secs(11);
    let lab = Lab::beside_others()?;
    let mut daemon = Daemon::start(&lab, &["--attach=netlink"])?;
    let begun = Instant::now();
    while begun.elapsed() < FOR {
        // There is none for most of the time.
        let _nothing = lab.host.tc(&["qdisc", "del", "dev", WAN, "clsact"]);
        thread::sleep(Duration::from_millis(50));
    }
    wait::until("it is attached again", || {
        let left = lab.host.tc(&["filter", "show", "dev", WAN, "egress"])?;
        Ok(left.contains("ph_eth_egress").then_some(()))
    })?;
    let lost = counted(&lab, &daemon, "interface")?;
    ensure!((2.0..=4.0).contains(&lost), "{lost}");
    assert_eq!(daemon.log_lines(MENDED), 1, "{}", daemon.transcript());
    assert_eq!(daemon.log_lines("attached to wan0"), 1);
    capture(&lab, &mut daemon, &mut Vec::new())?;
    daemon.stop()?;
    Ok(())
}

/// The daemon is stopped while its programs are detached.
#[test]
fn a_stop_does_not_depend_on_what_is_attached() -> Result<()> {
    let lab = Lab::beside_others()?;
    let daemon = Daemon::start(&lab, &[])?;
    detach_links(&daemon, "link_id")?;
    daemon.stop().map(drop)
}
