//! What was found, in groups of things that belong together.

use anyhow::Error;
use serde::Serialize;

use model::Diagnostic;

/// Whether a capture can be had as things are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// It can.
    Ok,
    /// It can, and there is something to know.
    Note,
    /// It cannot, or much of it would be missing.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) name: String,
    pub(super) state: State,
    pub(super) found: String,
    /// What to do about it.
    #[serde(rename = "do")]
    pub(super) remedy: Option<String>,
}

/// Findings about one matter.
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

    /// Something to know about which nothing has to be done.
    pub(super) fn mention(&mut self, name: &str, found: impl Into<String>) {
        self.add(name, State::Note, found.into(), None);
    }

    pub(super) fn note(&mut self, name: &str, found: impl Into<String>, remedy: &str) {
        self.add(name, State::Note, found.into(), Some(remedy.to_owned()));
    }

    /// Something that the daemon would log, and go on.
    pub(super) fn warning(&mut self, name: &str, found: Diagnostic) {
        let Diagnostic { problem, help } = found;
        self.add(name, State::Note, problem, Some(help));
    }

    pub(super) fn problem(&mut self, name: &str, found: impl Into<String>, remedy: &str) {
        self.add(name, State::Problem, found.into(), Some(remedy.to_owned()));
    }

    /// A problem that the daemon would end with.
    pub(super) fn diagnostic(&mut self, name: &str, found: Diagnostic) {
        let Diagnostic { problem, help } = found;
        self.add(name, State::Problem, problem, Some(help));
    }

    /// A problem that the daemon would end with; the remedy if it does not say one itself.
    pub(super) fn error(&mut self, name: &str, error: &Error, remedy: &str) {
        match error.downcast_ref::<Diagnostic>() {
            Some(found) => self.diagnostic(name, found.clone()),
            None => self.problem(name, format!("{error:#}"), remedy),
        }
    }

    fn add(&mut self, name: &str, state: State, found: String, remedy: Option<String>) {
        self.findings.push(Finding {
            name: name.to_owned(),
            state,
            found,
            remedy,
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
