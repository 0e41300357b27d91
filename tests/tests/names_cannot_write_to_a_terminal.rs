//! Promise: a name that somebody else gave, such as that of an interface, a file or an argument,
//! never reaches a terminal with control characters that it would obey.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::executable;
use end_to_end::peers::launch::Launch;
use end_to_end::peers::refusal::refused;
use end_to_end::world::netns::{self, Lab, Namespace, WAN};
use end_to_end::world::process::{Process, Stream};
use tempfile::TempDir;

/// The name of an interface that would turn the terminal red, and go back to the line's begin.
const RED: &str = "a\u{1b}[31m\u{8}b";

/// The part of that name which is shown as it is.
const SHOWN: &str = "[31m";

/// Checks that a text names what has control characters, without them.
fn harmless(text: &str) -> Result<()> {
    ensure!(text.contains(SHOWN), "it does not name it: {text:?}");
    obeyed_by_none(text)
}

/// Checks that a text has no control characters.
fn obeyed_by_none(text: &str) -> Result<()> {
    let obeyed = text.chars().find(|it| it.is_control() && *it != '\n');
    ensure!(obeyed.is_none(), "{obeyed:?} in {text:?}");
    Ok(())
}

/// Runs a command of packet-headers; returns what it prints.
fn printed(lab: &Lab, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(executable()?);
    let mut process = Process::start(&lab.host, command.args(arguments))?;
    process.wait()?;
    let printed = [Stream::Out, Stream::Err].map(|stream| process.lines(stream).join("\n"));
    Ok(printed.join("\n"))
}

#[test]
fn wherever_a_name_is_shown_its_control_characters_are_escaped() -> Result<()> {
    let (lab, home) = (Lab::new()?, TempDir::new()?);
    let other = Namespace::add("other")?;
    netns::join((&lab.host, RED), (&other, WAN), 1)?;
    let within = home.path().join(format!("{RED}\nforged line"));
    fs::create_dir(&within)?;
    // The banner and the log.
    let daemon = Launch::new(&lab).on(&[]).within(&within).start(&[])?;
    harmless(&daemon.transcript())?;
    ensure!(!daemon.transcript().contains("\nforged line"));
    let at = daemon.http()?.to_string();
    harmless(&printed(&lab, &["top", "--once", "--address", &at])?)?;
    drop(other);
    // The log of an interface that has gone.
    let mut daemon = daemon;
    daemon.wait_for_log(1, "detached from")?;
    harmless(&daemon.transcript())?;
    daemon.stop()?;

    let other = Namespace::add("other")?;
    netns::join((&lab.host, RED), (&other, WAN), 1)?;
    let datadir = within.join("data");
    let datadir = datadir.to_str().context("a path of text")?;
    harmless(&printed(&lab, &["doctor", "--datadir", datadir])?)?;
    harmless(&printed(&lab, &["top", "--once", "--address", RED])?)?;
    // Errors of the command line have lost such characters before they are escaped.
    let unknown = format!("--{RED}");
    for wrong in [
        &[unknown.as_str()][..],
        &["--format", RED],
        &["--format", RED, "--log-format=json"],
    ] {
        let text = printed(&lab, wrong)?;
        ensure!(text.to_lowercase().contains("error"), "{text}");
        obeyed_by_none(&text)?;
    }
    let file = within.join("file");
    fs::write(&file, "already here")?;
    let launch = Launch::new(&lab).within(home.path());
    let lines = refused(&lab, &mut launch.command(&file, &[])?, 1)?;
    harmless(&lines.join("\n"))
}
