//! Promise: top shows the daemon's counts and the connections that it captures, as text and live,
//! and leaves the terminal as it was.

use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, executable, kernel_uuid};
use end_to_end::peers::terminal::Terminal;
use end_to_end::traffic::pair::Pair;
use end_to_end::traffic::{self, Plan};
use end_to_end::verify::report::{DiscardReason, Field as _, FileField, PacketField};
use end_to_end::world::netns::{self, Lab};
use end_to_end::world::process::{Process, Stream};
use end_to_end::world::wait;

/// Makes the daemon serve HTTP where top looks for it by default.
const SERVED: &str = "--prometheusx.listen-address=:9990";

fn top(flags: &[&str]) -> Result<Command> {
    let mut command = Command::new(executable()?);
    command.arg("top").args(flags);
    Ok(command)
}

/// Runs top without a terminal; returns its exit status, standard output and standard error.
fn printed(lab: &Lab, flags: &[&str]) -> Result<(ExitStatus, String, String)> {
    let mut process = Process::start(&lab.host, &mut top(flags)?)?;
    let status = process.wait()?;
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
fn once_prints_the_counts_of_the_daemons_report() -> Result<()> {
    let lab = Lab::beside_others()?;
    let mut daemon = Daemon::start(&lab, &[SERVED])?;
    traffic::run(&lab, &Plan::mixed(10), &())?;
    daemon.wait_for_files(10)?;
    daemon.wait_until_quiet()?;
    let (mut report, mut text) = (daemon.report()?, String::new());
    wait::until("nothing happens while top asks", || {
        let before = daemon.report()?;
        let (status, out, err) = printed(&lab, &["--once"])?;
        ensure!(status.success(), "{out}{err}");
        (report, text) = (daemon.report()?, out);
        // Nothing but top's own connections, which pass no captured interface.
        let same = report.line::<PacketField>() == before.line::<PacketField>()
            && report.line::<DiscardReason>() == before.line::<DiscardReason>()
            && report.line::<FileField>() == before.line::<FileField>();
        Ok(same.then_some(()))
    })?;
    for (field, count) in report.line::<PacketField>() {
        assert_eq!(number(&text, field.name())?, *count, "{text}");
    }
    for (reason, count) in report.line::<DiscardReason>() {
        assert_eq!(number(&text, reason.name())?, *count, "{text}");
    }
    assert_eq!(number(&text, "published")?, 10);
    ensure!(number(&text, "opened")? >= 10, "{text}");
    let head = ", ready, names from kernel, on wan0";
    ensure!(text.contains(head), "{text}");
    ensure!(!text.contains('\u{1b}'), "colours in a pipe: {text}");
    daemon.stop()?;
    Ok(())
}

#[test]
fn the_live_view_shows_a_connection_and_q_leaves_the_terminal_as_it_was() -> Result<()> {
    let lab = Lab::beside_others()?;
    let daemon = Daemon::start(&lab, &[SERVED])?;
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
    // A filter that hides the connection, and one that shows it.
    terminal.press("/nowhere\r")?;
    wait::until("the filter hides it", || {
        Ok((!terminal.text().contains(&uuid)).then_some(()))
    })?;
    terminal.press("/\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}")?;
    terminal.press(&format!("{}\r", connection.peer.port()))?;
    terminal.wait_for(&[&uuid])?;
    pair.finish()?;
    daemon.kill()?;
    terminal.wait_for(&["no answer, retrying"])?;
    terminal.press("q")?;
    let status = terminal.end()?;
    ensure!(status.success(), "{status}");
    Ok(())
}

#[test]
fn control_c_ends_it_too() -> Result<()> {
    let lab = Lab::beside_others()?;
    let mut terminal = Terminal::start(&lab.host, &top(&[])?)?;
    // There is no daemon.
    terminal.wait_for(&["no answer, retrying", "--prometheusx.listen-address"])?;
    terminal.press("\u{3}")?;
    let status = terminal.end()?;
    ensure!(status.success(), "{status}");
    Ok(())
}

#[test]
fn without_permission_to_list_flows_it_says_so_and_shows_the_rest() -> Result<()> {
    let lab = Lab::beside_others()?;
    let daemon = Daemon::start(&lab, &[SERVED, "--serve-flows=nobody"])?;
    let (status, out, err) = printed(&lab, &["--once"])?;
    ensure!(status.success(), "{out}{err}");
    ensure!(out.contains("connections cannot be listed: 403"), "{out}");
    ensure!(out.contains("packets    seen "), "{out}");
    daemon.stop()?;
    Ok(())
}

#[test]
fn without_a_terminal_or_a_daemon_it_says_what_to_do() -> Result<()> {
    let lab = Lab::beside_others()?;
    let (status, out, err) = printed(&lab, &[])?;
    ensure!(status.code() == Some(1) && out.is_empty(), "{out}{err}");
    ensure!(err.contains("terminal") && err.contains("--once"), "{err}");
    let (status, out, err) = printed(&lab, &["--once"])?;
    ensure!(status.code() == Some(1) && out.is_empty(), "{out}{err}");
    ensure!(err.contains("--prometheusx.listen-address"), "{err}");
    Ok(())
}
