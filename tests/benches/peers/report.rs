//! The result: rows of figures, as a table for people and as JSON for programs.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// Where it was measured, and all figures.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The release of the kernel.
    pub(crate) kernel: String,
    /// The processor's name.
    pub(crate) processor: String,
    /// How often each figure was measured.
    pub(crate) rounds: usize,
    /// The figures: medians.
    pub(crate) rows: Vec<Row>,
}

/// The figures of a tool under a load.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Row {
    /// The part of the bench.
    pub(crate) part: &'static str,
    /// The load.
    pub(crate) load: String,
    /// The tool.
    pub(crate) tool: String,
    /// The number of flows, and of shards where these are compared.
    pub(crate) flows: u32,
    pub(crate) shards: u32,
    /// Packets (or connections) that the sender made per second.
    pub(crate) per_second: f64,
    /// The largest number of them that were lost in any round.
    pub(crate) lost: u64,
    /// The tool's processor time for each packet, user and system, in nanoseconds.
    pub(crate) used_ns: Option<f64>,
    /// The sender's processor time for each packet, in nanoseconds, and by how much that is more than
    /// without a tool.
    pub(crate) sender_ns: Option<f64>,
    pub(crate) later_ns: Option<f64>,
    /// How long a run of the classifier took, in nanoseconds.
    pub(crate) program_ns: Option<f64>,
    /// The most memory at once, in bytes.
    pub(crate) memory: Option<f64>,
    /// How often all threads of the tool woke in a second.
    pub(crate) wakeups: Option<f64>,
    /// The part of a processor that it used, in percent.
    pub(crate) share: Option<f64>,
    /// Bytes of the files for each packet.
    pub(crate) bytes: Option<f64>,
    /// The number of files.
    pub(crate) files: Option<usize>,
    /// `used_ns` and `later_ns` divided by tcpdump's of the same round.
    pub(crate) used_ratio: Option<f64>,
    pub(crate) later_ratio: Option<f64>,
    /// `later_ns` divided by that of one producer in the same round.
    pub(crate) alone_ratio: Option<f64>,
}

const HEAD: [&str; 15] = [
    "tool",
    "per second",
    "lost",
    "CPU ns",
    "/ tcpdump",
    "sender CPU ns",
    "later by ns",
    "/ tcpdump",
    "/ one alone",
    "program ns",
    "wakeups/s",
    "of a CPU %",
    "MiB",
    "bytes",
    "files",
];

impl Row {
    fn cells(&self) -> [String; HEAD.len()] {
        let number = |value: Option<f64>, digits: usize| {
            value.map_or_else(String::new, |value| format!("{value:.digits$}"))
        };
        let rate = self.per_second / 1e3;
        [
            self.tool.clone(),
            if rate > 0.0 {
                format!("{rate:.0} k")
            } else {
                String::new()
            },
            self.used_ns
                .map_or_else(String::new, |_| self.lost.to_string()),
            number(self.used_ns, 0),
            number(self.used_ratio, 2),
            number(self.sender_ns, 0),
            number(self.later_ns, 0),
            number(self.later_ratio, 2),
            number(self.alone_ratio, 2),
            number(self.program_ns, 0),
            number(self.wakeups, 1),
            number(self.share, 3),
            number(self.memory.map(|bytes| bytes / f64::from(1 << 20)), 0),
            number(self.bytes, 1),
            self.files
                .map_or_else(String::new, |files| files.to_string()),
        ]
    }
}

impl Report {
    /// Writes it as JSON.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// The rows of a part.
    pub(crate) fn part<'a>(&'a self, part: &'a str) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().filter(move |row| row.part == part)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kernel,
            processor,
            rounds,
            rows,
        } = self;
        writeln!(
            out,
            "Linux {kernel}, {processor}; medians of {rounds} rounds"
        )?;
        for rows in rows.chunk_by(|a, b| (a.part, &a.load) == (b.part, &b.load)) {
            let Some(first) = rows.first() else { continue };
            writeln!(out, "\n{}: {}\n", first.part, first.load)?;
            table(out, rows)?;
        }
        Ok(())
    }
}

/// A Markdown table of the columns in which there is something.
fn table(out: &mut fmt::Formatter<'_>, rows: &[Row]) -> fmt::Result {
    let cells: Vec<_> = rows.iter().map(Row::cells).collect();
    let filled = |column: &usize| cells.iter().any(|cells| !cells[*column].is_empty());
    let columns: Vec<_> = (0..HEAD.len()).filter(filled).collect();
    let head = HEAD.map(str::to_owned);
    let all = || [&head].into_iter().chain(&cells);
    let width = |column: usize| all().map(|cells| cells[column].len()).max().unwrap_or(0);
    for (at, cells) in all().enumerate() {
        let mut line = String::from("|");
        for &column in &columns {
            let (cell, width) = (&cells[column], width(column));
            match column {
                0 => write!(line, " {cell:width$} |")?,
                _ => write!(line, " {cell:>width$} |")?,
            }
        }
        writeln!(out, "{line}")?;
        if at == 0 {
            let rule = columns.iter().map(|&column| match column {
                0 => format!(" {} |", "-".repeat(width(column))),
                _ => format!(" {}: |", "-".repeat(width(column).saturating_sub(1))),
            });
            writeln!(out, "|{}", rule.collect::<String>())?;
        }
    }
    Ok(())
}
