//! `packet-headers plot`, and the captures that docs have pictures of.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::peers::daemon::executable;
use crate::traffic::written::{Transfer, examples, write, write_datagrams};
use crate::world::command::output_of;

/// Makes a transfer.
type Example = fn() -> Transfer;

/// The names of the pictures in docs, and what they are of.
const EXAMPLES: [(&str, Example); 3] = [
    ("clean", examples::clean),
    ("loss", examples::loss),
    ("receiver", examples::receiver),
];

/// Writes a transfer as a capture.
///
/// # Errors
/// It cannot be written.
pub fn capture(transfer: &Transfer, directory: &Path, name: &str) -> Result<PathBuf> {
    let path = directory.join(name).with_extension("pcap");
    write(&path, &transfer.segments())?;
    Ok(path)
}

/// Draws a capture's only connection. The output's name says as what.
///
/// # Errors
/// What the program says.
pub fn plot(capture: &Path, output: &Path) -> Result<()> {
    let mut command = Command::new(executable()?);
    command.arg("plot").arg(capture).arg("--output").arg(output);
    output_of(&mut command, "packet-headers")?;
    Ok(())
}

/// A capture's only row, as JSON.
///
/// # Errors
/// What the program says.
pub fn row(capture: &Path) -> Result<serde_json::Value> {
    let mut command = Command::new(executable()?);
    command.args(["flows", "--format", "jsonl"]).arg(capture);
    let (out, _) = output_of(&mut command, "packet-headers")?;
    serde_json::from_str(&out).with_context(|| format!("one row: {out}"))
}

/// Draws the pictures of docs.
///
/// # Errors
/// What the program says, or a directory that cannot be written.
pub fn draw_examples(directory: &Path) -> Result<()> {
    let captures = TempDir::new()?;
    fs::create_dir_all(directory)?;
    for (name, transfer) in EXAMPLES {
        let capture = capture(&transfer(), captures.path(), name)?;
        plot(&capture, &directory.join(name).with_extension("svg"))?;
    }
    let quic = captures.path().join("quic.pcap");
    write_datagrams(&quic, &examples::quic())?;
    plot(&quic, &directory.join("quic.svg"))?;
    Ok(())
}
