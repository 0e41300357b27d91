//! The result: figures over time and what must hold, as Markdown for people and as JSON for programs.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::judge::{Check, median};
use crate::ledger::Outcomes;
use crate::observe::Sample;
use crate::rates::Rates;

/// Into how many parts a run is divided.
const PARTS: usize = 10;

/// Everything that is known of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The daemon's version, the release of the kernel, and the processor's name.
    pub(crate) daemon: String,
    pub(crate) kernel: String,
    pub(crate) processor: String,
    /// How long it took, in minutes, and the seed.
    pub(crate) minutes: f64,
    pub(crate) seed: u64,
    /// How much load there was to be.
    pub(crate) rates: Rates,
    /// What was done.
    pub(crate) done: Vec<(&'static str, u64)>,
    /// What must hold.
    pub(crate) checks: Vec<Check>,
    /// What became of the connections whose files were checked.
    pub(crate) outcomes: Outcomes,
    /// What was wrong.
    pub(crate) wrong: Vec<String>,
    /// Every sample.
    pub(crate) samples: Vec<Sample>,
}

/// A figure of each sample: what it is, and its value there and in the sample before.
type Figure = (&'static str, usize, fn(&Sample, &Sample) -> f64);

/// The columns of the table, with the number of decimals.
const FIGURES: [Figure; 8] = [
    ("memory, MiB", 1, |it, _| mib(it.memory)),
    ("anonymous, MiB", 1, |it, _| mib(it.anonymous)),
    ("descriptors", 0, |it, _| it.descriptors as f64),
    ("threads", 0, |it, _| it.threads as f64),
    ("daemon, % of a core", 1, |it, before| {
        rate(it, before, |it| it.used) * 100.0
    }),
    ("load, % of a core", 1, |it, before| {
        rate(it, before, |it| it.load_used) * 100.0
    }),
    ("files/s", 0, |it, before| {
        rate(it, before, |it| it.published)
    }),
    ("scrape, ms", 1, |it, _| it.scrape_ms),
];

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}

fn rate(sample: &Sample, before: &Sample, of: fn(&Sample) -> f64) -> f64 {
    (of(sample) - of(before)) / (sample.second - before.second).max(f64::MIN_POSITIVE)
}

impl Report {
    /// Writes `soak.json` and `soak.md`.
    pub(crate) fn write(&self, out: &Path) -> Result<()> {
        let write = |name: &str, text: String| {
            let path = out.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
        };
        write("soak.json", serde_json::to_string_pretty(self)?)?;
        write("soak.md", self.to_string())
    }

    /// Whether everything holds.
    pub(crate) fn holds(&self) -> bool {
        self.checks.iter().all(|check| check.holds)
    }

    /// The rows of the table over time: each a tenth of the run, with the minimum, the median and
    /// the maximum of each figure.
    fn over_time(&self) -> Vec<Vec<String>> {
        let mut head = vec!["minutes".to_owned()];
        head.extend(FIGURES.iter().map(|(name, ..)| (*name).to_owned()));
        let mut rows = vec![head];
        let pairs: Vec<_> = self.samples.windows(2).collect();
        for part in pairs.chunks(pairs.len().div_ceil(PARTS).max(1)) {
            let minute = |pair: Option<&&[Sample]>| pair.map_or(0.0, |it| it[1].second / 60.0);
            let mut row = vec![format!(
                "{:.1} to {:.1}",
                minute(part.first()),
                minute(part.last())
            )];
            for (_, decimals, of) in FIGURES {
                let values: Vec<_> = part.iter().map(|pair| of(&pair[1], &pair[0])).collect();
                let least = values.iter().copied().fold(f64::INFINITY, f64::min);
                let most = values.iter().copied().fold(0.0, f64::max);
                let middle = median(values);
                row.push(format!(
                    "{least:.decimals$} / {middle:.decimals$} / {most:.decimals$}"
                ));
            }
            rows.push(row);
        }
        rows
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            daemon,
            kernel,
            processor,
            minutes,
            seed,
            ..
        } = self;
        writeln!(
            out,
            "{daemon}, Linux {kernel}, {processor}; {minutes:.0} minutes, seed {seed}.\n"
        )?;
        let mut rows = vec![["must hold", "bound", "found", ""].map(str::to_owned)];
        rows.extend(self.checks.iter().map(|check| {
            let holds = if check.holds { "yes" } else { "**no**" };
            let what = check.what.to_owned();
            [
                what,
                check.bound.clone(),
                check.found.clone(),
                holds.to_owned(),
            ]
        }));
        table(out, &rows)?;
        writeln!(out, "\nMinimum / median / maximum of each tenth:\n")?;
        table(out, &self.over_time())?;
        writeln!(out, "\nWhat was done meanwhile:\n")?;
        let head = ["what".to_owned(), "how much".to_owned()];
        let done = self.done.iter();
        let done = done.map(|(what, count)| [(*what).to_owned(), count.to_string()]);
        table(out, &[head].into_iter().chain(done).collect::<Vec<_>>())?;
        for wrong in self.wrong.iter().chain(&self.outcomes.found) {
            writeln!(out, "\n- {wrong}")?;
        }
        Ok(())
    }
}

/// A Markdown table; the first row is its head.
fn table(out: &mut fmt::Formatter<'_>, rows: &[impl AsRef<[String]>]) -> fmt::Result {
    for (at, row) in rows.iter().enumerate() {
        let cells = row.as_ref();
        writeln!(out, "| {} |", cells.join(" | "))?;
        if at == 0 {
            let mut rule = String::new();
            for _ in cells {
                write!(rule, " --- |")?;
            }
            writeln!(out, "|{rule}")?;
        }
    }
    Ok(())
}
