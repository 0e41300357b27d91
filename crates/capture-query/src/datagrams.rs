//! Takes the UDP packets of a capture apart into flows.
//!
//! A flow is a four-tuple from its first packet. Its row is finished, in the capture's time,
//!
//! - when it has been silent for [`SILENCE`], which is how long the daemon waits unless it is told otherwise,
//! - when [`MOST`] are open: that which has been silent for longest. It is counted, as a later packet of it makes
//!   another row.
//! - at the capture's end.

use std::net::SocketAddr;

use flow_stats::{Datagram, Datagrams};
use lru::LruCache;

use crate::ends::Ends;
use crate::flow::{Added, Numbers, Open, Taken};

/// How long a flow may be silent, in nanoseconds of the capture's time.
const SILENCE: i64 = 30_000_000_000;

/// How many flows may be open at once. Each takes half a KiB, or up to ten if it is a busy QUIC connection.
const MOST: usize = 65_536;

/// How many QUIC servers are remembered.
const SERVERS: usize = 16_384;

/// How often, in nanoseconds of the capture's time, it is looked who has been silent for too long.
const LOOK: i64 = 1_000_000_000;

/// The UDP flows of a capture that are open.
#[derive(Debug)]
pub(crate) struct DatagramFlows {
    /// Each by its last packet.
    open: LruCache<Ends, Box<Open<Datagrams>>, hashbrown::DefaultHashBuilder>,
    /// Ends that have answered a handshake of QUIC, each by when it did so last.
    servers: LruCache<SocketAddr, (), hashbrown::DefaultHashBuilder>,
    looked: i64,
    most: usize,
    /// Whether somebody else has told the flow from others already.
    is_of_one: bool,
    /// How many were finished early, because too many were open.
    pub(crate) early: u64,
}

impl DatagramFlows {
    /// None yet. In the file of one flow, no silence ends it; and as such files have of its packets what the daemon
    /// keeps, payload that is there is of QUIC.
    pub(crate) fn new(is_of_one: bool) -> Self {
        Self::with_most(is_of_one, MOST)
    }

    fn with_most(is_of_one: bool, most: usize) -> Self {
        let hasher = hashbrown::DefaultHashBuilder::default;
        Self {
            open: LruCache::unbounded_with_hasher(hasher()),
            servers: LruCache::unbounded_with_hasher(hasher()),
            looked: i64::MIN,
            most,
            is_of_one,
            early: 0,
        }
    }

    /// Adds a packet of this time. Flows that are finished by it are given to `finish`.
    pub(crate) fn add<E>(
        &mut self,
        time: i64,
        datagram: &Datagram<'_>,
        numbers: &mut Numbers,
        finish: &mut impl FnMut(Taken) -> Result<(), E>,
    ) -> Result<Added, E> {
        if !self.is_of_one && time.saturating_sub(self.looked) > LOOK {
            self.looked = time;
            self.finish_silent(time, finish)?;
        }
        let ends = Ends::of(datagram.ends());
        if let Some(known) = self.open.get_mut(&ends)
            && (self.is_of_one || !is_silent(known.last, time))
        {
            known.last = known.last.max(time);
            let added = Added {
                number: known.number,
                is_first: false,
            };
            if known.figures.judge(datagram).answers {
                self.remember(datagram.ends().0);
            }
            return Ok(added);
        }
        let before = match self.open.pop(&ends) {
            None if self.open.len() >= self.most => {
                self.early += 1;
                self.open.pop_lru().map(|(_, oldest)| oldest)
            }
            before => before,
        };
        if let Some(before) = before {
            finish(Taken::Datagrams(before))?;
        }
        Ok(self.begin((time, ends), datagram, numbers))
    }

    fn begin(
        &mut self,
        (time, ends): (i64, Ends),
        datagram: &Datagram<'_>,
        numbers: &mut Numbers,
    ) -> Added {
        let is_to_quic = self.is_of_one || self.servers.contains(&datagram.ends().1);
        let number = numbers.next();
        let open = Open {
            number,
            figures: Datagrams::new(datagram, is_to_quic),
            last: time,
        };
        self.open.put(ends, Box::new(open));
        Added {
            number,
            is_first: true,
        }
    }

    fn remember(&mut self, server: SocketAddr) {
        self.servers.put(server, ());
        if self.servers.len() > SERVERS {
            self.servers.pop_lru();
        }
    }

    fn finish_silent<E>(
        &mut self,
        now: i64,
        finish: &mut impl FnMut(Taken) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some((_, oldest)) = self.open.peek_lru()
            && is_silent(oldest.last, now)
            && let Some((_, oldest)) = self.open.pop_lru()
        {
            finish(Taken::Datagrams(oldest))?;
        }
        Ok(())
    }

    /// All that are open.
    pub(crate) fn into_rest(mut self) -> Vec<Taken> {
        let mut rest = Vec::with_capacity(self.open.len());
        while let Some((_, open)) = self.open.pop_lru() {
            rest.push(Taken::Datagrams(open));
        }
        rest
    }
}

fn is_silent(last: i64, now: i64) -> bool {
    now.saturating_sub(last) >= SILENCE
}

#[cfg(test)]
mod tests;
