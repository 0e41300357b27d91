//! Who reads what the daemon prints, and so in which form: people at a terminal, a log of text, or
//! programs.

use std::env;
use std::io::{self, IsTerminal as _};

use anyhow::Result;
use jiff::Timestamp;
use serde_json::json;

use super::banner::StartupBanner;
use super::summary::Summary;
use crate::config::{Config, Output as Wanted};
use crate::stats::balance::Verdict;
use crate::stats::report::Report;
use crate::terminal::{print_in_passing, tell};

/// Who reads, and what they asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Output {
    reader: Reader,
    /// Whether the accounts are printed at the end.
    accounts: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// Somebody at a terminal.
    People,
    /// Whoever reads the log later.
    Log,
    /// Programs: each line is a JSON object.
    Programs,
}

impl Output {
    /// Finds out who reads.
    pub(super) fn find(wanted: Wanted) -> Self {
        let reader = match wanted {
            Wanted { json: true, .. } => Reader::Programs,
            _ if io::stderr().is_terminal() => Reader::People,
            _ => Reader::Log,
        };
        Self {
            reader,
            accounts: wanted.accounts,
        }
    }

    /// Whether somebody watches.
    pub(super) fn is_watched(self) -> bool {
        self.reader == Reader::People
    }

    /// Says that capture has begun.
    pub(super) fn begin(self, banner: &StartupBanner<'_>) {
        match self.reader {
            Reader::People => tell(banner),
            Reader::Log | Reader::Programs => banner.log(),
        }
    }

    /// Prints the accounts.
    ///
    /// # Errors
    /// When standard output does not take them.
    pub(super) fn print(self, report: &Report) -> Result<()> {
        match self.reader {
            Reader::People | Reader::Log => print_in_passing(report),
            Reader::Programs => print_in_passing(&as_record(report)),
        }
    }

    /// Says what the capture has come to.
    ///
    /// # Errors
    /// When standard output does not take the accounts, if they are wanted.
    pub(super) fn end(self, report: &Report, config: &Config) -> Result<()> {
        if self.accounts {
            self.print(report)?;
        }
        if self.is_watched() {
            let here = env::current_dir().ok();
            tell(&Summary::new(report, &config.files.data, here.as_deref()));
        } else if !self.accounts {
            log(report);
        }
        Ok(())
    }
}

/// The accounts as a line among those of a JSON log.
fn as_record(report: &Report) -> String {
    let mut record = json!({
        "timestamp": format!("{:.6}", Timestamp::now()),
        "level": "INFO",
        "message": "accounts",
    });
    if let (Some(record), Some(accounts)) = (record.as_object_mut(), report.json().as_object()) {
        record.extend(accounts.clone());
    }
    record.to_string()
}

/// Logs what matters of the accounts. One that does not balance is a bug.
fn log(report: &Report) {
    let (balance, counters) = (report.balance(), report.counters());
    let discarded = balance.discarded.by_name();
    let reasons: Vec<_> = discarded
        .filter(|(_, packets)| *packets > 0)
        .map(|(name, packets)| format!("{name}={packets}"))
        .collect();
    macro_rules! record {
        ($level:ident) => {
            tracing::$level!(
                seen = balance.seen,
                written = balance.written,
                discarded = balance.discarded.total(),
                reasons = %reasons.join(","),
                lost = counters.lost(),
                opened = counters.opened.get(),
                empty = counters.empty.get(),
                loopback = report.loopback(),
                published = counters.published.get(),
                failed = counters.failed.get(),
                bytes = counters.published_bytes.get(),
                balance = %report.verdict(),
                "stopped"
            )
        };
    }
    match report.verdict() {
        Verdict::Exact => record!(info),
        Verdict::InFlight(_) | Verdict::OffBy(_) => record!(error),
    }
}
