//! Polls a daemon over HTTP.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ureq::Agent;

use super::flows::Flows;
use super::model::Snapshot;
use crate::exposition::Samples;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// A client of one daemon.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    /// `http://HOST:PORT`.
    base: String,
}

impl Client {
    /// Takes an address like that of `--prometheusx.listen-address`: `HOST:PORT`, or `:PORT` for this
    /// host.
    pub(super) fn new(address: &str) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            // Daemons are on this host or nearby: a proxy of the environment is for other traffic.
            .proxy(None);
        Self {
            agent: config.build().into(),
            base: base(address),
        }
    }

    pub(super) fn address(&self) -> &str {
        &self.base
    }

    /// Takes a snapshot.
    ///
    /// # Errors
    /// When there is no daemon, or its answer cannot be understood. It is no error if the daemon does
    /// not list its connections.
    pub(super) fn ask(&self) -> Result<Snapshot> {
        let metrics = self.get("/metrics").with_context(|| {
            let base = &self.base;
            format!(
                "reading {base}/metrics (is packet-headers running, and is this its \
                 --prometheusx.listen-address?)"
            )
        })?;
        let at = Instant::now();
        ensure!(metrics.ok, "{}/metrics: {}", self.base, metrics.first());
        let samples = Samples::parse(&metrics.text)
            .with_context(|| format!("reading {}/metrics", self.base))?;
        let ready = match self.get("/readyz") {
            Ok(ready) if ready.ok => Ok(()),
            Ok(ready) => Err(ready.text.lines().map(str::to_owned).collect()),
            Err(error) => Err(vec![format!("{error:#}")]),
        };
        let flows = self.get("/flows?limit=10000").and_then(|flows| {
            ensure!(flows.ok, "{}", flows.first());
            Flows::parse(&flows.text)
        });
        Ok(Snapshot {
            at,
            samples,
            ready,
            flows: flows.map_err(|error| format!("{error:#}")),
        })
    }

    fn get(&self, path: &str) -> Result<Page> {
        let mut response = self.agent.get(format!("{}{path}", self.base)).call()?;
        let status = response.status();
        Ok(Page {
            ok: status.is_success(),
            status: status.to_string(),
            text: response.body_mut().read_to_string()?,
        })
    }
}

/// An HTTP response.
#[derive(Debug)]
struct Page {
    ok: bool,
    status: String,
    text: String,
}

impl Page {
    /// The status and the first line of the body, which say why a request failed.
    fn first(&self) -> String {
        let line = self.text.lines().next().unwrap_or_default();
        format!("{} {line}", self.status).trim_end().to_owned()
    }
}

fn base(address: &str) -> String {
    let address = address.strip_prefix("http://").unwrap_or(address);
    let address = address.trim_end_matches('/');
    if address.starts_with(':') {
        format!("http://localhost{address}")
    } else {
        format!("http://{address}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_daemon_takes_them() {
        for (address, expected) in [
            (":9990", "http://localhost:9990"),
            ("localhost:9990", "http://localhost:9990"),
            ("10.0.0.7:9993", "http://10.0.0.7:9993"),
            ("[2001:db8::1]:9990", "http://[2001:db8::1]:9990"),
            ("http://node:9990/", "http://node:9990"),
        ] {
            assert_eq!(base(address), expected);
        }
    }

    #[test]
    fn nobody_there_is_an_error_that_names_the_flag() {
        // A port that was free a moment ago.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let error = format!("{:#}", Client::new(&address).ask().unwrap_err());
        assert!(error.contains("--prometheusx.listen-address"), "{error}");
        assert!(error.contains(&address), "{error}");
    }
}
