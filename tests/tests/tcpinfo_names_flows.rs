//! Promise: the connections that tcp-info announces on its event socket have their files, however
//! late its events come, however broken some of its lines are, and however often it goes away.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::capture::{self, Capture, Captured};
use end_to_end::peers::daemon::Daemon;
use end_to_end::peers::http;
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::peers::tcpinfo::{StandIn, uuid};
use end_to_end::traffic::{self, Connection, Observer, Plan};
use end_to_end::verify::captures::files_below;
use end_to_end::verify::report::{
    ConnectionField, DiscardReason, EventField, FileField, PacketField, Report,
};
use end_to_end::world::netns::Lab;
use end_to_end::world::wait;
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
    let lab = Lab::beside_others()?;
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
    let lab = Lab::beside_others()?;
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

/// How long tcp-info is away: long enough for pauses between attempts to connect to have become as
/// long as they ever do.
const OUTAGE: Duration = Duration::from_secs(7);

/// tcp-info tells nobody of those that begin before we are connected again, and repeats nothing.
#[test]
fn an_outage_of_tcpinfo_costs_no_connection_that_outlives_it() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    let mut tcpinfo = StandIn::unix(&home.path().join("tcpevents.sock"));
    tcpinfo.listen()?;
    let tcpdump = Tcpdump::start(&lab.host)?;
    // Their first packets are kept as long as they have no name.
    let wait = ["--uuidwaitduration=20s", "--captureduration=30s"];
    let mut daemon = Daemon::follow(&lab, &tcpinfo, &wait)?;
    tcpinfo.wait_for_client(1)?;
    let mut connections = traffic::run(&lab, &Plan::mixed(4), &tcpinfo)?;
    let ends_meanwhile = traffic::open(&lab, &Plan::SHORT, &tcpinfo)?;
    tcpinfo.wait_until_sent()?;

    tcpinfo.close()?;
    daemon.wait_for_log(1, "lost tcp-info")?;
    connections.push(ends_meanwhile.finish(&())?);
    let open = |plan: &Plan, observer: &dyn Observer| {
        let open = traffic::open(&lab, plan, observer)?;
        open.talk()?;
        anyhow::Ok(open)
    };
    let plans = Plan::mixed(5);
    let begun_meanwhile = plans.iter().map(|plan| open(plan, &()));
    let mut outlive: Vec<_> = begun_meanwhile.collect::<Result<_>>()?;
    thread::sleep(OUTAGE);
    tcpinfo.listen()?;
    for _ in 0..40 {
        outlive.push(open(&Plan::SHORT, &tcpinfo)?);
        thread::sleep(Duration::from_millis(50));
    }
    tcpinfo.wait_for_client(2)?;
    tcpinfo.wait_until_sent()?;
    for connection in outlive {
        connections.push(connection.finish(&tcpinfo)?);
    }
    tcpinfo.wait_until_sent()?;
    let all = connections.len() as u64;
    daemon.wait_for_report("every Close is known", |report| {
        report.get(ConnectionField::Closed) == all
    })?;
    let (stopped, _) = capture::conclude(daemon, tcpdump, &connections, uuid)?;
    complete(&stopped.report, connections.len())?;
    assert_eq!(stopped.report.get(ConnectionField::Opened), all);
    Ok(())
}

/// Connections that begin before tcp-info tells the first name are not older than the daemon.
#[test]
fn only_older_connections_are_said_to_be_older() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    let open = |count| {
        let open = (0..count).map(|_| traffic::open(&lab, &Plan::SHORT, &()));
        open.collect::<Result<Vec<_>>>()
    };
    for source in ["tcpinfo", "hybrid"] {
        let mut tcpinfo = StandIn::unix(&home.path().join(source));
        let older = open(2)?;
        let flag = format!("--flow-source={source}");
        let mut daemon = Daemon::follow(&lab, &tcpinfo, &[&flag])?;
        let newer = open(3)?;
        tcpinfo.listen()?;
        tcpinfo.wait_for_client(1)?;
        let named = traffic::open(&lab, &Plan::SHORT, &tcpinfo)?;
        daemon.wait_for_log(1, "2 connections are older than this daemon")?;
        daemon.wait_for_report("every connection has its name", |report| {
            report.get(ConnectionField::Opened) == 6
        })?;
        assert_eq!(daemon.log_lines("are older than"), 1);
        for connection in older.into_iter().chain(newer) {
            connection.finish(&())?;
        }
        named.finish(&tcpinfo)?;
        daemon.stop()?;
    }
    Ok(())
}

/// With `--existing=false`, and although its socket is in every list.
#[test]
fn an_older_connection_that_is_not_wanted_is_not_named_after_an_outage() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    let older = traffic::open(&lab, &Plan::SHORT, &())?;
    let mut tcpinfo = StandIn::unix(&home.path().join("tcpevents.sock"));
    tcpinfo.listen()?;
    let mut daemon = Daemon::follow(&lab, &tcpinfo, &["--existing=false"])?;
    for clients in [1, 2] {
        tcpinfo.wait_for_client(clients)?;
        traffic::run(&lab, &[Plan::SHORT], &tcpinfo)?;
        daemon.wait_for_files(clients)?;
        if clients == 1 {
            tcpinfo.close()?;
            tcpinfo.listen()?;
        }
    }
    older.finish(&())?;
    let stopped = daemon.stop()?;
    assert_eq!(stopped.report.get(ConnectionField::Opened), 2);
    Ok(())
}

#[test]
fn without_tcpinfo_at_the_start_it_captures_and_connects_later() -> Result<()> {
    let lab = Lab::beside_others()?;
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
    let lab = Lab::beside_others()?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let traffic = || traffic::run(&lab, &Plan::mixed(12), &tcpinfo);
    capture(&lab, &tcpinfo, &["--flow-source=tcpinfo"], traffic).map(drop)
}

/// After twenty periods of tcp-info's poll, which is still within `--uuidwaitduration`.
#[test]
fn a_name_that_comes_after_the_connection_ended_is_still_good() -> Result<()> {
    let lab = Lab::beside_others()?;
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
    let lab = Lab::beside_others()?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let traffic = || {
        let mut connections = traffic::run(&lab, &[Plan::SHORT], &tcpinfo)?;
        tcpinfo.wait_until_sent()?;
        connections.extend(traffic::run(&lab, &Plan::mixed(12), &())?);
        connections.extend(traffic::run(&lab, &Plan::mixed(4), &tcpinfo)?);
        tcpinfo.wait_until_sent()?;
        Ok(connections)
    };
    let captured = capture(&lab, &tcpinfo, &["--flow-source=hybrid"], traffic)?;
    // Both sources told of some, each of which counts once.
    let report = &captured.stopped.report;
    for field in [ConnectionField::Opened, ConnectionField::Closed] {
        let count = captured.connections.len() as u64;
        assert_eq!(report.get(field), count, "{report:?}");
    }
    Ok(())
}

/// A name that is not tcp-info's cannot be taken back.
#[test]
fn in_hybrid_without_a_prefix_it_says_that_nothing_is_saved_until_tcpinfo_comes() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    let mut tcpinfo = StandIn::unix(&home.path().join("tcpevents.sock"));
    let hybrid = "--flow-source=hybrid";
    let mut daemon = Daemon::follow(&lab, &tcpinfo, &[hybrid, "--existing=false"])?;
    daemon.wait_for_log(1, "none is saved: --uuid-prefix-file")?;
    let at = daemon.http()?;
    let ready = || http::get(&lab.host, at, "/readyz");
    let known = || {
        let metrics = http::metrics(&lab.host, at)?;
        metrics.get("packet_headers_uuid_prefix_known")
    };
    let answer = ready()?;
    ensure!(answer.status == 503, "{answer:?}");
    ensure!(answer.body.contains("no connection is saved"), "{answer:?}");
    ensure!(known()? == 0.0);
    let early = traffic::run(&lab, &[Plan::SHORT], &())?;

    tcpinfo.listen()?;
    tcpinfo.wait_for_client(1)?;
    let later = traffic::run(&lab, &[Plan::SHORT; 2], &tcpinfo)?;
    let connections = [early, later].concat();
    daemon.wait_for_files(connections.len())?;
    wait::until("it is ready", || Ok((ready()?.status == 200).then_some(())))?;
    ensure!(known()? == 1.0);
    let names = http::metrics(&lab.host, at)?.get("pcap_demuxer_uuids_total")?;
    ensure!(names == connections.len() as f64, "{names}");
    daemon.stop()?;
    Ok(())
}
