//! Short programs, each run to its end.

use std::io::ErrorKind;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Runs a short program to its end, which must be success, in the namespace of the calling thread;
/// returns its standard output and standard error.
///
/// # Errors
/// It is not installed (the message names `package`), or it failed.
pub fn output_of(command: &mut Command, package: &str) -> Result<(String, String)> {
    let (out, err) = bytes_of(command, package)?;
    Ok((String::from_utf8_lossy(&out).into_owned(), err))
}

/// [`output_of`] a program whose standard output is not text.
///
/// # Errors
/// As [`output_of`].
pub fn bytes_of(command: &mut Command, package: &str) -> Result<(Vec<u8>, String)> {
    let output = match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let program = command.get_program().display();
            bail!("{program} is missing: apt-get install {package}")
        }
        other => other.with_context(|| format!("running {command:?}"))?,
    };
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        let out = String::from_utf8_lossy(&output.stdout);
        bail!("{command:?}: {}\n{out}{err}", output.status);
    }
    Ok((output.stdout, err))
}
