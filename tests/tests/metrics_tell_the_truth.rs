//! Promise: what the daemon says over HTTP is true. Its metrics agree with its report, and a real
//! Prometheus reads them; it is ready while it can capture and save; it reveals no address that
//! files hide.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, kernel_uuid, now};
use end_to_end::peers::http::{self, Answer, Metrics};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::prometheus::{Prometheus, promtool};
use end_to_end::peers::tcpinfo::StandIn;
use end_to_end::traffic::{self, Plan};
use end_to_end::verify::report::{
    ConnectionField, DiscardReason, Entry, EventField, Field, FileErrorReason, FileField, Report,
};
use end_to_end::world::mount::SmallDisk;
use end_to_end::world::netns::{self, Lab};
use end_to_end::world::wait;
use serde_json::Value;
use tempfile::TempDir;

/// The metrics of the Go program: name, type, label, and the label's values that exist from the
/// start.
const OF_THE_GO_PROGRAM: [(&str, &str, &str, &[&str]); 16] = [
    (
        "pcap_missed_packets_total",
        "counter",
        "saverstate",
        &["uuidwait", "streaming", "skipped"],
    ),
    (
        "pcap_missed_uuids_total",
        "counter",
        "saverstate",
        &["notstarted", "skipped"],
    ),
    ("pcap_saver_starts_total", "counter", "", &[]),
    ("pcap_saver_stops_total", "counter", "", &[]),
    ("pcap_saver_skipped_total", "counter", "", &[]),
    (
        "pcap_saver_errors_total",
        "counter",
        "reason",
        &[
            "nopackets",
            "uuidtimedout",
            "uuidchanclosed",
            "mkdir",
            "fileopen",
            "writepartial",
            "writefinal",
            "streaming",
        ],
    ),
    ("pcap_demuxer_bad_packets_total", "counter", "", &[]),
    ("pcap_demuxer_uuids_total", "counter", "", &[]),
    (
        "pcap_demuxer_savers_garbage_collected_total",
        "counter",
        "",
        &[],
    ),
    ("pcap_demuxer_ignored_total", "counter", "", &[]),
    (
        "pcap_tcpinfohandler_bad_events_total",
        "counter",
        "reason",
        &["nilid", "badip"],
    ),
    (
        "pcap_saver_states",
        "gauge",
        "state",
        &["uuidwait", "streaming", "discardingpackets"],
    ),
    ("pcap_demuxer_savers_active", "gauge", "", &[]),
    ("pcap_muxer_interfaces_with_captures", "gauge", "", &[]),
    ("pcap_demuxer_gc_latency_seconds", "histogram", "", &[]),
    ("packet_headers_packets_seen_total", "counter", "", &[]),
];

/// Metrics that count the connections that wait for a name.
const WITHOUT_A_NAME: [&str; 3] = [
    "packet_headers_flows{state=\"candidate\"}",
    "pcap_saver_states{state=\"uuidwait\"}",
    "pcap_demuxer_savers_active",
];

/// An expression that is 0 when every packet is accounted for.
const BALANCE: &str = "packet_headers_packets_seen_total - packet_headers_packets_written_total \
    - sum without (reason) (packet_headers_packets_discarded_total) - packet_headers_packets_held";

/// Requests `path` from the daemon's own namespace.
fn get(lab: &Lab, daemon: &Daemon, path: &str) -> Result<Answer> {
    http::get(&lab.host, daemon.http()?, path)
}

/// The metrics, which promtool must find valid.
fn metrics(lab: &Lab, daemon: &Daemon) -> Result<Metrics> {
    let text = get(lab, daemon, "/metrics")?.good()?;
    promtool(&text)?;
    Metrics::parse(&text)
}

/// Waits until Prometheus has scraped between two equal reports; returns the report.
fn quiet(daemon: &mut Daemon, prometheus: &Prometheus<'_>) -> Result<Report> {
    wait::until("a scrape at a quiet moment", || {
        let before = daemon.report()?;
        let asked = now()?.as_secs_f64();
        wait::until("a scrape", || {
            let at = prometheus.value("timestamp(packet_headers_packets_seen_total)")?;
            Ok((at > asked).then_some(()))
        })?;
        Ok(Some(daemon.report()?).filter(|after| *after == before))
    })
}

#[test]
fn a_real_prometheus_reads_what_the_report_says() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    // With the kernel as the flow source, the connections of our requests would count too.
    let mut tcpinfo = StandIn::unix(&home.path().join("tcpevents.sock"));
    tcpinfo.listen()?;
    let mut daemon = Daemon::follow(&lab, &tcpinfo, &["--existing=false"])?;
    tcpinfo.wait_for_client(1)?;
    metrics(&lab, &daemon)?;
    let prometheus = Prometheus::start(&lab.host, daemon.http()?)?;
    let connections = traffic::run(&lab, &Plan::mixed(20), &tcpinfo)?;
    daemon.wait_for_files(connections.len())?;
    daemon.wait_until_quiet()?;

    let report = quiet(&mut daemon, &prometheus)?;
    report.in_balance()?;
    for Entry {
        name,
        metric,
        count,
    } in report.entries()
    {
        let read = prometheus.value(&metric)?;
        ensure!(
            read == count as f64,
            "{name} is {count}, {metric} is {read}"
        );
    }
    let opened = report.get(ConnectionField::Opened);
    for (metric, count) in [
        ("pcap_saver_starts_total", opened),
        ("pcap_demuxer_uuids_total", opened),
        (
            "packet_headers_rename_duration_seconds_count",
            report.get(FileField::Published),
        ),
    ] {
        let read = prometheus.value(metric)?;
        ensure!(read == count as f64, "{metric} is {read}, not {count}");
    }
    let balance = prometheus.value(BALANCE)?;
    ensure!(balance == 0.0, "{balance}");
    // Every connection has been closed, and is forgotten soon.
    for (expression, expected) in [
        ("pcap_saver_starts_total - pcap_saver_stops_total", 0.0),
        ("sum(packet_headers_flows)", 0.0),
        ("sum(pcap_saver_states)", 0.0),
        ("pcap_demuxer_savers_active", 0.0),
        ("sum(pcap_saver_errors_total)", 0.0),
        ("pcap_muxer_interfaces_with_captures", 1.0),
        ("pcap_demuxer_gc_latency_seconds_count > bool 0", 1.0),
        ("packet_headers_flow_memory_bytes", 0.0),
        ("packet_headers_interface_attached{interface=\"wan0\"}", 1.0),
        ("packet_headers_event_source_up{source=\"tcpinfo\"}", 1.0),
        ("min_over_time(up[1m])", 1.0),
    ] {
        let waited = wait::until(format!("{expression} is {expected}"), || {
            Ok((prometheus.value(expression)? == expected).then_some(()))
        });
        waited.with_context(|| format!("{:?}", flows(&lab, &daemon)))?;
    }
    drop(prometheus);
    daemon.stop()?;
    Ok(())
}

/// The names of metrics in the first column of the documentation's tables.
fn documented() -> Result<BTreeSet<String>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let text = fs::read_to_string(file)?;
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| row.split('|').next());
    let names = cells.flat_map(|cell| cell.split('`').step_by(2));
    let names = names.filter(|name| !name.trim_matches([' ', ',']).is_empty());
    Ok(names.map(str::to_owned).collect())
}

/// Checks that a metric has no reasons but those that a line of the report can have.
fn no_other_reasons<F: Field>(metrics: &Metrics) -> Result<()> {
    let known: BTreeSet<_> = F::ALL.iter().map(|field| field.metric()).collect();
    let reasons = known.iter().filter_map(|sample| sample.split_once('{'));
    let of: BTreeSet<_> = reasons.map(|(metric, _)| metric).collect();
    for sample in metrics.samples.keys() {
        let is_one = sample
            .split_once('{')
            .is_some_and(|(it, _)| of.contains(it));
        ensure!(!is_one || known.contains(sample), "no report has {sample}");
    }
    Ok(())
}

#[test]
fn metrics_report_and_documentation_have_the_same_names() -> Result<()> {
    let lab = Lab::beside_others()?;
    let mut daemon = Daemon::start(&lab, &[])?;
    let metrics = metrics(&lab, &daemon)?;
    let entries = daemon.report()?.entries().into_iter();
    // One of them is an expression, whose metric has further entries.
    let samples = entries.map(|entry| entry.metric);
    let samples: BTreeSet<_> = samples.filter(|sample| !sample.contains('(')).collect();
    for sample in &samples {
        metrics.get(sample)?;
    }
    no_other_reasons::<DiscardReason>(&metrics)?;
    no_other_reasons::<FileErrorReason>(&metrics)?;
    no_other_reasons::<EventField>(&metrics)?;
    let exported: BTreeSet<_> = metrics.types.into_keys().collect();
    let documented = documented()?;
    let differ: Vec<_> = exported.symmetric_difference(&documented).collect();
    ensure!(
        differ.is_empty(),
        "exported or documented alone: {differ:?}"
    );
    daemon.stop().map(drop)
}

#[test]
fn every_metric_of_the_go_program_is_there_from_the_start() -> Result<()> {
    let lab = Lab::beside_others()?;
    let daemon = Daemon::start(&lab, &[])?;
    let metrics = metrics(&lab, &daemon)?;
    for (name, kind, label, values) in OF_THE_GO_PROGRAM {
        let found = metrics.types.get(name);
        let found = found.with_context(|| format!("no {name}"))?;
        ensure!(found == kind, "{name} is a {found}");
        for value in values {
            metrics.get(&format!("{name}{{{label}=\"{value}\"}}"))?;
        }
        match kind {
            "histogram" => drop(metrics.get(&format!("{name}_count"))?),
            _ if label.is_empty() => drop(metrics.get(name)?),
            _ => {}
        }
    }
    daemon.stop()?;
    Ok(())
}

/// Waits until `/readyz` answers with this status and these words; `/healthz` must answer well all
/// the time.
fn wait_for_ready(lab: &Lab, daemon: &Daemon, status: u16, words: &str) -> Result<()> {
    let what = format!("/readyz is {status}, with {words:?}");
    let mut last = None;
    let waited = wait::until(what, || {
        ensure!(get(lab, daemon, "/healthz")?.good()? == "ok\n");
        let answer = get(lab, daemon, "/readyz")?;
        let found = answer.status == status && answer.body.contains(words);
        last = Some(answer);
        Ok(found.then_some(()))
    });
    waited.with_context(|| format!("{last:?}; {}", daemon.transcript()))
}

#[test]
fn it_is_ready_while_it_can_capture_and_save() -> Result<()> {
    let lab = Lab::beside_others()?;
    let disk = SmallDisk::mount(4)?;
    let elsewhere = TempDir::new()?;
    let mut tcpinfo = StandIn::unix(&elsewhere.path().join("tcpevents.sock"));
    let launch = Launch::new(&lab).following(&tcpinfo);
    // Files are tried until the disk itself refuses them.
    let daemon = launch.within(disk.path()).start(&["--min-free=0"])?;
    wait_for_ready(&lab, &daemon, 503, "tcpevents.sock is not connected")?;
    let up = "packet_headers_event_source_up{source=\"tcpinfo\"}";
    ensure!(metrics(&lab, &daemon)?.get(up)? == 0.0);
    tcpinfo.listen()?;
    wait_for_ready(&lab, &daemon, 200, "ready")?;

    disk.remount("ro")?;
    wait_for_ready(&lab, &daemon, 503, "Read-only file system")?;
    disk.remount("rw")?;
    wait_for_ready(&lab, &daemon, 200, "ready")?;
    disk.fill()?;
    wait_for_ready(&lab, &daemon, 503, "No space left")?;
    // Their packets find no room.
    let connections = traffic::run(&lab, &[Plan::SHORT; 3], &tcpinfo)?;
    wait::until("file errors", || {
        let metrics = metrics(&lab, &daemon)?;
        let errors = metrics.get(&FileErrorReason::NoSpace.metric())?;
        let steps = ["mkdir", "fileopen", "writepartial", "writefinal"];
        let steps = steps.map(|step| format!("pcap_saver_errors_total{{reason=\"{step}\"}}"));
        let steps: Vec<_> = steps
            .iter()
            .map(|step| metrics.get(step))
            .collect::<Result<_>>()?;
        ensure!(steps.iter().sum::<f64>() == errors, "{steps:?}, {errors}");
        Ok((errors >= connections.len() as f64).then_some(()))
    })?;
    disk.make_room()?;
    wait_for_ready(&lab, &daemon, 200, "ready")?;
    tcpinfo.close()?;
    wait_for_ready(&lab, &daemon, 503, "tcpevents.sock is not connected")?;
    lab.host.ip(&["link", "del", netns::WAN])?;
    wait_for_ready(&lab, &daemon, 503, "no interface is captured")?;
    let captured = "pcap_muxer_interfaces_with_captures";
    ensure!(metrics(&lab, &daemon)?.get(captured)? == 0.0);
    daemon.stop()?;
    Ok(())
}

/// The list of connections without those of our requests, and its text.
fn flows(lab: &Lab, daemon: &Daemon) -> Result<(Vec<Value>, String)> {
    let text = get(lab, daemon, "/flows")?.good()?;
    let json: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let flows = json["flows"].as_array().context("no flows")?;
    ensure!(json["total"] == flows.len(), "{text}");
    let ours = |flow: &&Value| !flow["local"].to_string().contains("127.0.0.1");
    Ok((flows.iter().filter(ours).cloned().collect(), text))
}

/// Waits until the list has one connection, in this state; returns it, and the list's text.
fn wait_for_flow(lab: &Lab, daemon: &Daemon, state: &str) -> Result<(Value, String)> {
    let mut last = String::new();
    let waited = wait::until(format!("one connection is {state}"), || {
        let (flows, text) = flows(lab, daemon)?;
        last.clone_from(&text);
        let found = matches!(&flows[..], [one] if one["state"] == state);
        Ok(found.then(|| (flows[0].clone(), text)))
    });
    waited.with_context(|| last)
}

#[test]
fn connections_are_listed_with_addresses_as_the_files_have_them() -> Result<()> {
    let lab = Lab::beside_others()?;
    let daemon = Daemon::start(&lab, &["--shards=2", "--anonymize.ip=netblock"])?;
    let conversation = traffic::open(&lab, &Plan::SHORT, &())?;
    conversation.talk()?;
    let (flow, text) = wait_for_flow(&lab, &daemon, "capturing")?;
    let second = traffic::open(&lab, &Plan::SHORT, &())?;
    let both = wait::until("both are listed", || {
        Ok(Some(flows(&lab, &daemon)?).filter(|(flows, _)| flows.len() == 2))
    });
    both.with_context(|| daemon.transcript())?;
    let one = get(&lab, &daemon, "/flows?limit=1")?;
    assert_eq!(one.body.matches("idle_seconds").count(), 1, "{one:?}");
    second.finish(&())?;
    let connection = conversation.finish(&())?;
    assert_eq!(flow["uuid"], kernel_uuid(&connection));
    assert_eq!(flow["local"], connection.host.to_string());
    let pseudonym = SocketAddr::new([10, 98, 0, 0].into(), connection.peer.port());
    assert_eq!(flow["remote"], pseudonym.to_string());
    assert!(flow["packets"].as_u64() >= Some(4), "{flow}");
    assert!(flow["bytes"].as_u64() >= Some(4 * 54), "{flow}");
    assert!(
        flow["opened"].as_str().is_some_and(|at| at.ends_with('Z')),
        "{flow}"
    );
    assert!(!text.contains(&connection.peer.ip().to_string()), "{text}");
    daemon.stop()?;

    // Connections without a name are listed too.
    let home = TempDir::new()?;
    let tcpinfo = StandIn::unix(&home.path().join("nobody"));
    let daemon = Daemon::follow(&lab, &tcpinfo, &["--anonymize.ip=netblock"])?;
    let connection = traffic::open(&lab, &Plan::SHORT, &())?.finish(&())?;
    let (flow, text) = wait_for_flow(&lab, &daemon, "candidate")?;
    assert_eq!(flow["uuid"], Value::Null);
    assert_eq!(flow["local"], connection.host.to_string());
    let pseudonym = SocketAddr::new([10, 98, 0, 0].into(), connection.peer.port());
    assert_eq!(flow["remote"], pseudonym.to_string());
    assert!(!text.contains(&connection.peer.ip().to_string()), "{text}");
    for sample in WITHOUT_A_NAME {
        let waited = wait::until(format!("{sample} is 1"), || {
            Ok((metrics(&lab, &daemon)?.get(sample)? == 1.0).then_some(()))
        });
        waited.with_context(|| text.clone())?;
    }
    daemon.stop()?;
    Ok(())
}
