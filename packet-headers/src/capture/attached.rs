//! Which interfaces are captured now, for those who only want to know.

use std::sync::{Arc, Mutex, PoisonError};

/// The names of the interfaces that are captured now. Cheap to clone: all clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attached(Arc<Mutex<Vec<String>>>);

impl Attached {
    /// The names, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.clone()
    }

    /// Takes over what is captured now.
    pub(super) fn set<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut now: Vec<_> = names.map(str::to_owned).collect();
        now.sort_unstable();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}
