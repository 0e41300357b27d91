//! Promise: top shows the figures that the daemon prints and the connections that it captures, as text
//! and live, and leaves the terminal as it was.

use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, executable, kernel_uuid};
use end_to_end::peers::terminal::Terminal;
use end_to_end::traffic::pair::Pair;
use end_to_end::traffic::{self, Plan};
use end_to_end::world::netns::{self, Lab};
use end_to_end::world::process::{Process, Stream};
use end_to_end::world::wait;

/// Where top asks when it is not told otherwise.
const SERVED: &str = "--prometheusx.listen-address=:9990";

/// How long top may take to say something once.
const LIMIT: Duration = Duration::from_secs(10);

fn top(flags: &[&str]) -> Result<Command> {
    let mut command = Command::new(executable()?);
    command.arg("top").args(flags);
    Ok(command)
}

/// What top prints, and on standard error, where it has no terminal.
fn printed(lab: &Lab, flags: &[&str]) -> Result<(ExitStatus, String, String)> {
    let mut process = Process::start(&lab.host, &mut top(flags)?)?;
    let status = process.wait(LIMIT)?;
    let text = |stream| process.lines(stream).join("\n");
    Ok((status, text(Stream::Out), text(Stream::Err)))
}

/// The number behind a word.
fn number(text: &str, word: &str) -> Result<u64> {
    let mut words = text.split_whitespace().skip_while(|have| *have != word);
    let number = words
        .nth(1)
        .with_context(|| format!("no {word} in {text}"))?;
    number.parse().with_context(|| format!("{word} {number}"))
}

#[test]
fn once_has_the_figures_of_the_daemons_summary() -> Result<()> {
    let lab = Lab::new()?;
    let mut daemon = Daemon::start(&lab, &["--flow-source=kernel", SERVED])?;
    traffic::run(&lab, &Plan::mixed(10), &())?;
    daemon.wait_for_files(10)?;
    daemon.wait_for_summary("no packet is held", |s| s.get("packets", "held") == 0)?;
    let (mut summary, mut text) = (daemon.summary()?, String::new());
    wait::until("nothing happens while top asks", LIMIT, || {
        let before = daemon.summary()?;
        let (status, out, err) = printed(&lab, &["--once"])?;
        ensure!(status.success(), "{out}{err}");
        (summary, text) = (daemon.summary()?, out);
        // But top's own connections, which pass no interface.
        let same = |line| summary.line(line) == before.line(line);
        Ok((same("packets") && same("discarded") && same("files")).then_some(()))
    })?;
    for key in ["seen", "written", "discarded", "held"] {
        assert_eq!(number(&text, key)?, summary.get("packets", key), "{text}");
    }
    for (reason, count) in summary.line("discarded") {
        assert_eq!(number(&text, &reason)?, count, "{text}");
    }
    assert_eq!(number(&text, "published")?, 10);
    ensure!(number(&text, "opened")? >= 10, "{text}");
    ensure!(text.contains(", ready, names by kernel, on wan0"), "{text}");
    ensure!(!text.contains('\u{1b}'), "colours in a pipe: {text}");
    daemon.stop()?.summary.in_balance()
}

#[test]
fn the_live_view_shows_a_connection_and_q_leaves_the_terminal_as_it_was() -> Result<()> {
    let lab = Lab::new()?;
    let daemon = Daemon::start(&lab, &["--flow-source=kernel", SERVED])?;
    let flags = ["--address=:9990", "--interval=200ms"];
    let mut terminal = Terminal::start(&lab.host, &top(&flags)?)?;
    terminal.wait_for(&["packet-headers", "ready", "wan0", "packets/s"])?;
    ensure!(terminal.is_changed()?, "keys would wait for Enter");
    let [address, _] = netns::first(0);
    let pair = Pair::open((&lab.host, (address, 0).into()), &lab.peer)?;
    let connection = pair.accepted()?;
    pair.talk()?;
    let (local, remote) = (connection.host.to_string(), connection.peer.to_string());
    let uuid = kernel_uuid(&connection);
    terminal.wait_for(&[&local, &remote, &uuid, "capturing"])?;
    // A filter that does not fit it, and one that does.
    terminal.press("/nowhere\r")?;
    wait::until("the filter hides it", LIMIT, || {
        Ok((!terminal.text().contains(&uuid)).then_some(()))
    })?;
    terminal.press("/\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}")?;
    terminal.press(&format!("{}\r", connection.peer.port()))?;
    terminal.wait_for(&[&uuid])?;
    pair.finish()?;
    daemon.kill()?;
    terminal.wait_for(&["no answer, trying on"])?;
    terminal.press("q")?;
    let status = terminal.end()?;
    ensure!(status.success(), "{status}");
    Ok(())
}

#[test]
fn control_c_ends_it_too() -> Result<()> {
    let lab = Lab::new()?;
    let mut terminal = Terminal::start(&lab.host, &top(&[])?)?;
    // Nobody is there to be shown.
    terminal.wait_for(&["no answer, trying on", "--prometheusx.listen-address"])?;
    terminal.press("\u{3}")?;
    let status = terminal.end()?;
    ensure!(status.success(), "{status}");
    Ok(())
}

#[test]
fn flows_that_the_daemon_keeps_to_itself_are_said_and_the_rest_is_shown() -> Result<()> {
    let lab = Lab::new()?;
    let daemon = Daemon::start(
        &lab,
        &["--flow-source=kernel", SERVED, "--serve-flows=nobody"],
    )?;
    let (status, out, err) = printed(&lab, &["--once"])?;
    ensure!(status.success(), "{out}{err}");
    ensure!(out.contains("flows are not told: 403"), "{out}");
    ensure!(out.contains("packets    seen "), "{out}");
    daemon.stop()?.summary.in_balance()
}

#[test]
fn without_a_terminal_or_a_daemon_it_says_what_to_do() -> Result<()> {
    let lab = Lab::new()?;
    let (status, out, err) = printed(&lab, &[])?;
    ensure!(status.code() == Some(1) && out.is_empty(), "{out}{err}");
    ensure!(err.contains("terminal") && err.contains("--once"), "{err}");
    let (status, out, err) = printed(&lab, &["--once"])?;
    ensure!(status.code() == Some(1) && out.is_empty(), "{out}{err}");
    ensure!(err.contains("--prometheusx.listen-address"), "{err}");
    Ok(())
}
