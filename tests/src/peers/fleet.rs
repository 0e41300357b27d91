//! A fleet's rows on shared storage, of connections that never took place, and the engines that are asked about
//! them as docs/fleet.md says.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::peers::reader::{Row, rows_of};
use crate::world::command::output_of;
use crate::world::python;

/// How many rows, of how many hosts, on how many days.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Rows of all hosts.
    pub rows: usize,
    /// Hosts.
    pub hosts: usize,
    /// Days.
    pub days: usize,
}

/// A fleet's rows.
#[derive(Debug)]
pub struct Fleet {
    home: TempDir,
    /// All rows, in no order.
    pub rows: Vec<Row>,
}

/// What an engine says.
#[derive(Debug, Deserialize)]
pub struct Told {
    /// The columns of a row: names and types.
    pub schema: Vec<[String; 2]>,
    /// By the name of the query.
    pub answers: BTreeMap<String, Answer>,
}

/// The answer to a query.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// The names of its columns.
    pub columns: Vec<String>,
    /// Its rows.
    pub rows: Vec<Vec<Value>>,
}

impl Fleet {
    /// Makes one, the same for each seed, by the example `fleet` of the crate row-formats.
    ///
    /// # Errors
    /// The example is not built, or fails.
    pub fn make(size: Size, seed: u64) -> Result<Self> {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
        let built = ["release", "debug"].map(|profile| target.join(profile).join("examples/fleet"));
        let built = built.into_iter().find(|path| path.exists());
        let program = env::var_os("PACKET_HEADERS_FLEET").map(PathBuf::from);
        let program = program.or(built).context(
            "no program: cargo build --release -p row-formats --example fleet, or set PACKET_HEADERS_FLEET",
        )?;
        let home = TempDir::new()?;
        let lines = home.path().join("rows.jsonl");
        let mut command = Command::new(program);
        command.arg(home.path().join("rows"));
        command.args([size.rows, size.hosts, size.days].map(|number| number.to_string()));
        command.arg(seed.to_string()).arg(&lines);
        output_of(&mut command, "row-formats")?;
        let rows = rows_of(&fs::read_to_string(&lines)?)?;
        Ok(Self { home, rows })
    }

    /// The directory of the rows.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.home.path().join("rows")
    }

    /// Asks DuckDB all queries of docs/fleet.
    ///
    /// # Errors
    /// What it says.
    pub fn ask_duckdb(&self) -> Result<Told> {
        let mut command = python::program("ask_fleet.py")?;
        command.arg("duckdb").arg(self.directory());
        let (out, _) = output_of(&mut command, "python3")?;
        serde_json::from_str(&out).context("answers are JSON")
    }
}
