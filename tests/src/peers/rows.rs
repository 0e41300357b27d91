//! The rows that flow-stats makes of a file's connections.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};

use crate::world::command::output_of;

/// A row: the values of its columns.
pub type Row = Map<String, Value>;

/// A row for each connection of a pcap file, by the example `rows` of the crate flow-stats.
///
/// # Errors
/// It is not built, or it fails.
pub fn of(file: &Path) -> Result<Vec<Row>> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let built = ["release", "debug"].map(|profile| target.join(profile).join("examples/rows"));
    let built = built.into_iter().find(|path| path.exists());
    let program = env::var_os("PACKET_HEADERS_ROWS_EXAMPLE")
        .map(PathBuf::from)
        .or(built);
    let program = program.context(
        "no program: cargo build --release -p flow-stats --example rows, or set PACKET_HEADERS_ROWS_EXAMPLE",
    )?;
    let (out, err) = output_of(Command::new(program).arg(file), "flow-stats")?;
    ensure!(err.is_empty(), "{err}");
    let rows = out
        .lines()
        .map(|line| serde_json::from_str(line).context("a row is JSON"));
    rows.collect()
}
