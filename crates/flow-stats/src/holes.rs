//! Which sequence numbers of one end have been seen, and which were left out.

/// The most holes that are told apart. More than a few are rare: a hole is where packets are missing.
const MOST: usize = 64;

/// A range of sequence numbers that was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hole {
    start: u64,
    end: u64,
    /// When it was passed over.
    pub(crate) since: i64,
    /// The timestamp of the packet that passed over it.
    pub(crate) timestamp: Option<u32>,
}

/// Where the sequence numbers of one end begin and end, and the holes between.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    low: u64,
    next: u64,
    /// Whether there is nothing before `low`: the connection began there.
    from_start: bool,
    /// When the first number was seen, and with which timestamp.
    first: (i64, Option<u32>),
    /// From low to high.
    holes: Vec<Hole>,
    /// Sequence numbers in holes that are no longer told apart.
    forgotten: u64,
}

/// What a packet's sequence numbers were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Covered {
    /// How many were seen before.
    pub(crate) again: u64,
    /// The first hole that it filled, wholly or in part.
    pub(crate) hole: Option<Hole>,
}

impl Seen {
    /// Nothing is seen yet; the first number will be `start`, at `first`: a time and a timestamp.
    pub(crate) fn new(start: u64, first: (i64, Option<u32>)) -> Self {
        Self::after(0, start, first)
    }

    /// The same, where so many numbers have been missing before.
    pub(crate) fn after(missing: u64, start: u64, first: (i64, Option<u32>)) -> Self {
        Self {
            low: start,
            next: start,
            from_start: false,
            first,
            holes: Vec::new(),
            forgotten: missing,
        }
    }

    /// The one behind the highest number that was seen or acknowledged.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The lowest number.
    pub(crate) fn low(&self) -> u64 {
        self.low
    }

    /// Whether a SYN with the number `start` may be the one that everything else followed.
    pub(crate) fn may_begin_at(&self, start: u64, reach: u64) -> bool {
        start == self.low || (!self.from_start && start < self.low && self.low - start <= reach)
    }

    /// There is nothing before the lowest number.
    pub(crate) fn begin(&mut self) {
        self.from_start = true;
    }

    /// How many numbers have been passed over, and not been seen since.
    pub(crate) fn missing(&self) -> u64 {
        let open = self.holes.iter().map(|hole| hole.end - hole.start);
        open.sum::<u64>().saturating_add(self.forgotten)
    }

    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.holes.capacity() * size_of::<Hole>()
    }

    /// Numbers up to `end` are not seen, but known to have been sent.
    pub(crate) fn pass_over(&mut self, end: u64, since: i64, timestamp: Option<u32>) {
        if end <= self.next {
            return;
        }
        let start = self.next;
        self.next = end;
        if let Some(last) = self.holes.last_mut()
            && last.end == start
        {
            last.end = end;
            return;
        }
        let at = self.holes.len();
        self.insert(
            at,
            Hole {
                start,
                end,
                since,
                timestamp,
            },
        );
    }

    /// A packet has the numbers from `start` up to `end`.
    pub(crate) fn cover(
        &mut self,
        (start, end): (u64, u64),
        now: i64,
        timestamp: Option<u32>,
    ) -> Covered {
        if start >= self.next {
            self.pass_over(start, now, timestamp);
            self.next = end;
            return Covered::default();
        }
        let mut covered = Covered::default();
        let low = self.low;
        if start < low {
            if self.from_start {
                covered.again = end.min(low) - start;
            } else {
                covered.hole = Some(self.begin_lower((start, end)));
            }
        }
        let (from, to) = (start.max(low), end.min(self.next));
        if from < to {
            covered.again += to - from - self.fill((from, to), &mut covered.hole);
        }
        self.next = self.next.max(end);
        covered
    }

    /// The numbers begin at `start` instead. Returns what was missing there.
    fn begin_lower(&mut self, (start, end): (u64, u64)) -> Hole {
        let (low, (since, timestamp)) = (self.low, self.first);
        self.low = start;
        if end < low {
            self.insert(
                0,
                Hole {
                    start: end,
                    end: low,
                    since,
                    timestamp,
                },
            );
        }
        Hole {
            start,
            end: low,
            since,
            timestamp,
        }
    }

    /// Takes `from` up to `to` out of the holes; returns how much of it was missing.
    fn fill(&mut self, (from, to): (u64, u64), first: &mut Option<Hole>) -> u64 {
        let mut filled = 0;
        let mut at = self.holes.partition_point(|hole| hole.end <= from);
        while let Some(&hole) = self.holes.get(at)
            && hole.start < to
        {
            first.get_or_insert(hole);
            filled += hole.end.min(to) - hole.start.max(from);
            match (hole.start < from, hole.end > to) {
                (false, false) => {
                    self.holes.remove(at);
                }
                (false, true) => {
                    self.holes[at].start = to;
                    break;
                }
                (true, false) => {
                    self.holes[at].end = from;
                    at += 1;
                }
                (true, true) => {
                    self.holes[at].end = from;
                    self.insert(at + 1, Hole { start: to, ..hole });
                    break;
                }
            }
        }
        filled
    }

    /// Makes room where there is none by forgetting the lowest hole: it is the least likely to be filled.
    fn insert(&mut self, mut at: usize, hole: Hole) {
        if self.holes.len() == MOST {
            let lowest = self.holes.remove(0);
            self.forgotten = self.forgotten.saturating_add(lowest.end - lowest.start);
            at = at.saturating_sub(1);
        }
        self.holes.insert(at, hole);
    }
}
