//! Confines the daemon to what it needs from its start on: a bug that lets others run code in it shall
//! not let them read, write, start or reach anything else.
//!
//! Two mechanisms of the kernel, each for what the other cannot do: Landlock decides about files and
//! ports, seccomp about system calls. Both hold for a thread and those that it starts.

mod domain;
mod needs;
mod system_calls;

use std::fmt;
use std::thread;

use model::Diagnostic;

pub use needs::Needs;

/// A part of the sandbox, which a kernel may have or lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// System calls that a capture never makes are refused.
    SystemCalls,
    /// Only what the capture needs can be opened, made, renamed or removed.
    Files,
    /// No TCP port can be bound, and only tcp-info's can be connected.
    TcpPorts,
    /// Other processes get no signals, and their abstract Unix sockets cannot be connected.
    Processes,
}

impl Part {
    /// Every part.
    const ALL: [Self; 4] = [
        Self::SystemCalls,
        Self::Files,
        Self::TcpPorts,
        Self::Processes,
    ];
}

impl fmt::Display for Part {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::SystemCalls => "system calls",
            Self::Files => "files",
            Self::TcpPorts => "TCP ports",
            Self::Processes => "signals",
        })
    }
}

/// Parts that could not be put in force, for one reason.
#[derive(Debug, Clone)]
pub struct Lacking {
    parts: Vec<Part>,
    /// What is lacking and why, and what to do about it.
    pub diagnostic: Diagnostic,
    /// Whether the kernel is merely too old for them.
    pub is_expected: bool,
}

impl Lacking {
    /// These parts are lacking because of `why`.
    fn new(parts: Vec<Part>, why: &str, help: &str, is_expected: bool) -> Self {
        let names = list(&parts);
        let diagnostic = Diagnostic::new(format!("the sandbox leaves out {names}: {why}"), help);
        Self {
            parts,
            diagnostic,
            is_expected,
        }
    }
}

/// How this thread, and every one that it starts from now on, is confined.
#[derive(Debug, Clone)]
pub struct Confinement {
    lacking: Vec<Lacking>,
}

impl Confinement {
    /// The parts that are in force, in words.
    #[must_use]
    pub fn in_force(&self) -> String {
        let lacks = |part: &Part| self.lacking.iter().any(|one| one.parts.contains(part));
        list(
            &Part::ALL
                .into_iter()
                .filter(|part| !lacks(part))
                .collect::<Vec<_>>(),
        )
    }

    /// What is not in force.
    #[must_use]
    pub fn lacking(&self) -> &[Lacking] {
        &self.lacking
    }
}

fn list(parts: &[Part]) -> String {
    let names: Vec<_> = parts.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// Confines this thread, and every one that it starts from now on, to these needs. There is no way
/// back. What the kernel lacks is left out: capture matters more.
///
/// Call it while there is only one thread.
#[must_use]
pub fn enter(needs: &Needs) -> Confinement {
    // Landlock first: its own system calls would be refused one day by a stricter filter.
    let lacking = [domain::enter(needs), system_calls::enter(needs)];
    Confinement {
        lacking: lacking.into_iter().flatten().collect(),
    }
}

/// How a daemon would be confined on this host. A thread of its own tries it, and ends.
#[must_use]
pub fn try_out() -> Confinement {
    let tried = thread::spawn(|| enter(&Needs::default())).join();
    tried.unwrap_or_else(|_panic| Confinement {
        lacking: vec![Lacking::new(
            Part::ALL.to_vec(),
            "the thread that tried it panicked",
            "report this bug",
            false,
        )],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_not_in_force() {
        let confinement = Confinement {
            lacking: vec![Lacking::new(
                vec![Part::TcpPorts, Part::Processes],
                "this kernel is old",
                "use a newer one",
                true,
            )],
        };
        assert_eq!(confinement.in_force(), "system calls, files");
        let [lacking] = confinement.lacking() else {
            panic!("{confinement:?}")
        };
        assert_eq!(
            lacking.diagnostic.to_string(),
            "the sandbox leaves out TCP ports, signals: this kernel is old: use a newer one"
        );
    }
}
