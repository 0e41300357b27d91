//! The doctor, which says what is wrong with this machine.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::world::netns::Lab;
use crate::world::process::{Process, Stream};

/// What the doctor printed.
#[derive(Debug)]
pub struct Findings(Vec<Finding>);

#[derive(Debug)]
struct Finding {
    name: String,
    state: String,
    problem: String,
    help: String,
}

impl Findings {
    fn parse(json: &str) -> Result<Self> {
        let json: Value = serde_json::from_str(json)?;
        let list = |value: &Value| value.as_array().cloned().context("no list");
        let mut findings = Vec::new();
        for group in list(&json["groups"])? {
            for finding in list(&group["findings"])? {
                let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
                findings.push(Finding {
                    name: text("name"),
                    state: text("state"),
                    problem: text("found"),
                    help: text("do"),
                });
            }
        }
        let problems = findings.iter().filter(|f| f.state == "problem").count();
        ensure!(json["problems"] == problems, "{json:#}");
        Ok(Self(findings))
    }

    /// Checks that there is a finding with this name and state, whose text contains these words.
    ///
    /// # Errors
    /// There is none.
    pub fn says(&self, name: &str, state: &str, words: &[&str]) -> Result<()> {
        let found = self.0.iter().any(|finding| {
            let all = format!("{} {}", finding.problem, finding.help);
            finding.name == name
                && finding.state == state
                && words.iter().all(|word| all.contains(word))
        });
        ensure!(found, "no {state} {name} with {words:?}: {self:#?}");
        Ok(())
    }

    /// The names of all problems.
    #[must_use]
    pub fn problems(&self) -> Vec<&str> {
        let problems = self.0.iter().filter(|finding| finding.state == "problem");
        problems.map(|finding| finding.name.as_str()).collect()
    }
}

/// The doctor's command line.
#[must_use]
pub fn doctor(program: &Path, datadir: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.arg("doctor").arg("--datadir").arg(datadir);
    command.args(flags);
    command
}

/// Runs the doctor through `wrap`, with text and with JSON as its output: both must say the same,
/// and the exit code must agree with them.
///
/// # Errors
/// They do not, or it fails.
pub fn examine(
    lab: &Lab,
    command: &Command,
    wrap: &dyn Fn(&Command) -> Command,
) -> Result<Findings> {
    let run = |json: &[&str]| {
        let mut command = {
            let mut inner = plain(command);
            inner.args(json);
            wrap(&inner)
        };
        let mut process = Process::start(&lab.host, &mut command)?;
        let status = process.wait()?;
        let transcript = process.transcript();
        ensure!(process.lines(Stream::Err).is_empty(), "{transcript}");
        let out = process.lines(Stream::Out).join("\n");
        let code = status.code().with_context(|| transcript.clone())?;
        Ok((code, out))
    };
    let (code, json) = run(&["--json"])?;
    let report = Findings::parse(&json).context(json)?;
    ensure!(
        code == i32::from(!report.problems().is_empty()),
        "{code}: {report:#?}"
    );
    let (same_code, text) = run(&[])?;
    ensure!(same_code == code, "{same_code}: {text}");
    ensure!(!text.contains('\u{1b}'), "colours in a pipe: {text}");
    for Finding {
        name, state, help, ..
    } in &report.0
    {
        let head = format!("  {state:<8} {name} ");
        ensure!(text.contains(head.trim_end()), "no {head:?} in\n{text}");
        let help = format!("do: {help}");
        ensure!(text.contains(help.trim_end()), "no {help:?} in\n{text}");
    }
    Ok(report)
}

/// The same command, without anything around it.
#[must_use]
pub fn plain(command: &Command) -> Command {
    let mut same = Command::new(command.get_program());
    same.args(command.get_args());
    same
}
