//! The result: a table for each kind of work.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::measure::Time;

/// All tables.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// How often each program ran.
    pub(crate) rounds: usize,
    pub(crate) tables: Vec<Table>,
}

/// What programs took for the same work.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    title: String,
    rows: Vec<Row>,
}

/// What a program took: medians, in seconds, and by the first program's of the same round.
#[derive(Debug, Serialize)]
struct Row {
    program: &'static str,
    wall: f64,
    wall_ratio: f64,
    used: f64,
    used_ratio: f64,
    /// Packets for each second of a processor.
    packets_per_second: f64,
}

/// The table of the programs' times.
pub(crate) fn table(title: String, packets: u64, times: Vec<(&'static str, Vec<Time>)>) -> Table {
    let first = times.first().map_or(Vec::new(), |(_, times)| times.clone());
    let rows = times.into_iter().map(|(program, times)| {
        let of = |value: fn(&Time) -> f64| {
            let ratios = times
                .iter()
                .zip(&first)
                .map(|(one, first)| value(one) / value(first));
            [median(times.iter().map(value)), median(ratios)]
        };
        let ([wall, wall_ratio], [used, used_ratio]) = (of(|time| time.wall), of(|time| time.used));
        Row {
            program,
            wall,
            wall_ratio,
            used,
            used_ratio,
            packets_per_second: packets as f64 / used,
        }
    });
    let rows = rows.collect();
    Table { title, rows }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    let lower = values.len().saturating_sub(1) / 2;
    match (values.get(lower), values.get(upper)) {
        (Some(lower), Some(upper)) => f64::midpoint(*lower, *upper),
        _ => f64::NAN,
    }
}

/// A number with a letter for thousands or millions.
fn short(number: f64) -> String {
    if number < 1e3 {
        format!("{number:.0}")
    } else if number < 1e6 {
        format!("{:.0} k", number / 1e3)
    } else {
        format!("{:.1} M", number / 1e6)
    }
}

impl Report {
    /// Writes it as JSON.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "Medians of {} rounds.", self.rounds)?;
        for Table { title, rows } in &self.tables {
            writeln!(out, "\n{title}:\n")?;
            writeln!(
                out,
                "| program | s | times ours | CPU s | times ours | packets per CPU s |"
            )?;
            writeln!(out, "| --- | ---: | ---: | ---: | ---: | ---: |")?;
            for row in rows {
                writeln!(
                    out,
                    "| {} | {:.2} | {:.1} | {:.2} | {:.1} | {} |",
                    row.program,
                    row.wall,
                    row.wall_ratio,
                    row.used,
                    row.used_ratio,
                    short(row.packets_per_second)
                )?;
            }
        }
        Ok(())
    }
}
