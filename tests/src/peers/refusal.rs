//! A daemon that refuses to start, and the reason that it prints.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::world::deploy::captures;
use crate::world::netns::Lab;
use crate::world::process::{Process, Stream};

/// Runs a command, which must fail with `code`; returns the lines of its standard error.
///
/// # Errors
/// It ends in another way, or it captures.
pub fn refused(lab: &Lab, command: &mut Command, code: i32) -> Result<Vec<String>> {
    let mut process = Process::start(&lab.host, command)?;
    let status = process.wait()?;
    let transcript = process.transcript();
    ensure!(
        status.code() == Some(code),
        "{status}, not {code}: {transcript}"
    );
    ensure!(!transcript.contains("panicked"), "{transcript}");
    ensure!(
        !process.lines(Stream::Err).iter().any(|line| captures(line)),
        "it captured: {transcript}"
    );
    Ok(process.lines(Stream::Err))
}

/// Checks that there is exactly one line, and that it contains all of `words`.
///
/// # Errors
/// There is not, or it does not.
pub fn one_line(lines: &[String], words: &[&str]) -> Result<()> {
    let [line] = lines else {
        anyhow::bail!("not one line: {lines:#?}");
    };
    for word in words {
        ensure!(line.contains(word), "no {word:?} in: {line}");
    }
    Ok(())
}
