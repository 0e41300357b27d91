//! Findings, in groups that belong together.

use anyhow::Error;
use serde::Serialize;

use model::Diagnostic;

/// Whether a capture works as things are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// It works.
    Ok,
    /// It works, and there is something to know.
    Note,
    /// It does not work, or would miss much.
    Problem,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) name: String,
    pub(super) state: State,
    pub(super) found: String,
    /// What to do about it.
    #[serde(rename = "do")]
    pub(super) help: Option<String>,
}

/// Findings about one subject.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Group {
    pub(super) about: &'static str,
    pub(super) findings: Vec<Finding>,
}

impl Group {
    pub(super) const fn new(about: &'static str) -> Self {
        Self {
            about,
            findings: Vec::new(),
        }
    }

    pub(super) fn ok(&mut self, name: &str, found: impl Into<String>) {
        self.add(name, State::Ok, found.into(), None);
    }

    /// Something to know that needs no action.
    pub(super) fn mention(&mut self, name: &str, found: impl Into<String>) {
        self.add(name, State::Note, found.into(), None);
    }

    pub(super) fn note(&mut self, name: &str, found: impl Into<String>, help: &str) {
        self.add(name, State::Note, found.into(), Some(help.to_owned()));
    }

    /// Something that the daemon would log as a warning, and do without.
    pub(super) fn warning(&mut self, name: &str, diagnostic: Diagnostic) {
        let Diagnostic { problem, help } = diagnostic;
        self.add(name, State::Note, problem, Some(help));
    }

    pub(super) fn problem(&mut self, name: &str, found: impl Into<String>, help: &str) {
        self.add(name, State::Problem, found.into(), Some(help.to_owned()));
    }

    /// A problem that the daemon would refuse to start with.
    pub(super) fn diagnostic(&mut self, name: &str, diagnostic: Diagnostic) {
        let Diagnostic { problem, help } = diagnostic;
        self.add(name, State::Problem, problem, Some(help));
    }

    /// A problem that the daemon would refuse to start with. `help` is for errors that have none of
    /// their own.
    pub(super) fn error(&mut self, name: &str, error: &Error, help: &str) {
        match error.downcast_ref::<Diagnostic>() {
            Some(diagnostic) => self.diagnostic(name, diagnostic.clone()),
            None => self.problem(name, format!("{error:#}"), help),
        }
    }

    fn add(&mut self, name: &str, state: State, found: String, help: Option<String>) {
        self.findings.push(Finding {
            name: name.to_owned(),
            state,
            found,
            help,
        });
    }
}

#[cfg(test)]
impl Group {
    /// The one finding of this name.
    pub(super) fn the(&self, name: &str) -> &Finding {
        let mut named = self.findings.iter().filter(|finding| finding.name == name);
        let finding = named
            .next()
            .unwrap_or_else(|| panic!("no {name}: {self:?}"));
        assert!(named.next().is_none(), "two {name}: {self:?}");
        finding
    }
}
