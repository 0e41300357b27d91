//! Promise: the command line of a deployed Go packet-headers, or the same settings in its
//! environment, runs this one unchanged; and its log can be JSON.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::capture::Capture;
use end_to_end::peers::daemon::{Daemon, Stopped, executable};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::refusal::{one_line, refused};
use end_to_end::peers::tcpinfo::{StandIn, uuid};
use end_to_end::traffic::{self, Plan};
use end_to_end::world::netns::{self, Lab};
use serde_json::Value;
use tempfile::TempDir;

/// What the daemon logs about flags without effect.
const NO_EFFECT: &str = "has no effect";

/// A tcp-info, and the path of its socket.
fn tcpinfo(home: &Path) -> Result<(StandIn, String)> {
    let path = home.join("tcpevents.sock");
    let mut tcpinfo = StandIn::unix(&path);
    tcpinfo.listen()?;
    Ok((tcpinfo, path.to_string_lossy().into_owned()))
}

/// An address of the lab's host where nobody listens.
fn listen_address() -> String {
    let [address, _] = netns::first(0);
    format!("{address}:9993")
}

/// The arguments of a deployment, with the test's own paths.
fn deployment(data: &str, events: &str) -> Vec<String> {
    vec![
        format!("-prometheusx.listen-address={}", listen_address()),
        format!("-datadir={data}"),
        format!("-tcpinfo.eventsocket={events}"),
        "-stream=false".to_owned(),
        "-anonymize.ip=none".to_owned(),
        "-maxidleram=1500MB".to_owned(),
        "-maxheap=2GB".to_owned(),
        "-flowtimeout=5s".to_owned(),
        "-maxflows=150".to_owned(),
    ]
}

/// The environment with the same settings as these arguments, and with variables that look like
/// flags but are not the daemon's.
fn environment(arguments: &[String]) -> Vec<String> {
    let variables = arguments.iter().filter_map(|argument| {
        let (flag, value) = argument.split_once('=')?;
        let name = flag.trim_start_matches('-').to_uppercase();
        Some(format!("{}={value}", name.replace(['.', '-'], "_")))
    });
    let others = [
        "PORT=1",
        "NET=192.0.2.0/24",
        "FORMAT=pcapng",
        "DIRECTION=outgoing",
    ];
    let links = ["PACKET_HEADERS_PORT=tcp://192.0.2.1:9990"];
    let foreign = others.into_iter().chain(links).map(str::to_owned);
    variables.chain(foreign).collect()
}

/// Captures connections that tcp-info announces, and verifies their files. The daemon logs each
/// flag without effect once.
fn capture_and_compare(
    lab: &Lab,
    launch: Launch<'_>,
    flags: &[&str],
    tcpinfo: &StandIn,
) -> Result<Stopped> {
    let capture = Capture::new(lab).by(launch).named(uuid);
    let captured = capture.run(flags, |_| {
        tcpinfo.wait_for_client(1)?;
        traffic::run(lab, &Plan::mixed(10), tcpinfo)
    })?;
    let transcript = &captured.stopped.transcript;
    for flag in ["--stream", "--maxidleram"] {
        let names_it = |line: &&str| line.contains(flag) && line.contains(NO_EFFECT);
        ensure!(
            transcript.lines().filter(names_it).count() == 1,
            "{flag}: {transcript}"
        );
    }
    ensure!(transcript.matches(NO_EFFECT).count() == 2, "{transcript}");
    Ok(captured.stopped)
}

#[test]
fn its_arguments_are_taken_as_they_are() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    let (tcpinfo, events) = tcpinfo(home.path())?;
    let data = home.path().join("captures");
    let arguments = deployment(&data.to_string_lossy(), &events);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let launch = Launch::bare(&lab).without_datadir().within(home.path());
    capture_and_compare(&lab, launch, &arguments, &tcpinfo).map(drop)
}

#[test]
fn its_environment_says_the_same() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    let (tcpinfo, events) = tcpinfo(home.path())?;
    let data = home.path().join("captures");
    let variables = environment(&deployment(&data.to_string_lossy(), &events));
    let several = "INTERFACE=lo,wan0";
    let wrapper: Vec<_> = ["env", several]
        .into_iter()
        .chain(variables.iter().map(String::as_str))
        .collect();
    let launch = Launch::bare(&lab).without_datadir().within(home.path());
    let stopped = capture_and_compare(&lab, launch.by(&wrapper), &[], &tcpinfo)?;
    let transcript = &stopped.transcript;
    ensure!(transcript.contains("capturing lo, wan0"), "{transcript}");
    Ok(())
}

#[test]
fn the_command_line_wins_over_the_environment() -> Result<()> {
    let lab = Lab::beside_others()?;
    let refused_with = |variable: &str, arguments: &[&str]| {
        let mut command = Command::new(executable()?);
        let (name, value) = variable.split_once('=').context("no variable")?;
        command.args(arguments).env(name, value);
        refused(&lab, &mut command, 2)
    };
    // The refusal shows which value was used.
    let wait = "-uuidwaitduration=41s";
    let lines = refused_with("CAPTUREDURATION=40s", &[wait])?.concat();
    ensure!(lines.contains("--captureduration (40s)"), "{lines}");
    let lines = refused_with("CAPTUREDURATION=40s", &[wait, "-captureduration=35s"])?.concat();
    ensure!(lines.contains("--captureduration (35s)"), "{lines}");
    let lines = refused_with("PACKET_HEADERS_FORMAT=pdf", &[])?.concat();
    ensure!(lines.contains("'pdf'"), "{lines}");
    Ok(())
}

#[test]
fn every_line_of_a_json_log_is_an_object() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    let datadir = home.path().join("captures");
    fs::write(&datadir, "already here")?;
    let refusal = |arguments: &[&str], code: i32| {
        let mut command = Command::new(executable()?);
        command
            .arg("-log-format=json")
            .arg("-datadir")
            .arg(&datadir);
        let lines = refused(&lab, command.args(arguments), code)?;
        one_line(&lines, &[])?;
        message(&lines[0])
    };
    let text = refusal(&[], 1)?;
    ensure!(text.contains(&*datadir.to_string_lossy()), "{text}");
    let text = refusal(&["-captureduration=1s"], 2)?;
    ensure!(
        text.starts_with("--uuidwaitduration (5s) must not"),
        "{text}"
    );
    let text = refusal(&["--no-such-flag"], 2)?;
    ensure!(text.contains("--no-such-flag"), "{text}");

    let daemon = Daemon::start(&lab, &["-log-format=json", "-sigtermwait=2s"])?;
    traffic::run(&lab, &Plan::mixed(2), &())?;
    let stopped = daemon.stop()?;
    // Of both streams: a container's log has them mixed.
    let lines = stopped.transcript.lines();
    let lines = lines.filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("stderr: ")
            .or_else(|| line.strip_prefix("stdout: "))
    });
    let messages = lines.map(message).collect::<Result<Vec<_>>>()?;
    for begin in [
        "--sigtermwait has no effect",
        "attached to wan0",
        "capturing wan0",
        "the first file is ",
        "accounts",
    ] {
        let found = messages.iter().filter(|message| message.starts_with(begin));
        ensure!(found.count() == 1, "{begin}: {messages:#?}");
    }
    Ok(())
}

/// The message of a line that is a JSON object with a time and a level.
fn message(line: &str) -> Result<String> {
    let object: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
    let text = |key: &str| {
        object
            .get(key)
            .and_then(Value::as_str)
            .context(line.to_owned())
    };
    text("timestamp")?.parse::<jiff::Timestamp>()?;
    ensure!(
        ["INFO", "WARN", "ERROR"].contains(&text("level")?),
        "{line}"
    );
    Ok(text("message")?.to_owned())
}
