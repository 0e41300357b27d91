//! All findings, as text and as JSON.

use std::fmt;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::finding::{Group, State};

/// All findings.
#[derive(Debug)]
pub(super) struct Report(pub(super) Vec<Group>);

impl Report {
    /// How many problems there are.
    pub(super) fn problems(&self) -> usize {
        let findings = self.0.iter().flat_map(|group| &group.findings);
        findings.filter(|f| f.state == State::Problem).count()
    }

    /// One JSON object: the number of problems, and the groups with their findings.
    pub(super) fn as_json(&self) -> Result<String> {
        let report = json!({"problems": self.problems(), "groups": self.0});
        serde_json::to_string_pretty(&report).context("writing JSON")
    }
}

/// The width of the column of names.
const NAMES: usize = 20;

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for group in self.0.iter().filter(|group| !group.findings.is_empty()) {
            writeln!(out, "{}", group.about)?;
            for finding in &group.findings {
                let state = match finding.state {
                    State::Ok => "ok",
                    State::Note => "note",
                    State::Problem => "problem",
                };
                writeln!(
                    out,
                    "  {state:<8} {:<NAMES$} {}",
                    finding.name, finding.found
                )?;
                if let Some(help) = &finding.help {
                    writeln!(out, "           do: {help}")?;
                }
            }
        }
        match self.problems() {
            0 => write!(out, "no problems: a capture with these flags works here"),
            1 => write!(out, "1 problem"),
            problems => write!(out, "{problems} problems"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut kernel = Group::new("kernel");
        kernel.ok("version", "Linux 6.18.44");
        kernel.note("JIT", "off", "turn it on");
        let mut files = Group::new("files");
        files.problem("data directory", "/data is read-only", "remount it");
        Report(vec![kernel, Group::new("nothing"), files])
    }

    #[test]
    fn a_line_each_and_what_to_do_below_it() {
        let text = "kernel\n  \
                    ok       version              Linux 6.18.44\n  \
                    note     JIT                  off\n           \
                    do: turn it on\n\
                    files\n  \
                    problem  data directory       /data is read-only\n           \
                    do: remount it\n\
                    1 problem";
        assert_eq!(report().to_string(), text);
    }

    #[test]
    fn json_has_the_same_findings() {
        let json: serde_json::Value = serde_json::from_str(&report().as_json().unwrap()).unwrap();
        assert_eq!(json["problems"], 1);
        let finding = &json["groups"][2]["findings"][0];
        assert_eq!(json["groups"][2]["about"], "files");
        assert_eq!(finding["name"], "data directory");
        assert_eq!(finding["state"], "problem");
        assert_eq!(finding["found"], "/data is read-only");
        assert_eq!(finding["do"], "remount it");
        assert!(json["groups"][0]["findings"][0]["do"].is_null());
    }

    #[test]
    fn without_a_problem_it_says_that_one_can_capture() {
        let mut report = report();
        report.0.pop();
        assert_eq!(report.problems(), 0);
        assert!(
            report
                .to_string()
                .ends_with("a capture with these flags works here")
        );
    }
}
