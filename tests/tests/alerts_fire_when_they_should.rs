//! Promise: the alert rules and the dashboard are valid, the alerts fire when they should, and both
//! use metrics that the daemon exports.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::Daemon;
use end_to_end::peers::http;
use end_to_end::world::command::output_of;
use end_to_end::world::deploy;
use end_to_end::world::netns::Lab;
use serde_json::{Value, json};

/// How the names of the daemon's metrics begin.
const PREFIXES: [&str; 3] = ["packet_headers_", "pcap_", "process_"];

fn rules(name: &str) -> PathBuf {
    deploy::directory().join("prometheus").join(name)
}

fn promtool(arguments: &[&str], file: &std::path::Path) -> Result<String> {
    let mut command = Command::new("promtool");
    let (out, err) = output_of(command.args(arguments).arg(file), "prometheus")?;
    ensure!(err.is_empty(), "{err}");
    Ok(out)
}

/// Every expression of the dashboard, with Grafana's variables replaced.
fn expressions() -> Result<Vec<String>> {
    let file = deploy::directory().join("grafana/packet-headers.json");
    let board: Value = serde_json::from_slice(&fs::read(file)?)?;
    let panels = board["panels"].as_array().context("no panels")?;
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let expressions = targets.flatten().map(|target| {
        let text = target["expr"].as_str().context("no expr")?;
        let text = text
            .replace("$__rate_interval", "5m")
            .replace("$__range", "1h");
        let text = text.replace("$instance", ".*");
        ensure!(!text.contains('$'), "{text}");
        Ok(text)
    });
    expressions.collect()
}

/// The names of the daemon's metrics in a text.
fn metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|at: char| !at.is_ascii_alphanumeric() && at != '_');
    let ours = words.filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix)));
    // A histogram is several series.
    let of_histogram = |word| {
        let series = ["_bucket", "_count", "_sum"];
        let name = series
            .iter()
            .find_map(|part| str::strip_suffix(word, *part));
        name.unwrap_or(word)
    };
    ours.map(of_histogram).collect()
}

/// The names of the metrics that a daemon exports.
fn exported(lab: &Lab) -> Result<BTreeSet<String>> {
    let daemon = Daemon::start(lab, &[])?;
    let metrics = http::metrics(&lab.host, daemon.http()?)?;
    daemon.stop()?;
    Ok(metrics.types.into_keys().collect())
}

#[test]
fn each_alert_fires_for_an_unhealthy_daemon_and_none_for_a_healthy_one() -> Result<()> {
    promtool(&["check", "rules"], &rules("alerts.yaml"))?;
    promtool(&["test", "rules"], &rules("alerts_test.yaml"))?;
    // Each alert has a test that it fires, and one that it does not.
    let (alerts, tests) = (rules("alerts.yaml"), rules("alerts_test.yaml"));
    let (alerts, tests) = (fs::read_to_string(alerts)?, fs::read_to_string(tests)?);
    let names = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let mut count = 0;
    for name in names {
        count += 1;
        let quiet = tests.contains(&format!("alertname: {name}}}\n"));
        let fires = tests.contains(&format!("alertname: {name}\n        exp_alerts:\n"));
        ensure!(quiet && fires, "{name} is not tested");
    }
    assert_eq!(count, 19);
    Ok(())
}

#[test]
fn every_expression_of_the_dashboard_is_valid() -> Result<()> {
    let expressions = expressions()?;
    ensure!(expressions.len() > 30, "{expressions:#?}");
    let rule = |(number, text)| json!({ "record": format!("panel:{number}"), "expr": text });
    let rules: Vec<_> = expressions.iter().enumerate().map(rule).collect();
    let file = json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let mut rules = tempfile::NamedTempFile::new()?;
    // JSON is YAML.
    rules.write_all(&serde_json::to_vec(&file)?)?;
    promtool(&["check", "rules"], rules.path()).map(drop)
}

#[test]
fn they_use_metrics_that_the_daemon_exports() -> Result<()> {
    let lab = Lab::new()?;
    let exported = exported(&lab)?;
    let alerts = fs::read_to_string(rules("alerts.yaml"))?;
    let board = expressions()?.join("\n");
    let used = metrics(&alerts).into_iter().chain(metrics(&board));
    let unknown: Vec<_> = used.filter(|name| !exported.contains(*name)).collect();
    ensure!(unknown.is_empty(), "{unknown:?} are not among {exported:?}");
    Ok(())
}
