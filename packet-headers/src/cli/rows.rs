//! Flags for rows, and for which files are kept beside them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use capture_query::{Condition, Kept, Sample};
use clap::error::ErrorKind;
use clap::{Args, ValueEnum};

use super::duration;
use super::refusal::Refusal;
use crate::config::{Rows, RowsFormat};

/// Flags for rows, and for which files are kept beside them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Rows")]
pub(super) struct RowArguments {
    /// Also write a row of figures for each connection, with its packets' and the kernel's: all columns
    /// of `packet-headers flows`
    #[arg(long, value_name = "FORMAT", value_enum)]
    rows: Option<Format>,

    /// How often files of rows are published; at least 1s
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse, hide_short_help = true)]
    rows_interval: Duration,

    /// Keep only the files of connections of which this is true, as in server_retransmit_packets>0;
    /// repeatable: one is enough. Needs --rows
    #[arg(long, value_name = "CONDITION", value_delimiter = ',')]
    keep: Vec<Condition>,

    /// Keep only the files of one connection in so many, and those of --keep. Needs --rows
    #[arg(long, value_name = "NUMBER")]
    sample: Option<Sample>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A JSON object a line, beside the files of the day: DATADIR/YYYY/MM/DD/HOST_TIME.rows.jsonl
    Jsonl,
    /// Apache Parquet: DATADIR/rows/date=YYYY-MM-DD/host=HOST/TIME-NUMBER.parquet
    Parquet,
}

/// With a shorter one, nearly every row would be a file of its own.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

impl RowArguments {
    /// Refuses flags that contradict each other.
    ///
    /// # Errors
    /// The message.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if self.rows_interval < MIN_INTERVAL {
            let message = "--rows-interval must be at least 1s";
            return Err((ErrorKind::ValueValidation, message.to_owned()));
        }
        let flag = match self {
            Self { rows: Some(_), .. } => return Ok(()),
            Self { keep, .. } if !keep.is_empty() => "--keep",
            Self { sample, .. } if sample.is_some() => "--sample",
            _ => return Ok(()),
        };
        let message = format!(
            "{flag} needs --rows=jsonl or parquet: of a connection whose file is not kept, the row is all \
             that is left"
        );
        Err((ErrorKind::MissingRequiredArgument, message))
    }

    /// Which captures are kept.
    pub(super) fn kept(&self) -> Kept {
        Kept {
            conditions: self.keep.clone(),
            sample: self.sample,
        }
    }

    /// How often files of rows are published.
    pub(super) const fn interval(&self) -> Duration {
        self.rows_interval
    }

    /// The configuration of rows, if any are to be written.
    ///
    /// # Errors
    /// If the name of this host cannot be read.
    pub(super) fn into_config(self) -> Result<Option<Rows>> {
        let Some(format) = self.rows else {
            return Ok(None);
        };
        let host = hostname::get().context("reading the hostname")?;
        Ok(Some(Rows {
            format: match format {
                Format::Jsonl => RowsFormat::Jsonl,
                Format::Parquet => RowsFormat::Parquet,
            },
            interval: self.rows_interval,
            host: as_file_name(&host.to_string_lossy()),
            kept: self.kept(),
        }))
    }
}

/// A host's name, as a part of a file's: what is not usual in one becomes a hyphen.
fn as_file_name(host: &str) -> String {
    /// The longest name of a host that the kernel has (`__NEW_UTS_LEN`).
    const LONGEST: usize = 64;
    let usual = |letter: char| {
        let is_usual = letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
        if is_usual { letter } else { '-' }
    };
    let name: String = host.trim_start_matches('.').chars().map(usual).collect();
    match name.get(..LONGEST.min(name.len())) {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        rows: RowArguments,
    }

    fn parse(arguments: &[&str]) -> RowArguments {
        let line = [&["packet-headers"], arguments].concat();
        Line::try_parse_from(line).unwrap().rows
    }

    #[test]
    fn no_rows_are_written_unless_they_are_asked_for() {
        let rows = parse(&[]);
        rows.check().unwrap();
        assert!(rows.into_config().unwrap().is_none());
        let rows = parse(&["--rows=parquet"]);
        rows.check().unwrap();
        let rows = rows.into_config().unwrap().unwrap();
        assert_eq!(rows.format, RowsFormat::Parquet);
        assert_eq!(rows.interval, Duration::from_secs(300));
        assert!(rows.kept.is_all() && !rows.host.is_empty());
    }

    #[test]
    fn everything_can_be_said() {
        let rows = parse(&[
            "--rows=jsonl",
            "--rows-interval=10s",
            "--keep=server_retransmit_packets>0,ended=rst",
            "--keep=client_port=7",
            "--sample=100",
        ]);
        rows.check().unwrap();
        let rows = rows.into_config().unwrap().unwrap();
        assert_eq!(rows.interval, Duration::from_secs(10));
        assert_eq!(rows.kept.conditions.len(), 3);
        assert_eq!(rows.kept.sample, Some("100".parse().unwrap()));
    }

    #[test]
    fn files_are_not_thrown_away_without_rows() {
        for (arguments, said) in [
            (["--keep=packets>1"], "--keep needs --rows"),
            (["--sample=2"], "--sample needs --rows"),
            (["--rows-interval=1ms"], "at least 1s"),
        ] {
            let (_, message) = parse(&arguments).check().unwrap_err();
            assert!(message.contains(said), "{message}");
        }
        for wrong in [
            "--sample=0",
            "--keep=packets",
            "--keep=nothing>1",
            "--rows=csv",
        ] {
            assert!(
                Line::try_parse_from(["packet-headers", wrong]).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_host_has_a_name_that_a_file_can_have() {
        for (host, name) in [
            ("node-7.example.org", "node-7.example.org"),
            ("a b/c=d", "a-b-c-d"),
            ("..hidden", "hidden"),
            ("", "unknown"),
        ] {
            assert_eq!(as_file_name(host), name);
        }
        assert_eq!(as_file_name(&"a".repeat(100)).len(), 64);
    }
}
