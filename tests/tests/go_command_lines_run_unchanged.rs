//! Promise: the command line of a deployed Go packet-headers, or the same in its environment, runs
//! this one unchanged; and what it logs can be had as JSON.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::capture;
use end_to_end::peers::daemon::{Daemon, executable};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::refusal::{one_line, refused};
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::peers::tcpinfo::{StandIn, uuid};
use end_to_end::traffic::{self, Plan};
use end_to_end::world::netns::{self, Lab};
use serde_json::Value;
use tempfile::TempDir;

/// What the daemon says of flags without effect.
const NO_EFFECT: &str = "has no effect";

/// A tcp-info, and where the daemon finds it.
fn tcpinfo(home: &Path) -> Result<(StandIn, String)> {
    let path = home.join("tcpevents.sock");
    let mut tcpinfo = StandIn::unix(&path);
    tcpinfo.listen()?;
    Ok((tcpinfo, path.to_string_lossy().into_owned()))
}

/// An address of the lab's host, where nobody listens.
fn listen_address() -> String {
    let [address, _] = netns::first(0);
    format!("{address}:9993")
}

/// The arguments of a deployment, with places of the test's own.
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

/// The environment that says the same as these arguments: its variables, and what would be a flag if
/// any variable could.
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
    let strangers = others.into_iter().chain(links).map(str::to_owned);
    variables.chain(strangers).collect()
}

/// Captures connections that tcp-info announces, and compares their files. What has no effect is said
/// once.
fn capture_and_compare(
    lab: &Lab,
    tcpinfo: &StandIn,
    start: impl Fn() -> Result<Daemon>,
) -> Result<()> {
    let tcpdump = Tcpdump::start(&lab.host, 0)?;
    let daemon = start()?;
    tcpinfo.wait_for_client(1)?;
    let connections = traffic::run(lab, &Plan::mixed(10), tcpinfo)?;
    let (stopped, _) = capture::conclude(daemon, tcpdump, &connections, uuid)?;
    let transcript = &stopped.transcript;
    for flag in ["--stream", "--maxidleram"] {
        let said = |line: &&str| line.contains(flag) && line.contains(NO_EFFECT);
        ensure!(
            transcript.lines().filter(said).count() == 1,
            "{flag}: {transcript}"
        );
    }
    ensure!(transcript.matches(NO_EFFECT).count() == 2, "{transcript}");
    Ok(())
}

#[test]
fn its_arguments_are_taken_as_they_are() -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let (tcpinfo, events) = tcpinfo(home.path())?;
    let data = home.path().join("captures");
    let arguments = deployment(&data.to_string_lossy(), &events);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let launch = Launch::new(&lab).on(&[]).without_prefix().without_datadir();
    let launch = launch.within(home.path());
    capture_and_compare(&lab, &tcpinfo, || launch.start(&arguments))
}

#[test]
fn its_environment_says_the_same() -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let (tcpinfo, events) = tcpinfo(home.path())?;
    let data = home.path().join("captures");
    let variables = environment(&deployment(&data.to_string_lossy(), &events));
    let several = "INTERFACE=lo,wan0";
    let wrapper: Vec<_> = ["env", several]
        .into_iter()
        .chain(variables.iter().map(String::as_str))
        .collect();
    let launch = Launch::new(&lab).on(&[]).without_prefix().without_datadir();
    let launch = launch.within(home.path()).by(&wrapper);
    capture_and_compare(&lab, &tcpinfo, || {
        let daemon = launch.start(&[])?;
        let said = daemon.transcript();
        ensure!(said.contains("capturing lo, wan0"), "{said}");
        Ok(daemon)
    })
}

#[test]
fn the_command_line_wins_over_the_environment() -> Result<()> {
    let lab = Lab::new()?;
    let refused_with = |variable: &str, arguments: &[&str]| {
        let mut command = Command::new(executable()?);
        let (name, value) = variable.split_once('=').context("no variable")?;
        command.args(arguments).env(name, value);
        refused(&lab, &mut command, 2)
    };
    // The refusal shows what was taken.
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
    let lab = Lab::new()?;
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
    let said = refusal(&[], 1)?;
    ensure!(said.contains(&*datadir.to_string_lossy()), "{said}");
    let said = refusal(&["-captureduration=1s"], 2)?;
    ensure!(
        said.starts_with("--uuidwaitduration (5s) must not"),
        "{said}"
    );

    let daemon = Daemon::start(&lab, &["-log-format=json", "-sigtermwait=2s"])?;
    traffic::run(&lab, &Plan::mixed(2), &())?;
    let stopped = daemon.stop()?;
    let lines = stopped.transcript.lines();
    let messages: Result<Vec<_>> = lines
        .filter_map(|line| line.trim_start().strip_prefix("stderr: "))
        .map(message)
        .collect();
    let messages = messages?;
    for begin in ["--sigtermwait has no effect", "attached to wan0"] {
        let found = messages.iter().filter(|message| message.starts_with(begin));
        ensure!(found.count() == 1, "{begin}: {messages:#?}");
    }
    Ok(())
}

/// The message of a line that is a JSON object, which has a time and a level as well.
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
