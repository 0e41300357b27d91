//! Promise: the connections that tcp-info announces on its event socket have their files, however
//! late its events come, however broken some of its lines are, and however often it goes away.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::capture::{self, Capture, Captured};
use end_to_end::peers::daemon::Daemon;
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::peers::tcpinfo::{StandIn, uuid};
use end_to_end::traffic::{self, Connection, Observer, Plan};
use end_to_end::verify::captures::files_below;
use end_to_end::verify::report::{DiscardReason, EventField, FileField, PacketField, Report};
use end_to_end::world::netns::Lab;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Captures connections that a tcp-info names, and verifies their files.
fn capture(
    lab: &Lab,
    tcpinfo: &StandIn,
    flags: &[&str],
    traffic: impl FnOnce() -> Result<Vec<Connection>>,
) -> Result<Captured> {
    let launch = Launch::new(lab).following(tcpinfo).without_prefix();
    let capture = Capture::new(lab).by(launch).named(uuid);
    let captured = capture.run(flags, |_| {
        tcpinfo.wait_for_client(1)?;
        traffic()
    })?;
    complete(&captured.stopped.report, captured.connections.len())?;
    Ok(captured)
}

/// Checks that the daemon has published so many files, and holds no packet.
fn complete(report: &Report, files: usize) -> Result<()> {
    ensure!(report.get(PacketField::Held) == 0, "{report:?}");
    ensure!(
        report.get(FileField::Published) == files as u64,
        "{report:?}"
    );
    Ok(())
}

/// An ID that is valid if `source` is a valid address.
fn id_with_source(source: &str) -> Value {
    json!({"SPort": 5001, "DPort": 53660, "SrcIP": source, "DstIP": "10.98.0.2",
        "Interface": 0, "Cookie": 4098})
}

/// Sends one line of each kind that the daemon refuses.
fn send_malformed_lines(tcpinfo: &StandIn) {
    let good = id_with_source("10.98.0.1");
    tcpinfo.send("{\"Event\":0,\"Timestamp\":");
    tcpinfo.send(vec![b'x'; (64 << 10) + 1]);
    tcpinfo.send_open("vm_1_unsafe_0000000000000001", &Value::Null);
    tcpinfo.send_open(
        "vm_1_unsafe_0000000000000002",
        &id_with_source("10.98.0.256"),
    );
    tcpinfo.send_open("../../etc/passwd", &good);
    let now = "2026-11-23T06:31:50.5Z";
    let unknown = json!({"Event": 7, "Timestamp": now, "UUID": "vm_1_unsafe_7", "ID": good});
    tcpinfo.send(unknown.to_string());
}

#[test]
fn fifty_connections_have_the_names_that_tcpinfo_gives_them_late() -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let mut tcpinfo = StandIn::unix(&home.path().join("tcpevents.sock"));
    tcpinfo.listen()?;
    let captured = capture(&lab, &tcpinfo, &[], || {
        let mut connections = traffic::run(&lab, &Plan::mixed(20), &tcpinfo)?;
        send_malformed_lines(&tcpinfo);
        connections.extend(traffic::run(&lab, &Plan::mixed(30), &tcpinfo)?);
        Ok(connections)
    })?;
    let stopped = captured.stopped;
    assert_eq!(tcpinfo.accepted(), 1, "{}", stopped.transcript);
    for field in [
        EventField::TooLong,
        EventField::BadJson,
        EventField::UnknownEvent,
        EventField::NilId,
        EventField::BadAddress,
        EventField::BadUuid,
    ] {
        let count = stopped.report.get(field);
        assert_eq!(count, 1, "{field:?}: {:?}", stopped.report);
    }
    let names = files_below(home.path())?;
    assert!(names.iter().all(|name| name.ends_with("tcpevents.sock")));
    Ok(())
}

#[test]
fn a_restart_of_tcpinfo_costs_only_what_it_did_not_announce() -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let mut tcpinfo = StandIn::unix(&home.path().join("tcpevents.sock"));
    tcpinfo.listen()?;
    let tcpdump = Tcpdump::start(&lab.host)?;
    let daemon = Daemon::follow(&lab, &tcpinfo, &["--uuidwaitduration=1s"])?;
    tcpinfo.wait_for_client(1)?;

    let mut connections = traffic::run(&lab, &Plan::mixed(10), &tcpinfo)?;
    // This one is named before tcp-info goes away, has packets in the meantime, and ends after it
    // is back.
    let known = traffic::open(&lab, &Plan::mixed(2)[1], &tcpinfo)?;
    tcpinfo.wait_until_sent()?;
    tcpinfo.close()?;
    known.talk()?;
    let unannounced = traffic::run(&lab, &[Plan::SHORT; 5], &())?;
    tcpinfo.listen()?;
    tcpinfo.wait_for_client(2)?;
    connections.push(known.finish(&tcpinfo)?);
    connections.extend(traffic::run(&lab, &Plan::mixed(10), &tcpinfo)?);

    let (stopped, oracle) = capture::conclude(daemon, tcpdump, &connections, uuid)?;
    let report = &stopped.report;
    complete(report, connections.len())?;
    let lost = oracle.count(&unannounced)?;
    assert_eq!(report.get(DiscardReason::Unnamed), lost, "{report:?}");
    assert_eq!(report.get(EventField::Reconnects), 1, "{report:?}");
    Ok(())
}

#[test]
fn without_tcpinfo_at_the_start_it_captures_and_connects_later() -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let mut tcpinfo = StandIn::unix(&home.path().join("tcpevents.sock"));
    let tcpdump = Tcpdump::start(&lab.host)?;
    // Longer than the daemon ever waits before it tries to connect again.
    let wait = ["--uuidwaitduration=20s", "--captureduration=30s"];
    let mut daemon = Daemon::follow(&lab, &tcpinfo, &wait)?;
    traffic::run(&lab, &[Plan::SHORT; 3], &())?;
    let early = daemon.wait_for_report("it sees packets", |r| r.get(PacketField::Seen) > 20)?;
    assert_eq!(early.get(FileField::Published), 0, "{early:?}");

    // This one begins before tcp-info does; its Open comes within --uuidwaitduration.
    let early = traffic::open(&lab, &Plan::SHORT, &())?;
    tcpinfo.listen()?;
    tcpinfo.wait_for_client(1)?;
    early.announce(&tcpinfo);
    let mut connections = vec![early.finish(&tcpinfo)?];
    connections.extend(traffic::run(&lab, &Plan::mixed(6), &tcpinfo)?);
    // The unannounced ones would be held for long.
    daemon.wait_for_files(connections.len())?;
    let stopped = daemon.stop()?;
    complete(&stopped.report, connections.len())?;
    let oracle = tcpdump.stop()?;
    oracle
        .verify(&stopped.captures, &connections, uuid)
        .with_context(|| stopped.transcript.clone())
}

#[test]
fn events_over_tcp_are_as_good() -> Result<()> {
    let lab = Lab::new()?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let traffic = || traffic::run(&lab, &Plan::mixed(12), &tcpinfo);
    capture(&lab, &tcpinfo, &["--flow-source=tcpinfo"], traffic).map(drop)
}

/// After twenty periods of tcp-info's poll, which is still within `--uuidwaitduration`.
#[test]
fn a_name_that_comes_after_the_connection_ended_is_still_good() -> Result<()> {
    let lab = Lab::new()?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let traffic = || {
        let connections = traffic::run(&lab, &[Plan::SHORT; 5], &())?;
        thread::sleep(Duration::from_millis(200));
        for connection in &connections {
            tcpinfo.opened(connection);
            tcpinfo.closed(connection);
        }
        Ok(connections)
    };
    capture(&lab, &tcpinfo, &[], traffic).map(drop)
}

#[test]
fn in_hybrid_what_tcpinfo_misses_is_named_as_it_would_have() -> Result<()> {
    let lab = Lab::new()?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let traffic = || {
        let mut connections = traffic::run(&lab, &[Plan::SHORT], &tcpinfo)?;
        tcpinfo.wait_until_sent()?;
        connections.extend(traffic::run(&lab, &Plan::mixed(12), &())?);
        connections.extend(traffic::run(&lab, &Plan::mixed(4), &tcpinfo)?);
        Ok(connections)
    };
    capture(&lab, &tcpinfo, &["--flow-source=hybrid"], traffic).map(drop)
}
