//! Looks at the daemon while the load goes on: its memory, descriptors, threads and processor time,
//! its metrics, and its reports.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use end_to_end::peers::daemon::Daemon;
use end_to_end::peers::http::{self, Metrics};
use end_to_end::verify::report::{PacketField, Report};
use end_to_end::world::{procfs, wait};
use serde::Serialize;

use crate::stage::Stage;

/// The time between two samples.
const PERIOD: Duration = Duration::from_secs(1);

/// Of so many samples, one comes with a report.
const REPORTS: usize = 5;

/// Of so many samples, one is followed by a quiet moment.
const QUIET: usize = 60;

/// How long it may take until every packet has arrived somewhere once nothing is sent any more.
const QUIET_WITHIN: Duration = Duration::from_secs(10);

/// Reasons for which packets are discarded that are no loss: nobody wanted these packets. Whatever
/// else is counted explains a file that lacks some.
const NO_LOSS: [&str; 13] = [
    "not_ip",
    "not_tcp",
    "later_fragment",
    "malformed",
    "headers_too_long",
    "filtered",
    "ignored",
    "after_captureduration",
    "duplicate",
    "unnamed",
    "unwanted_direction",
    "after_flowtimeout",
    "after_end",
];

/// Other counts that explain a missing file, or one that lacks packets. That files expire is none of
/// them: each is looked at long before its turn comes.
const OTHER_LOSSES: [&str; 3] = [
    "packet_headers_flows_failed_total",
    "packet_headers_event_issues_total{reason=\"event_ring_full\"}",
    "packet_headers_event_issues_total{reason=\"refused\"}",
];

/// The daemon at one moment.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Sample {
    /// Seconds since the beginning.
    pub(crate) second: f64,
    /// Bytes of memory, and those of them that no file backs.
    pub(crate) memory: u64,
    pub(crate) anonymous: u64,
    /// Open descriptors, without those of growing files that stay open, and threads.
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    /// Seconds of processor time so far, of the daemon and of all load.
    pub(crate) used: f64,
    pub(crate) load_used: f64,
    /// How long a scrape took, in milliseconds, and what it said.
    pub(crate) scrape_ms: f64,
    pub(crate) seen: f64,
    pub(crate) published: f64,
    pub(crate) expired: f64,
    pub(crate) lost: f64,
}

/// What was seen of a daemon.
pub(crate) struct Observer {
    /// The daemon.
    pub(crate) daemon: Daemon,
    http: SocketAddr,
    begun: Instant,
    /// A sample each second.
    pub(crate) samples: Vec<Sample>,
    /// How many reports were read.
    pub(crate) reports: usize,
    /// How many quiet moments there were, at each of which the balance was exact.
    pub(crate) quiet: usize,
    /// What was not as it should be.
    pub(crate) wrong: Vec<String>,
}

impl Observer {
    /// Begins.
    pub(crate) fn new(daemon: Daemon) -> Result<Self> {
        Ok(Self {
            http: daemon.http()?,
            daemon,
            begun: Instant::now(),
            samples: Vec::new(),
            reports: 0,
            quiet: 0,
            wrong: Vec::new(),
        })
    }

    /// Looks for so long.
    pub(crate) fn watch(&mut self, stage: &Stage, span: Duration) -> Result<()> {
        let mut next = Instant::now();
        while self.begun.elapsed() < span {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            next = (next + PERIOD).max(Instant::now());
            self.sample(stage)?;
            let number = self.samples.len();
            if number.is_multiple_of(REPORTS) {
                let report = self.daemon.report()?;
                self.take(&report);
            }
            if number.is_multiple_of(QUIET) {
                self.be_quiet(stage)?;
                stage.gate.open();
            }
        }
        Ok(())
    }

    /// Stops the load, and waits until every packet is accounted for.
    pub(crate) fn be_quiet(&mut self, stage: &Stage) -> Result<()> {
        stage.gate.close();
        let mut last = None;
        let waited = wait::within(QUIET_WITHIN, "the balance is exact", || {
            let report = self.daemon.report()?;
            let exact = report.in_balance().is_ok();
            self.reports += 1;
            last = Some(report);
            Ok(exact.then_some(()))
        });
        match waited {
            Ok(()) => self.quiet += 1,
            Err(_) => self.wrong.push(format!("at a quiet moment: {last:?}")),
        }
        Ok(())
    }

    fn take(&mut self, report: &Report) {
        self.reports += 1;
        if report.is_off() {
            self.wrong
                .push(format!("the balance is off under load: {report:?}"));
        }
        let discarded = report.get(PacketField::Discarded);
        if report.get(PacketField::Seen) < report.get(PacketField::Written) + discarded {
            self.wrong
                .push(format!("more than was seen is accounted for: {report:?}"));
        }
    }

    fn sample(&mut self, stage: &Stage) -> Result<()> {
        let id = self.daemon.id();
        let begun = Instant::now();
        let metrics = match http::metrics(&stage.lab.host, self.http) {
            Ok(metrics) => metrics,
            Err(error) => {
                self.wrong.push(format!("a scrape failed: {error:#}"));
                return Ok(());
            }
        };
        let scrape_ms = begun.elapsed().as_secs_f64() * 1000.0;
        let lost = losses(&metrics);
        stage.ledger.note_losses(lost as u64);
        let value = |name: &str| metrics.get(name);
        let kept = value("packet_headers_files_kept_open")?;
        self.samples.push(Sample {
            second: self.begun.elapsed().as_secs_f64(),
            memory: procfs::memory(id).with_context(|| self.daemon.transcript())?,
            anonymous: procfs::anonymous_memory(id)?,
            descriptors: procfs::open_files(id)?.saturating_sub(kept as usize),
            threads: procfs::threads(id)?.len(),
            used: procfs::processor_time(id)?.as_secs_f64(),
            load_used: procfs::processor_time(std::process::id())?.as_secs_f64(),
            scrape_ms,
            seen: value("packet_headers_packets_seen_total")?,
            published: value("packet_headers_files_published_total")?,
            expired: value("packet_headers_files_expired_total")?,
            lost,
        });
        Ok(())
    }
}

/// How much was counted that explains a file that is missing or lacks packets.
fn losses(metrics: &Metrics) -> f64 {
    let discarded = metrics.samples.iter().filter(|(name, _)| {
        let reason = name.strip_prefix("packet_headers_packets_discarded_total{reason=\"");
        let reason = reason.and_then(|reason| reason.strip_suffix("\"}"));
        reason.is_some_and(|reason| !NO_LOSS.contains(&reason))
    });
    let others = OTHER_LOSSES.iter();
    let others = others.filter_map(|&name| metrics.samples.get(name));
    discarded.map(|(_, value)| value).chain(others).sum()
}
