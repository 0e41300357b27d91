//! `doctor`: what this host has and lacks for a capture.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::cli::Arguments;

/// Says what this host has and lacks for a capture with these arguments.
///
/// # Errors
/// When it cannot be said.
pub fn run(_capture: Arguments, _json: bool) -> Result<ExitCode> {
    bail!("the doctor is not in yet")
}
