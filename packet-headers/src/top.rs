//! `top`: what a running daemon does, in the terminal.

use anyhow::{Result, bail};

use crate::cli::TopArguments;

/// Shows a running daemon until the user has seen enough.
///
/// # Errors
/// When the daemon does not answer, or there is no terminal.
pub fn run(_arguments: &TopArguments) -> Result<()> {
    bail!("there is no top yet")
}
