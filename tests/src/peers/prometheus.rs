//! A real Prometheus, which scrapes a daemon and is queried for what it has read.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::http;
use crate::world::netns::Namespace;
use crate::world::process::Process;
use crate::world::wait;

/// Where it listens; no other program of the namespace does.
const ADDRESS: &str = "127.0.0.1:9090";
/// How long it may take to start and to scrape.
const STARTED_WITHIN: Duration = Duration::from_secs(30);

/// A running Prometheus; killed on drop.
#[derive(Debug)]
pub struct Prometheus<'a> {
    namespace: &'a Namespace,
    process: Process,
    _home: TempDir,
}

impl<'a> Prometheus<'a> {
    /// Starts it with the task to scrape `target`, and waits until it has.
    ///
    /// # Errors
    /// It is not installed, or does not scrape.
    pub fn start(namespace: &'a Namespace, target: SocketAddr) -> Result<Self> {
        let home = TempDir::new()?;
        let config = home.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\n\
             scrape_configs:\n- job_name: daemon\n  static_configs: [{{targets: ['{target}']}}]\n"
        );
        fs::write(&config, text)?;
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", home.path().display()))
            .arg(format!("--web.listen-address={ADDRESS}"));
        let process = Process::start(namespace, &mut command)?;
        let mut prometheus = Self {
            namespace,
            process,
            _home: home,
        };
        let scraped = wait::within(STARTED_WITHIN, "Prometheus scrapes", || {
            let ended = prometheus.process.ended()?;
            ensure!(ended.is_none(), "it ended");
            Ok(prometheus.query("up").ok().filter(|up| *up == [1.0]))
        });
        scraped.with_context(|| prometheus.process.transcript())?;
        Ok(prometheus)
    }

    /// The present values of a PromQL expression.
    ///
    /// # Errors
    /// The expression is not valid.
    pub fn query(&self, expression: &str) -> Result<Vec<f64>> {
        let mut path = "/api/v1/query?query=".to_owned();
        for byte in expression.bytes() {
            path += &format!("%{byte:02X}");
        }
        let answer = http::get(self.namespace, ADDRESS.parse()?, &path)?.good()?;
        let json: Value = serde_json::from_str(&answer).with_context(|| answer.clone())?;
        let result = json.pointer("/data/result").and_then(Value::as_array);
        let value = |of: &Value| of.pointer("/value/1")?.as_str()?.parse().ok();
        let values = result.context("no result")?.iter().map(value);
        values
            .collect::<Option<Vec<f64>>>()
            .with_context(|| answer.clone())
    }

    /// The value of an expression that has exactly one.
    ///
    /// # Errors
    /// It has none, or several.
    pub fn value(&self, expression: &str) -> Result<f64> {
        let values = self.query(expression)?;
        let [value] = values[..] else {
            anyhow::bail!("{expression}: {values:?}");
        };
        Ok(value)
    }
}

/// Checks metrics with promtool, which must find no fault.
///
/// # Errors
/// What promtool prints.
pub fn promtool(metrics: &str) -> Result<()> {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .context("promtool: apt-get install prometheus")?;
    let mut input = child.stdin.take().context("the input is piped")?;
    input.write_all(metrics.as_bytes())?;
    drop(input);
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(
        output.status.success() && said.is_empty(),
        "promtool: {}\n{said}",
        output.status
    );
    Ok(())
}
