//! The program as a reader of capture files: `flows` and `merge`.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};

use super::daemon::executable;

/// A row: the columns and their values.
pub type Row = Map<String, Value>;

/// What the program answered.
#[derive(Debug)]
pub struct Answer {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// The command line of `flows` or `merge`, to which arguments are still to be added.
///
/// # Errors
/// There is no such program.
pub fn command(verb: &str) -> Result<Command> {
    let mut command = Command::new(executable()?);
    command.arg(verb).stdin(Stdio::null());
    Ok(command)
}

/// What `flows` or `merge` answers to arguments.
///
/// # Errors
/// There is no such program.
pub fn ask<A: AsRef<OsStr>>(verb: &str, arguments: impl IntoIterator<Item = A>) -> Result<Answer> {
    answer_of(command(verb)?.args(arguments))
}

/// What a command answers.
///
/// # Errors
/// It cannot be started.
pub fn answer_of(command: &mut Command) -> Result<Answer> {
    let output = command
        .output()
        .with_context(|| format!("running {command:?}"))?;
    Ok(Answer {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).context("its output is UTF-8")?,
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// The rows of files, all of which must be whole.
///
/// # Errors
/// What the program says, or rows that are not JSON.
pub fn rows(paths: &[&Path]) -> Result<Vec<Row>> {
    let answer = answer_of(command("flows")?.arg("--format=jsonl").args(paths))?;
    ensure!(
        answer.code == Some(0) && answer.err.is_empty(),
        "{answer:?}"
    );
    rows_of(&answer.out)
}

/// The rows in an answer.
///
/// # Errors
/// They are not JSON.
pub fn rows_of(out: &str) -> Result<Vec<Row>> {
    let row = |line| serde_json::from_str(line).with_context(|| format!("a row: {line}"));
    out.lines().map(row).collect()
}

/// A row's number in a column.
#[must_use]
pub fn number(row: &Row, column: &str) -> Option<u64> {
    row.get(column)?.as_u64()
}

/// A row's text in a column.
#[must_use]
pub fn text<'a>(row: &'a Row, column: &str) -> Option<&'a str> {
    row.get(column)?.as_str()
}
