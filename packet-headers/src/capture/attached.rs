//! The names of captured interfaces, for readiness and metrics.

use std::sync::{Arc, Mutex, PoisonError};

/// The names of the interfaces that are captured now. Cheap to clone: clones share one list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attached(Arc<Mutex<Vec<String>>>);

impl Attached {
    /// The names, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.clone()
    }

    /// Replaces the names.
    pub(crate) fn set<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut now: Vec<_> = names.map(str::to_owned).collect();
        now.sort_unstable();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}
