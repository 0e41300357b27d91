//! What a kernel's run says of itself, read from its console.

use std::fmt;

use anyhow::Result;

/// What begins the line with the kernel's release.
pub(super) const KERNEL: &str = "@@ kernel ";
/// What begins the line of a fact: a test's name, a tab, and what the daemon said.
pub(super) const FACT: &str = "@@ fact ";
/// The last line.
pub(super) const END: &str = "@@ end";

/// What came of the tests on one kernel.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    kernel: String,
    passed: Vec<String>,
    failed: Vec<String>,
    facts: Vec<String>,
    ended: bool,
}

impl Report {
    /// Reads a console; the kernel's own lines may be among ours.
    pub(super) fn read(console: &str) -> Self {
        let mut report = Self::default();
        for line in console.lines().map(str::trim_end) {
            // The firmware leaves the cursor in the first line.
            if let Some((_, kernel)) = line.split_once(KERNEL) {
                report.kernel = kernel.to_owned();
            } else if let Some(fact) = line.strip_prefix(FACT) {
                report.facts.push(fact.replace('\t', ": "));
            } else if line == END {
                report.ended = true;
            } else if let Some((name, outcome)) = outcome(line) {
                let passed = outcome.starts_with("ok");
                let list = if passed {
                    &mut report.passed
                } else {
                    &mut report.failed
                };
                list.push(name.to_owned());
            }
        }
        report
    }

    /// Adds what was checked outside of the kernel's run.
    pub(super) fn add(&mut self, name: &str, outcome: Result<()>) {
        match outcome {
            Ok(()) => self.passed.push(name.to_owned()),
            Err(error) => self.failed.push(format!("{name}: {error:#}")),
        }
    }

    /// Whether there were tests, all passed, and the run came to its end.
    pub(super) fn passed(&self) -> bool {
        self.ended && self.failed.is_empty() && !self.passed.is_empty()
    }
}

/// The test's name and what came of it in libtest's `test NAME ... ok`.
fn outcome(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("test ")?.split_once(" ... ")
}

/// What a machine's console would be, for a run without one.
pub(super) fn console(kernel: &str, tests: &str, facts: &str) -> String {
    let facts = facts.lines().map(|fact| format!("{FACT}{fact}\n"));
    let facts: String = facts.collect();
    format!("{KERNEL}{kernel}\n{tests}\n{facts}{END}\n")
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.passed.len() + self.failed.len();
        let verdict = if self.passed() { "ok" } else { "FAILED" };
        let (kernel, passed) = (&self.kernel, self.passed.len());
        writeln!(out, "{kernel}: {verdict}, {passed} of {all} tests passed")?;
        for failed in &self.failed {
            writeln!(out, "  failed: {failed}")?;
        }
        if !self.ended {
            writeln!(out, "  it did not come to its end")?;
        }
        for fact in &self.facts {
            writeln!(out, "  {fact}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_passes_when_every_test_did_and_it_came_to_its_end() {
        let console =
            "[    0.1] noise\r\n\x1b[2J@@ kernel 5.10.0\r\ntest a ... ok\r\n@@ fact a\tby X\r\n";
        let cut = Report::read(console);
        assert!(!cut.passed());
        let whole = Report::read(&format!("{console}@@ end\r\n"));
        assert!(whole.passed());
        assert_eq!(
            whole.to_string(),
            "5.10.0: ok, 1 of 1 tests passed\n  a: by X\n"
        );
        let failed = Report::read(&format!("{console}test b ... FAILED\n@@ end\n"));
        assert!(!failed.passed());
        assert!(failed.to_string().contains("  failed: b\n"));
        assert!(!Report::read("@@ end\n").passed(), "without tests");
    }

    #[test]
    fn a_run_without_a_machine_reads_the_same() {
        let report = Report::read(&console("6.18\n", "test a ... ok\n", "a\tby X\n"));
        assert!(report.passed());
        assert_eq!(report.facts, ["a: by X"]);
        assert_eq!(report.kernel, "6.18");
    }
}
