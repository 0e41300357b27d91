//! Which files stay open between two writes.
//!
//! Pure: no I/O.

use lru::LruCache;

/// A file that was not written for so many times as many writes as there may be open files makes
/// room for another. Before that, one more is opened for its writes only: if all files of more flows
/// than that are written in turn, none would be open when it is needed.
const PATIENCE: u64 = 4;

/// The flows whose files are open, by their last write.
#[derive(Debug)]
pub(crate) struct KeptOpen {
    /// By flow, which write was its last.
    last: LruCache<u64, u64>,
    most: usize,
    writes: u64,
    /// How many writes there had been when idle ones were looked for.
    looked: u64,
}

impl KeptOpen {
    /// For so many open files at most.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            last: LruCache::unbounded(),
            most,
            writes: 0,
            looked: 0,
        }
    }

    /// How many files are open.
    pub(crate) fn len(&self) -> usize {
        self.last.len()
    }

    /// The file of a flow has been written, and is open; the flow whose file is to be closed for that,
    /// which may be this one.
    pub(crate) fn wrote(&mut self, flow: u64) -> Option<u64> {
        self.writes += 1;
        if let Some(last) = self.last.get_mut(&flow) {
            *last = self.writes;
            return None;
        }
        let idle = if self.last.len() < self.most {
            None
        } else {
            let Some(idle) = self.pop_idle() else {
                return Some(flow);
            };
            Some(idle)
        };
        self.last.push(flow, self.writes);
        idle
    }

    /// Removes the flow whose file has not been written for longest, if that was long ago.
    fn pop_idle(&mut self) -> Option<u64> {
        let patience = PATIENCE * self.most as u64;
        let (_, last) = self.last.peek_lru()?;
        if self.writes - last <= patience {
            return None;
        }
        self.last.pop_lru().map(|(flow, _)| flow)
    }

    /// Removes the flows whose files have not been written since this was called last.
    pub(crate) fn pop_unwritten(&mut self) -> Vec<u64> {
        let looked = std::mem::replace(&mut self.looked, self.writes);
        let mut unwritten = Vec::new();
        while self
            .last
            .peek_lru()
            .is_some_and(|(_, last)| *last <= looked)
        {
            unwritten.extend(self.pop());
        }
        unwritten
    }

    /// The file of a flow is not open any more.
    pub(crate) fn closed(&mut self, flow: u64) {
        self.last.pop(&flow);
    }

    /// Removes the flow whose file has not been written for longest.
    pub(crate) fn pop(&mut self) -> Option<u64> {
        self.last.pop_lru().map(|(flow, _)| flow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the last round's writes of so many flows in turn find their file open.
    fn found_open(flows: u64, most: usize) -> usize {
        let mut kept = KeptOpen::new(most);
        let mut found = 0;
        for _ in 0..20 {
            found = 0;
            for flow in 0..flows {
                found += usize::from(kept.last.contains(&flow));
                kept.wrote(flow);
                assert!(kept.len() <= most);
            }
        }
        found
    }

    #[test]
    fn as_many_files_stay_open_as_may_though_more_are_written_in_turn() {
        assert_eq!(found_open(10, 10), 10);
        assert_eq!(found_open(11, 10), 10);
        assert_eq!(found_open(40, 10), 10);
        assert_eq!(found_open(10, 0), 0);
    }

    #[test]
    fn what_was_not_written_since_the_last_look_is_closed() {
        let mut kept = KeptOpen::new(10);
        (1..4).for_each(|flow| assert_eq!(kept.wrote(flow), None));
        assert_eq!(kept.pop_unwritten(), []);
        kept.wrote(2);
        assert_eq!(kept.pop_unwritten(), [1, 3]);
        assert_eq!(kept.len(), 1);
        assert_eq!(kept.pop_unwritten(), [2]);
    }

    #[test]
    fn a_file_that_is_not_written_any_more_makes_room() {
        let mut kept = KeptOpen::new(2);
        assert_eq!((kept.wrote(1), kept.wrote(2)), (None, None));
        let closed: Vec<_> = (0..10).filter_map(|_| kept.wrote(3)).collect();
        assert_eq!(closed, [3, 3, 3, 3, 3, 3, 3, 1]);
        kept.closed(3);
        assert_eq!((kept.len(), kept.wrote(4)), (1, None));
    }
}
