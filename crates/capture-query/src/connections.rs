//! Takes a capture apart into connections.
//!
//! A connection is a four-tuple from its first packet, or from a SYN that begins another one on it.
//! Its row is finished, in the capture's time,
//!
//! - when a SYN begins the next connection on its four-tuple,
//! - when it has been silent for [`SILENCE`],
//! - when [`MOST`] are open: first the one that has ended and been silent for longest, then the one
//!   that has been silent for longest. The latter is counted, as a later packet of it makes another row.
//! - at the capture's end.

use flow_stats::{Connection, IcmpError, Segment};
use lru::LruCache;

use crate::ends::Ends;
use crate::flow::{Added, Numbers, Open, Taken};

/// How long a connection may be silent, in nanoseconds of the capture's time. Linux sends keep-alive
/// probes after two hours, if at all; most that are silent for an hour will stay so.
const SILENCE: i64 = 3_600_000_000_000;

/// How many connections may be open at once. Each takes two KiB, or up to ten if it is a busy one.
const MOST: usize = 65_536;

/// How often, in nanoseconds of the capture's time, it is looked who has been silent for too long.
const LOOK: i64 = 1_000_000_000;

/// The connections of a capture that are open.
#[derive(Debug)]
pub(crate) struct Connections {
    /// Those that have not ended, and those that have, each by its last packet.
    open: LruCache<Ends, Box<Open<Connection>>, hashbrown::DefaultHashBuilder>,
    ended: LruCache<Ends, Box<Open<Connection>>, hashbrown::DefaultHashBuilder>,
    looked: i64,
    most: usize,
    /// Whether a SYN can begin another connection on a four-tuple.
    may_succeed: bool,
    /// How many were finished early, because too many were open.
    pub(crate) early: u64,
}

impl Connections {
    /// None yet. In the file of one connection, which somebody else has told from others already, no
    /// SYN begins another one.
    pub(crate) fn new(is_of_one: bool) -> Self {
        Self::with_most(is_of_one, MOST)
    }

    fn with_most(is_of_one: bool, most: usize) -> Self {
        let cache = || LruCache::unbounded_with_hasher(hashbrown::DefaultHashBuilder::default());
        Self {
            open: cache(),
            ended: cache(),
            looked: i64::MIN,
            most,
            may_succeed: !is_of_one,
            early: 0,
        }
    }

    /// Adds a segment of this time. Connections that are finished by it are given to `finish`.
    #[inline]
    pub(crate) fn add<E>(
        &mut self,
        time: i64,
        segment: &Segment,
        numbers: &mut Numbers,
        finish: &mut impl FnMut(Taken) -> Result<(), E>,
    ) -> Result<Added, E> {
        if time.saturating_sub(self.looked) > LOOK {
            self.looked = time;
            self.finish_silent(time, finish)?;
        }
        let ends = Ends::of(segment.ends());
        let open = self.open.get_mut(&ends);
        let known = match open {
            Some(known) => known,
            None if self.ended.is_empty() => {
                return self.begin((time, ends), segment, numbers, finish);
            }
            None => match self.ended.get_mut(&ends) {
                Some(known) => known,
                None => return self.begin((time, ends), segment, numbers, finish),
            },
        };
        if self.may_succeed && known.figures.is_succeeded_by(segment) {
            let before = self.open.pop(&ends).or_else(|| self.ended.pop(&ends));
            if let Some(before) = before {
                finish(Taken::Connection(before))?;
            }
            return self.begin((time, ends), segment, numbers, finish);
        }
        known.last = known.last.max(time);
        let had_ended = known.figures.has_ended();
        known.figures.add(segment);
        let number = known.number;
        if !had_ended
            && known.figures.has_ended()
            && let Some(known) = self.open.pop(&ends)
        {
            self.ended.put(ends, known);
        }
        Ok(Added {
            number,
            is_first: false,
        })
    }

    /// Adds an ICMP error about a connection that is open. Returns the number of that, if there is one. Such an
    /// error begins none, and none stays open for it: anybody can forge it.
    #[cold]
    pub(crate) fn add_error(&mut self, error: &IcmpError) -> Option<u64> {
        let ends = Ends::of(error.ends());
        let open = self.open.peek_mut(&ends);
        let known = match open {
            Some(known) => known,
            None => self.ended.peek_mut(&ends)?,
        };
        let _whose = known.figures.add_error(error);
        Some(known.number)
    }

    #[cold]
    fn begin<E>(
        &mut self,
        (time, ends): (i64, Ends),
        segment: &Segment,
        numbers: &mut Numbers,
        finish: &mut impl FnMut(Taken) -> Result<(), E>,
    ) -> Result<Added, E> {
        if self.open.len() + self.ended.len() >= self.most {
            let oldest = self.ended.pop_lru().or_else(|| {
                self.early += 1;
                self.open.pop_lru()
            });
            if let Some((_, oldest)) = oldest {
                finish(Taken::Connection(oldest))?;
            }
        }
        let number = numbers.next();
        let connection = Connection::new(segment);
        let of = if connection.has_ended() {
            &mut self.ended
        } else {
            &mut self.open
        };
        of.put(
            ends,
            Box::new(Open {
                number,
                figures: connection,
                last: time,
            }),
        );
        Ok(Added {
            number,
            is_first: true,
        })
    }

    fn finish_silent<E>(
        &mut self,
        now: i64,
        finish: &mut impl FnMut(Taken) -> Result<(), E>,
    ) -> Result<(), E> {
        for of in [&mut self.ended, &mut self.open] {
            while let Some((_, oldest)) = of.peek_lru()
                && now.saturating_sub(oldest.last) > SILENCE
                && let Some((_, oldest)) = of.pop_lru()
            {
                finish(Taken::Connection(oldest))?;
            }
        }
        Ok(())
    }

    /// All that are open.
    pub(crate) fn into_rest(mut self) -> Vec<Taken> {
        let mut rest = Vec::with_capacity(self.open.len() + self.ended.len());
        for of in [&mut self.ended, &mut self.open] {
            while let Some((_, open)) = of.pop_lru() {
                rest.push(Taken::Connection(open));
            }
        }
        rest
    }
}

#[cfg(test)]
mod tests;
