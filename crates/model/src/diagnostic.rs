//! Problems that keep the daemon from capturing: one sentence for its log, two parts for the doctor.

/// A problem that must be fixed before the daemon can capture.
///
/// Each text exists once: the daemon and the doctor print the same value.
///
/// ```
/// use model::Diagnostic;
///
/// let found = Diagnostic::new("this kernel has no TCX links", "use --attach netlink");
/// assert_eq!(found.to_string(), "this kernel has no TCX links: use --attach netlink");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}: {help}")]
pub struct Diagnostic {
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub help: String,
}

impl Diagnostic {
    /// A problem and what to do about it.
    pub fn new(problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            help: help.into(),
        }
    }
}
