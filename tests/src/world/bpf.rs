//! The maps and programs of one process, by their IDs in /proc and by `bpftool`.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::world::command::output_of;

/// How often programs ran, and how long that took in total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Runs {
    /// Runs.
    pub count: u64,
    /// Nanoseconds.
    pub time: u64,
}

impl Runs {
    /// The runs since `before`.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            count: self.count - before.count,
            time: self.time - before.time,
        }
    }
}

/// How many connections a process's programs know: the entries of its map `FLOWS`, and those of its array
/// `ENTRIES` that have a token.
///
/// # Errors
/// It has no such maps, or `bpftool` failed.
pub fn known_connections(process: u32) -> Result<usize> {
    let flows = bpftool(&["map", "dump", "id", &map(process, "FLOWS")?])?;
    let flows = flows.as_array().with_context(|| flows.to_string())?.len();
    // Millions of bytes, of which each would be a text: it is not parsed.
    let table = show(&["map", "dump", "id", &map(process, "ENTRIES")?])?;
    let mut tokens = table.split("\"token\":").skip(1).peekable();
    tokens.peek().context("no token in the table of flows")?;
    Ok(flows + tokens.filter(|token| !token.starts_with('0')).count())
}

/// Checks that a process has no program and no map.
///
/// # Errors
/// It has one, or its descriptors cannot be read.
pub fn has_none(process: u32) -> Result<()> {
    for key in ["prog_id", "map_id"] {
        let ids = ids(process, key)?;
        ensure!(ids.is_empty(), "{key} {ids:?}");
    }
    Ok(())
}

/// The ID of a process's map.
fn map(process: u32, name: &str) -> Result<String> {
    for id in ids(process, "map_id")? {
        let shown = bpftool(&["map", "show", "id", &id])?;
        if shown.get("name").and_then(Value::as_str) == Some(name) {
            return Ok(id);
        }
    }
    anyhow::bail!("process {process} has no map {name}")
}

/// The runs of a process's programs whose names begin with `name`, while [`Statistics`] are
/// enabled.
///
/// # Errors
/// It has none, or `bpftool` failed.
pub fn runs(process: u32, name: &str) -> Result<Runs> {
    let mut sum = Runs::default();
    let mut found = false;
    for id in ids(process, "prog_id")? {
        let shown = bpftool(&["prog", "show", "id", &id])?;
        let named = shown.get("name").and_then(Value::as_str);
        if named.is_some_and(|named| named.starts_with(name)) {
            let number = |key| shown.get(key).and_then(Value::as_u64).unwrap_or(0);
            sum.count += number("run_cnt");
            sum.time += number("run_time_ns");
            found = true;
        }
    }
    found
        .then_some(sum)
        .with_context(|| format!("process {process} has no program {name}*"))
}

/// The links of a process: the ID of each, and what /proc/PID/fdinfo says about it.
///
/// # Errors
/// There is no such process.
pub fn links(process: u32) -> Result<Vec<(String, String)>> {
    let mut links = Vec::new();
    for text in descriptors(process)? {
        let id = text.lines().find_map(|line| line.strip_prefix("link_id:"));
        if let Some(id) = id.map(|id| id.trim().to_owned()) {
            links.push((id, text));
        }
    }
    Ok(links)
}

/// Detaches a link, as any program of root's can.
///
/// # Errors
/// `bpftool` failed.
pub fn detach(link: &str) -> Result<()> {
    let mut command = Command::new("bpftool");
    output_of(command.args(["link", "detach", "id", link]), "bpftool").map(drop)
}

/// Pins the program of this name of a process at a path below /sys/fs/bpf.
///
/// # Errors
/// It has none, or `bpftool` failed.
pub fn pin(process: u32, program: &str, path: &str) -> Result<()> {
    for id in ids(process, "prog_id")? {
        let shown = bpftool(&["prog", "show", "id", &id])?;
        if shown.get("name").and_then(Value::as_str) == Some(program) {
            let mut command = Command::new("bpftool");
            let pinned = output_of(command.args(["prog", "pin", "id", &id, path]), "bpftool");
            return pinned.map(drop);
        }
    }
    anyhow::bail!("process {process} has no program {program}")
}

/// What /proc/PID/fdinfo says about each descriptor of a process.
fn descriptors(process: u32) -> Result<Vec<String>> {
    let directory = format!("/proc/{process}/fdinfo");
    let mut texts = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| directory.clone())? {
        // The descriptor may have been closed in the meantime.
        texts.extend(fs::read_to_string(entry?.path()));
    }
    Ok(texts)
}

/// The IDs of the objects that a process has open, by /proc/PID/fdinfo.
fn ids(process: u32, kind: &str) -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for text in descriptors(process)? {
        let values = text.lines().filter_map(|line| line.split_once(':'));
        let values = values.filter(|(key, _)| *key == kind);
        ids.extend(values.map(|(_, value)| value.trim().to_owned()));
    }
    Ok(ids)
}

fn bpftool(arguments: &[&str]) -> Result<Value> {
    let out = show(arguments)?;
    serde_json::from_str(&out).with_context(|| format!("{arguments:?}: {out}"))
}

/// What `bpftool` prints, as JSON.
fn show(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("bpftool");
    let (out, _) = output_of(command.arg("-j").args(arguments), "bpftool")?;
    Ok(out)
}

/// Keeps the kernel's statistics of program runs enabled; restores the setting on drop.
#[derive(Debug)]
pub struct Statistics {
    before: String,
}

const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";

impl Statistics {
    /// Turns them on.
    ///
    /// # Errors
    /// No privilege to write the setting.
    pub fn enable() -> Result<Self> {
        let before = fs::read_to_string(STATISTICS).context(STATISTICS)?;
        fs::write(STATISTICS, "1").context(STATISTICS)?;
        Ok(Self { before })
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        if let Err(error) = fs::write(STATISTICS, self.before.trim()) {
            eprintln!("{STATISTICS}: {error}");
        }
    }
}
