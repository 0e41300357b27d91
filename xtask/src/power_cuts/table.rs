//! What became of the files of each disk.

use std::{collections::BTreeMap, fmt, time::Duration};

use anyhow::{Result, ensure};

use super::ledger::{Ledger, State};

/// The longest time for which a published file may be lost without `--fsync`, as docs/power-loss.md
/// says.
const AT_RISK: Duration = Duration::from_secs(65);

/// What became of the files, by disk.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: BTreeMap<String, Row>,
    problems: Vec<String>,
}

/// What became of the files of one disk.
#[derive(Debug, Default, Clone, Copy)]
struct Row {
    cuts: u64,
    /// Files that were visible before a cut.
    published: u64,
    /// Those of them that are gone.
    lost: u64,
    /// Those of them that have fewer packets.
    shortened: u64,
    /// How long the oldest of both had been visible.
    oldest: Duration,
    /// Files that recovery published.
    recovered: u64,
    /// Visible files that were torn or blank at the next boot.
    torn_before: u64,
    /// Those that were so after recovery, or had packets of another connection.
    torn_after: u64,
}

impl Table {
    /// Compares what one boot did on these disks with what the next one found.
    pub(super) fn compare<'a>(
        disks: impl Iterator<Item = &'a str>,
        earlier: &Ledger,
        later: &Ledger,
    ) -> Self {
        let mut table = Self::default();
        for disk in disks {
            table.row(disk).cuts = 1;
        }
        for ((disk, path), file) in &earlier.published {
            let visible = earlier.last.saturating_sub(file.seen);
            let row = table.row(disk);
            row.published += 1;
            let found = later.after.get(&(disk.clone(), path.clone()));
            let harm = match found {
                Some(State::Whole { hash, .. }) if *hash == file.hash => continue,
                None => &mut row.lost,
                Some(_) => &mut row.shortened,
            };
            *harm += 1;
            row.oldest = row.oldest.max(visible);
            let what = if found.is_some() { "shortened" } else { "lost" };
            if disk.ends_with("-fsync") || visible > AT_RISK {
                table.problem(disk, path, &format!("{what} after {visible:?}"));
            }
        }
        table.found(earlier, later);
        table
    }

    /// Looks at what the next boot found, before recovery and after it.
    fn found(&mut self, earlier: &Ledger, later: &Ledger) {
        for ((disk, path), state) in &later.before {
            if !matches!(state, State::Whole { .. }) {
                self.row(disk).torn_before += 1;
                if disk.ends_with("-fsync") {
                    self.problem(disk, path, &format!("{state:?} before recovery"));
                }
            }
        }
        for (key @ (disk, path), state) in &later.after {
            if !later.before.contains_key(key) {
                self.row(disk).recovered += 1;
            }
            if let Some(why) = wrong(path, state, earlier) {
                self.row(disk).torn_after += 1;
                self.problem(disk, path, &why);
            }
        }
    }

    fn row(&mut self, disk: &str) -> &mut Row {
        self.rows.entry(disk.to_owned()).or_default()
    }

    fn problem(&mut self, disk: &str, path: &str, what: &str) {
        self.problems.push(format!("{disk}: {path}: {what}"));
    }

    /// Notes that there are fewer cuts than were asked for.
    pub(super) fn failed(&mut self, why: &str) {
        self.problems.push(why.to_owned());
    }

    /// Adds another table.
    pub(super) fn add(&mut self, other: Self) {
        for (disk, more) in other.rows {
            let row = self.row(&disk);
            row.cuts += more.cuts;
            row.published += more.published;
            row.lost += more.lost;
            row.shortened += more.shortened;
            row.oldest = row.oldest.max(more.oldest);
            row.recovered += more.recovered;
            row.torn_before += more.torn_before;
            row.torn_after += more.torn_after;
        }
        self.problems.extend(other.problems);
    }

    /// What must not be.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Whether the promises were kept.
    pub(super) fn verdict(&self) -> Result<()> {
        ensure!(
            self.problems.is_empty(),
            "{} things are not as they should be:\n{}",
            self.problems.len(),
            self.problems.join("\n")
        );
        Ok(())
    }
}

/// What is wrong with a file that a user sees after recovery.
fn wrong(path: &str, state: &State, earlier: &Ledger) -> Option<String> {
    let State::Whole { ends, .. } = state else {
        return Some(format!("{state:?} after recovery"));
    };
    let name = path.rsplit('/').next().unwrap_or_default();
    let uuid = name.split('.').next().unwrap_or_default();
    match earlier.opened.get(uuid) {
        Some(opened) if opened != ends => {
            Some(format!("it has packets of {ends}, not of {opened}"))
        }
        _ => None,
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| filesystem | `--fsync` | cuts | files published | lost | shortened | oldest of these | \
             recovered | torn before recovery | torn after |"
        )?;
        writeln!(f, "|{}", " --- |".repeat(10))?;
        for (disk, row) in &self.rows {
            let (filesystem, fsync) = match disk.strip_suffix("-fsync") {
                Some(filesystem) => (filesystem, "yes"),
                None => (disk.as_str(), "no"),
            };
            let oldest = match row.lost + row.shortened {
                0 => "-".to_owned(),
                _ => format!("{:.1} s", row.oldest.as_secs_f64()),
            };
            writeln!(
                f,
                "| {filesystem} | {fsync} | {} | {} | {} | {} | {oldest} | {} | {} | {} |",
                row.cuts,
                row.published,
                row.lost,
                row.shortened,
                row.recovered,
                row.torn_before,
                row.torn_after
            )?;
        }
        Ok(())
    }
}
