//! Intrusive queues: connections are linked through fields of their own, so that one can leave from
//! anywhere in constant time, and joining takes no memory.

use slab::Slab;

use super::Id;
use super::connection::Connection;

/// A connection's neighbours in the queue that it is in.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Links {
    before: Option<Id>,
    behind: Option<Id>,
}

#[cfg(test)]
impl Links {
    /// The next connection of the queue.
    pub(super) const fn behind(self) -> Option<Id> {
        self.behind
    }
}

/// First in, first out.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Queue {
    first: Option<Id>,
    last: Option<Id>,
}

impl Queue {
    /// The connection that joined first.
    pub(super) const fn first(&self) -> Option<Id> {
        self.first
    }

    /// Joins at the end. The connection must be in no queue.
    pub(super) fn join(&mut self, slots: &mut Slab<Box<Connection>>, id: Id) {
        slots[id.slot()].links = Links {
            before: self.last,
            behind: None,
        };
        match self.last {
            Some(last) => slots[last.slot()].links.behind = Some(id),
            None => self.first = Some(id),
        }
        self.last = Some(id);
    }

    /// Leaves. The connection must be in this queue.
    pub(super) fn leave(&mut self, slots: &mut Slab<Box<Connection>>, id: Id) {
        let Links { before, behind } = std::mem::take(&mut slots[id.slot()].links);
        match before {
            Some(before) => slots[before.slot()].links.behind = behind,
            None => self.first = behind,
        }
        match behind {
            Some(behind) => slots[behind.slot()].links.before = before,
            None => self.last = before,
        }
    }
}
