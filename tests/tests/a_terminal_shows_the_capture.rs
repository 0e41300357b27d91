//! Promise: who starts the daemon at a terminal sees what it does, why nothing may appear, and in the end
//! what there is and what to type next; nothing of that reaches a log.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::attended::Attended;
use end_to_end::peers::daemon::executable;
use end_to_end::traffic::pair::Pair;
use end_to_end::traffic::{self, Plan};
use end_to_end::world::netns::{self, Lab, Namespace, WAN};
use end_to_end::world::process::{Process, Stream};
use end_to_end::world::wait;
use rustix::process::Signal;
use tempfile::TempDir;

/// The terminal of the first hour.
const SIZE: (u16, u16) = (24, 80);

#[test]
fn one_line_is_kept_up_to_date_and_the_end_says_what_to_type() -> Result<()> {
    let lab = Lab::beside_others()?;
    let mut watched = Attended::start(&lab, SIZE, &[])?;
    let terminal = &mut watched.terminal;
    terminal.wait_for(&["0 connections open, 0 files (0 B), 0 packets, 0 lost, "])?;
    traffic::run(&lab, &[Plan::SHORT; 3], &())?;
    let shown = watched.line("the line counts three files", |line| {
        line.starts_with("0 connections open, 3 files (")
    })?;
    let terminal = &mut watched.terminal;
    ensure!(
        shown.contains(" packets, 0 lost, ") && shown.ends_with(" free"),
        "{shown}"
    );
    // The first file is named, as it can be typed and in one piece.
    ensure!(terminal.text().contains("the first file is"), "{shown}");
    // Whichever of the three it was.
    let mut files = Vec::new();
    for file in watched.captures.published()?.into_values() {
        files.push(file.strip_prefix(watched.home())?.display().to_string());
    }
    let terminal = &mut watched.terminal;
    let text = terminal.text();
    let is_one = |line: &str| files.iter().any(|file| line.trim() == file);
    ensure!(text.lines().any(is_one), "{files:?}: {text}");
    // What is logged passes above the line, which is the last and the only one.
    let other = Namespace::add("other")?;
    netns::join((&lab.host, "late0"), (&other, WAN), 1)?;
    drop(other);
    let shown = terminal.text();
    ensure!(shown.matches("connections open").count() == 1, "{shown}");
    ensure!(
        shown
            .trim_end()
            .lines()
            .last()
            .is_some_and(|line| line.contains("open"))
    );

    terminal.press("\u{3}")?;
    let status = terminal.wait()?;
    ensure!(status.code() == Some(0), "{status}: {}", terminal.text());
    let said = |line: &str| line == "Look at them: packet-headers flows captures";
    watched.line("what to type next", said)?;
    let text = watched.terminal.text();
    let begin = "3 connections, each in its own file (";
    ensure!(text.lines().any(|line| line.starts_with(begin)), "{text}");
    ensure!(text.contains("Nothing was lost."), "{text}");
    ensure!(
        !text.contains("connections open") && !text.contains("balance"),
        "{text}"
    );
    Ok(())
}

#[test]
fn why_nothing_appears_is_said() -> Result<()> {
    let lab = Lab::beside_others()?;
    let mut watched = Attended::start(&lab, SIZE, &[])?;
    let terminal = &mut watched.terminal;
    terminal.wait_for(&[" on wan0 yet", "--interface lo", "--netns all"])?;
    for _ in 0..2 {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Pair::open((&lab.host, at), &lab.host)?.finish()?;
        // Once only.
        terminal.wait_for(&["hint: connections over loopback are left out: --interface lo"])?;
    }
    terminal.signal(Signal::TERM)?;
    terminal.wait()?;
    terminal.wait_for(&["No connection was captured.", "packet-headers doctor"])?;
    let text = terminal.text();
    for hint in [" on wan0 yet", "hint: connections over loopback"] {
        ensure!(text.matches(hint).count() == 1, "{hint}: {text}");
    }
    Ok(())
}

#[test]
fn the_accounts_are_there_for_who_asks() -> Result<()> {
    let lab = Lab::beside_others()?;
    let mut watched = Attended::start(&lab, SIZE, &["--accounts"])?;
    watched.terminal.signal(Signal::USR1)?;
    watched
        .terminal
        .wait_for(&["packets: seen=", "balance: exact"])?;
    watched.terminal.signal(Signal::TERM)?;
    let again = wait::until("they are there again", || {
        let text = watched.terminal.text();
        Ok((text.matches("balance: exact").count() == 2).then_some(()))
    });
    again.with_context(|| watched.terminal.text())?;
    watched.terminal.wait().map(drop)
}

#[test]
fn without_a_terminal_there_is_a_log_and_nothing_else() -> Result<()> {
    let (lab, home) = (Lab::beside_others()?, TempDir::new()?);
    let mut command = Command::new(executable()?);
    command.args([
        "--interface",
        WAN,
        "--prometheusx.listen-address=",
        "--datadir",
    ]);
    command.arg(home.path().join("captures"));
    let mut process = Process::start(&lab.host, &mut command)?;
    process.wait_for_line((Stream::Err, 0), "it captures", |line| {
        line.contains(" INFO capturing wan0 version=")
    })?;
    process.signal(Signal::TERM)?;
    process.wait()?;
    ensure!(
        process.lines(Stream::Out).is_empty(),
        "{}",
        process.transcript()
    );
    let lines = process.lines(Stream::Err);
    let last = lines.last().context("no line")?;
    for said in [" INFO stopped seen=", " published=0 ", " balance=exact"] {
        ensure!(last.contains(said), "{said}: {last}");
    }
    let all = lines.concat();
    ensure!(
        !all.contains('\u{1b}') && !all.contains("connections open"),
        "{all}"
    );
    fs::remove_dir_all(home.path().join("captures"))?;
    Ok(())
}
