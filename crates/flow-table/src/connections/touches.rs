//! Counts how many connections are looked at: the cost of an operation, apart from the search trees
//! and hash tables that find them.

use std::cell::Cell;

#[derive(Debug, Default)]
pub(super) struct Touches(Cell<u64>);

impl Touches {
    pub(super) fn add(&self) {
        self.0.set(self.0.get() + 1);
    }
}

impl super::Connections {
    /// How many connections were looked at since the last call.
    pub(crate) fn take_touches(&self) -> u64 {
        self.touches.0.take()
    }
}
