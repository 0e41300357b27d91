//! Counts how many connections are looked at: what an operation costs, but for the search trees and
//! hash tables that find them.

use std::cell::Cell;

#[derive(Debug, Default)]
pub(super) struct Touches(Cell<u64>);

impl Touches {
    pub(super) fn add(&self) {
        self.0.set(self.0.get() + 1);
    }
}

impl super::Connections {
    /// How many connections were looked at since this was asked last.
    pub(crate) fn take_touches(&self) -> u64 {
        self.touches.0.take()
    }
}
