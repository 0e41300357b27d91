//! Promise: with tcp-info's event socket the connections it announces have their files, however late
//! its events, however broken some of its lines, and however often it goes away.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::Daemon;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::peers::tcpinfo::{StandIn, uuid};
use end_to_end::traffic::{self, Connection, Observer, Plan};
use end_to_end::verify::captures::files_below;
use end_to_end::verify::oracle::Oracle;
use end_to_end::world::netns::Lab;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Checks the files of all `connections`, and that the daemon ended in balance.
fn compare(
    mut daemon: Daemon,
    tcpdump: Tcpdump,
    connections: &[Connection],
) -> Result<(Oracle, end_to_end::peers::daemon::Stopped)> {
    daemon.wait_for_files(connections.len())?;
    let stopped = daemon.stop()?;
    let oracle = tcpdump.stop()?;
    oracle
        .judge(&stopped.captures, connections, uuid)
        .with_context(|| stopped.transcript.clone())?;
    stopped.summary.in_balance()?;
    let (held, published) = (
        stopped.summary.get("packets", "held"),
        stopped.summary.get("files", "published"),
    );
    ensure!(
        held == 0 && published == connections.len() as u64,
        "{:?}",
        stopped.summary
    );
    Ok((oracle, stopped))
}

/// An ID that would be right, but for `SrcIP`.
fn id_with_source(source: &str) -> Value {
    json!({"SPort": 5001, "DPort": 53660, "SrcIP": source, "DstIP": "10.98.0.2",
        "Interface": 0, "Cookie": 4098})
}

/// One line of each kind that is refused.
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
    let tcpdump = Tcpdump::start(&lab.host, 0)?;
    let daemon = Daemon::follow(&lab, &tcpinfo, &[])?;
    tcpinfo.wait_for_client(1)?;

    let (one, other) = (Plan::mixed(20), Plan::mixed(30));
    let mut connections = traffic::run(&lab, &one, &tcpinfo)?;
    send_malformed_lines(&tcpinfo);
    connections.extend(traffic::run(&lab, &other, &tcpinfo)?);

    let (_, stopped) = compare(daemon, tcpdump, &connections)?;
    assert_eq!(tcpinfo.accepted(), 1, "{}", stopped.transcript);
    for reason in [
        "too_long",
        "bad_json",
        "unknown_event",
        "nil_id",
        "bad_address",
        "bad_uuid",
    ] {
        let count = stopped.summary.get("events", reason);
        assert_eq!(count, 1, "{reason}: {:?}", stopped.summary);
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
    let tcpdump = Tcpdump::start(&lab.host, 0)?;
    let daemon = Daemon::follow(&lab, &tcpinfo, &["--uuidwaitduration=1s"])?;
    tcpinfo.wait_for_client(1)?;

    let mut connections = traffic::run(&lab, &Plan::mixed(10), &tcpinfo)?;
    // This one is known before tcp-info goes, talks meanwhile, and ends after it is back.
    let known = traffic::open(&lab, &Plan::mixed(2)[1], &tcpinfo)?;
    tcpinfo.wait_until_sent()?;
    tcpinfo.close()?;
    known.talk()?;
    let unannounced = traffic::run(&lab, &[Plan::SHORT; 5], &())?;
    tcpinfo.listen()?;
    tcpinfo.wait_for_client(2)?;
    connections.push(known.finish(&tcpinfo)?);
    connections.extend(traffic::run(&lab, &Plan::mixed(10), &tcpinfo)?);

    let (oracle, stopped) = compare(daemon, tcpdump, &connections)?;
    let lost: Result<usize> = unannounced
        .iter()
        .map(|of| Ok(oracle.connection(of.host, of.peer, 0)?.len()))
        .sum();
    let summary = &stopped.summary;
    assert_eq!(
        summary.get("discarded", "unnamed"),
        lost? as u64,
        "{summary:?}"
    );
    assert_eq!(summary.get("events", "reconnects"), 1, "{summary:?}");
    Ok(())
}

#[test]
fn without_tcpinfo_at_the_start_it_captures_and_connects_later() -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let mut tcpinfo = StandIn::unix(&home.path().join("tcpevents.sock"));
    let tcpdump = Tcpdump::start(&lab.host, 0)?;
    // Longer than any backoff.
    let wait = ["--uuidwaitduration=20s", "--captureduration=30s"];
    let mut daemon = Daemon::follow(&lab, &tcpinfo, &wait)?;
    traffic::run(&lab, &[Plan::SHORT; 3], &())?;
    let early = daemon.wait_for_summary("it sees packets", |s| s.get("packets", "seen") > 20)?;
    assert_eq!(early.get("files", "published"), 0, "{early:?}");

    // This one begins before tcp-info does; its Open comes within --uuidwaitduration.
    let early = traffic::open(&lab, &Plan::SHORT, &())?;
    tcpinfo.listen()?;
    tcpinfo.wait_for_client(1)?;
    early.announce(&tcpinfo);
    let mut connections = vec![early.finish(&tcpinfo)?];
    connections.extend(traffic::run(&lab, &Plan::mixed(6), &tcpinfo)?);
    compare(daemon, tcpdump, &connections).map(drop)
}

#[test]
fn events_over_tcp_are_as_good() -> Result<()> {
    let lab = Lab::new()?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let tcpdump = Tcpdump::start(&lab.host, 0)?;
    let daemon = Daemon::follow(&lab, &tcpinfo, &["--flow-source=tcpinfo"])?;
    tcpinfo.wait_for_client(1)?;
    let connections = traffic::run(&lab, &Plan::mixed(12), &tcpinfo)?;
    compare(daemon, tcpdump, &connections).map(drop)
}

/// Twenty times the poll of tcp-info: still within `--uuidwaitduration`.
#[test]
fn a_name_that_comes_after_the_connection_ended_is_still_good() -> Result<()> {
    let lab = Lab::new()?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let tcpdump = Tcpdump::start(&lab.host, 0)?;
    let daemon = Daemon::follow(&lab, &tcpinfo, &[])?;
    tcpinfo.wait_for_client(1)?;
    let connections = traffic::run(&lab, &[Plan::SHORT; 5], &())?;
    thread::sleep(Duration::from_millis(200));
    for connection in &connections {
        tcpinfo.opened(connection);
        tcpinfo.closed(connection);
    }
    compare(daemon, tcpdump, &connections).map(drop)
}

#[test]
fn in_hybrid_what_tcpinfo_misses_is_named_as_it_would_have() -> Result<()> {
    let lab = Lab::new()?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let tcpdump = Tcpdump::start(&lab.host, 0)?;
    let daemon = Daemon::follow(&lab, &tcpinfo, &["--flow-source=hybrid"])?;
    tcpinfo.wait_for_client(1)?;
    let mut connections = traffic::run(&lab, &[Plan::SHORT], &tcpinfo)?;
    tcpinfo.wait_until_sent()?;
    connections.extend(traffic::run(&lab, &Plan::mixed(12), &())?);
    connections.extend(traffic::run(&lab, &Plan::mixed(4), &tcpinfo)?);
    compare(daemon, tcpdump, &connections).map(drop)
}
