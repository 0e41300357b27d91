//! The Python of the tests: programs that share nothing with the daemon, not even their language.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

/// A command of the tests' Python, to which arguments are still to be added:
/// `PACKET_HEADERS_PYTHON`, or the interpreter that `cargo xtask test` installed.
///
/// # Errors
/// There is no such interpreter.
pub fn command() -> Result<Command> {
    let installed =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/python/bin/python3");
    let path = env::var_os("PACKET_HEADERS_PYTHON").map_or(installed, PathBuf::from);
    ensure!(
        path.exists(),
        "no Python at {}: `cargo xtask test` installs one, or set PACKET_HEADERS_PYTHON",
        path.display()
    );
    Ok(Command::new(path))
}

/// A command of one of the programs in `tests/python`, by its file's name.
///
/// # Errors
/// As [`command`].
pub fn program(name: &str) -> Result<Command> {
    let mut command = command()?;
    command.arg(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("python")
            .join(name),
    );
    Ok(command)
}
