//! What is captured, and what is not although it was, for readiness and metrics.

use std::sync::{Arc, Mutex, PoisonError};

use model::Count;

/// What programs are attached to now. Cheap to clone: clones share one state.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attached(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    now: Mutex<Now>,
    interfaces_lost: Count,
    sockets_lost: Count,
}

#[derive(Debug, Clone, Default)]
struct Now {
    names: Vec<String>,
    missing: Vec<Missing>,
}

/// What programs were attached to until others detached them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The interface, or `None` for the sockets of this host.
    pub(crate) interface: Option<String>,
    /// What happened, in words.
    pub(crate) why: String,
}

impl Attached {
    /// The names of the captured interfaces, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        self.read().names
    }

    /// What programs are to be attached to again.
    pub(crate) fn missing(&self) -> Vec<Missing> {
        self.read().missing
    }

    /// How often others detached our programs from an interface.
    pub(crate) fn interfaces_lost(&self) -> u64 {
        self.0.interfaces_lost.get()
    }

    /// How often others detached the program that watches sockets.
    pub(crate) fn sockets_lost(&self) -> u64 {
        self.0.sockets_lost.get()
    }

    /// Replaces what is captured and what is missing.
    pub(crate) fn set<'a>(&self, names: impl Iterator<Item = &'a str>, missing: Vec<Missing>) {
        let mut names: Vec<_> = names.map(str::to_owned).collect();
        names.sort_unstable();
        *self.0.now.lock().unwrap_or_else(PoisonError::into_inner) = Now { names, missing };
    }

    /// Counts a loss.
    pub(super) fn lose(&self, missing: &Missing) {
        match missing.interface {
            Some(_) => self.0.interfaces_lost.add(1),
            None => self.0.sockets_lost.add(1),
        }
    }

    fn read(&self) -> Now {
        let now = self.0.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.clone()
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = self.interface.as_deref().unwrap_or("sockets");
        write!(out, "{place} ({})", self.why)
    }
}
