//! Promise: whatever the program shows at a terminal can be read there, on the smallest of usual terminals and on a
//! larger one, on light and on dark ground: nothing that matters is cut, and no line is broken within a word.
//!
//! The screens are drawn, for docs/terminal, if `PACKET_HEADERS_PICTURES` names a directory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::attended::Attended;
use end_to_end::peers::chromium::{Screen as Ground, Screenshot};
use end_to_end::peers::daemon::{Daemon, executable};
use end_to_end::peers::terminal::Terminal;
use end_to_end::peers::terminal::picture::draw;
use end_to_end::traffic::bulk::Bulk;
use end_to_end::traffic::pair::Pair;
use end_to_end::traffic::{self, Plan};
use end_to_end::world::netns::{self, Lab};
use end_to_end::world::wait;
use tempfile::TempDir;

/// Where a test leaves its pictures for people, if the environment names a directory: those of docs/terminal.
const PICTURES: &str = "PACKET_HEADERS_PICTURES";

/// Rows and columns.
const SIZES: [(u16, u16); 2] = [(24, 80), (40, 120)];

/// Checks that no line of a screen is broken by the terminal, and keeps a picture of it for people.
fn read(terminal: &Terminal, name: &str, title: &str) -> Result<String> {
    let (screen, text) = (terminal.screen(), terminal.text());
    let (rows, columns) = screen.size();
    let broken = (0..rows).find(|row| screen.row_wrapped(*row));
    ensure!(broken.is_none(), "line {broken:?} is too long:\n{text}");
    let picture = draw(&screen, title);
    let name = format!("{name}-{columns}x{rows}.svg");
    let docs = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/terminal");
    let file = env::var_os(PICTURES).map_or_else(docs, PathBuf::from);
    let file = file.join(&name);
    if env::var_os(PICTURES).is_some() {
        fs::write(&file, &picture).with_context(|| format!("writing {}", file.display()))?;
    }
    ensure!(file.exists(), "there is no {}", file.display());
    Ok(text)
}

fn has(text: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(text.contains(word), "{word:?} is not in\n{text}");
    }
    Ok(())
}

#[test]
fn while_it_captures_and_when_it_has_stopped() -> Result<()> {
    for size in SIZES {
        let lab = Lab::beside_others()?;
        let mut attended = Attended::start(&lab, size, &[])?;
        traffic::run(&lab, &[Plan::SHORT; 12], &())?;
        let [address, _] = netns::first(0);
        let open = Pair::open((&lab.host, (address, 0).into()), &lab.peer)?;
        open.talk()?;
        attended.line("one is open and the others have files", |line| {
            line.starts_with("1 connection open, 12 files (")
        })?;
        let text = read(
            &attended.terminal,
            "capture",
            "packet-headers while it captures: one connection is open, twelve have files",
        )?;
        has(
            &text,
            &["capturing wan0", "the first file is", " 0 lost, ", " free"],
        )?;
        open.finish()?;
        attended.line("all have files", |line| line.contains(", 13 files ("))?;
        attended.terminal.press("\u{3}")?;
        attended.terminal.wait()?;
        attended.line("what to type", |line| line.starts_with("Look at them: "))?;
        let text = read(
            &attended.terminal,
            "stopped",
            "packet-headers after Ctrl-C: what there is, what was lost, and what to type next",
        )?;
        has(
            &text,
            &["13 connections, each in its own file", "Nothing was lost."],
        )?;
        // Nothing for its authors, and no line without a word.
        for word in ["=", "second_socket", "connections open"] {
            ensure!(!text.contains(word), "{word:?} is in\n{text}");
        }
        let end = text.split("^C").last().unwrap_or_default().trim();
        ensure!(end.lines().all(|line| !line.trim().is_empty()), "{end}");
    }
    Ok(())
}

/// Shows every view of top in a terminal of this size.
fn top(lab: &Lab, size: (u16, u16), ends: &[String]) -> Result<Terminal> {
    let mut command = Command::new(executable()?);
    command.args(["top", "--interval=200ms"]);
    let mut terminal = Terminal::of_size(size, &lab.host, &command)?;
    terminal.wait_for(&["packets/s", "seen/s", "\u{2588}", "lingering 1"])?;
    // Rates of a few seconds.
    let bars = |text: &str| {
        text.chars()
            .filter(|it| ('\u{2581}'..='\u{2588}').contains(it))
            .count()
    };
    wait::until("rates", || Ok((bars(&terminal.text()) >= 12).then_some(())))?;
    let title = "packet-headers top: the daemon's figures, rates over time, and connections";
    let text = read(&terminal, "top", title)?;
    for end in ends {
        has(&text, &[end])?;
    }
    has(&text, &["retrans", "? help", "q quit", "process "])?;
    ensure!(
        !text.contains(":9990 "),
        "its own questions are listed:\n{text}"
    );
    // The one that is closed, of which the kernel has told what it knew.
    terminal.press("/lingering\r")?;
    terminal.wait_for(&["only with \"lingering\""])?;
    terminal.press("\r")?;
    terminal.wait_for(&["any key: back"])?;
    let title = "packet-headers top: everything about one connection";
    let text = read(&terminal, "connection", title)?;
    has(
        &text,
        &["name     lab_", "local    ", "remote   ", "packets  "],
    )?;
    // All that the kernel tells, from the first to the last of its names.
    has(
        &text,
        &["bytes_acked", "srtt_us", "min_rtt_us", "unacked_bytes"],
    )?;
    terminal.press("?")?;
    terminal.wait_for(&["segments sent again", "look for the port with"])?;
    let title = "packet-headers top: what keys do, and what columns mean";
    let text = read(&terminal, "help", title)?;
    has(&text, &["sort by", "Ctrl-C", "any key: back"])?;
    Ok(terminal)
}

#[test]
fn top_with_a_connection_and_help() -> Result<()> {
    let lab = Lab::beside_others()?;
    // A connection stays in the list for as long as its file may still grow.
    let flags = ["--prometheusx.listen-address=:9990", "--linger=5m"];
    let daemon = Daemon::start(&lab, &flags)?;
    let bulk = Bulk::start(&lab, &())?;
    let mut pairs = Vec::new();
    for address in netns::first(0) {
        let pair = Pair::open((&lab.host, (address, 0).into()), &lab.peer)?;
        pair.talk()?;
        pairs.push(pair);
    }
    let mut ends = Vec::new();
    for connection in pairs.iter().map(Pair::accepted) {
        let connection = connection?;
        ends.extend([connection.host, connection.peer].map(|end| end.to_string()));
    }
    let closed = pairs.pop().context("a connection")?;
    closed.finish()?;
    for size in SIZES {
        let mut terminal = top(&lab, size, &ends)?;
        terminal.press("xq")?;
        ensure!(terminal.end()?.success());
    }
    drop(bulk);
    for pair in pairs {
        pair.finish()?;
    }
    daemon.stop()?;
    Ok(())
}

#[test]
fn rows_of_connections() -> Result<()> {
    let lab = Lab::beside_others()?;
    let mut daemon = Daemon::start(&lab, &[])?;
    let connections = traffic::run(&lab, &Plan::mixed(10), &())?;
    daemon.wait_for_files(connections.len())?;
    let stopped = daemon.stop()?;
    for size in SIZES {
        let mut command = Command::new("sh");
        let script =
            "cd \"$1\"; shift; echo '$ packet-headers flows captures'; exec \"$@\" flows captures";
        command.args(["-c", script, "sh"]);
        let home = stopped.captures.root().parent().context("a parent")?;
        command.arg(home).arg(executable()?);
        let mut terminal = Terminal::of_size(size, &lab.host, &command)?;
        terminal.wait()?;
        wait::until("rows", || {
            let rows = terminal.text().lines().count();
            Ok((rows == connections.len() + 2).then_some(()))
        })
        .with_context(|| terminal.text())?;
        let title = "packet-headers flows: a row for each connection";
        let text = read(&terminal, "flows", title)?;
        has(&text, &["CLIENT", "RTT", "END"])?;
        for connection in &connections {
            has(&text, &[&connection.peer.to_string()])?;
        }
    }
    Ok(())
}

#[test]
fn pictures_can_be_seen_on_light_and_on_dark_ground() -> Result<()> {
    let lab = Lab::beside_others()?;
    // Nothing answers: that is said in reverse.
    let mut command = Command::new(executable()?);
    command.arg("top");
    let mut terminal = Terminal::of_size(SIZES[0], &lab.host, &command)?;
    terminal.wait_for(&["no answer, retrying"])?;
    let home = TempDir::new()?;
    let file = home.path().join("screen.svg");
    fs::write(&file, draw(&terminal.screen(), "no answer"))?;
    terminal.press("q")?;
    terminal.end()?;
    for (ground, paper, ink) in [
        (Ground::Light, [0xff; 3], [0x1b, 0x1f, 0x24]),
        (Ground::Dark, [0x14, 0x17, 0x1a], [0xd7, 0xdb, 0xe0]),
    ] {
        let shot = Screenshot::of(&file, (700, 460), ground)?;
        assert_eq!(shot.background(), paper, "{ground:?}");
        ensure!(shot.count(ink) > 500, "{ground:?}: nothing is drawn");
    }
    Ok(())
}
