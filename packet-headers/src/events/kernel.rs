//! The kernel flow source: turns events of the socket program into flow events.

mod unclaimed;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use packet_headers_common::FlowKey;
use packet_headers_common::event::{Event, SocketEvent};

use self::unclaimed::Unclaimed;
use super::owners::Owners;
use super::prefix::LearnedPrefix;
use super::{EventSink, Stopped};
use crate::clock;
use crate::heartbeat::{Heartbeat, LONGEST_WAIT};
use crate::kernel::ring::RingReader;
use crate::stats::Counters;
use model::{BootNanos, Close, EventIssue, FlowEvent, Left, Open, Owner, UuidPrefix, WallClock};

/// Names and delivers the socket program's events, until `stop` is set and the ring is empty. The
/// program wakes the thread for an event; whoever sets `stop` or learns the prefix has to wake it, too.
///
/// While the prefix is unknown, the latest 64 Ki events wait. Events that are pushed out by later
/// ones, or have no prefix by the end, are counted as [`EventIssue::NoPrefix`].
///
/// # Errors
/// When the ring cannot be waited for.
pub(super) fn follow(
    mut ring: RingReader,
    mut namer: EventNamer<'_>,
    heartbeat: &Heartbeat,
    stop: &AtomicBool,
) -> Result<()> {
    loop {
        heartbeat.beat();
        let stopping = stop.load(Ordering::Acquire);
        let Ok(()) = namer.catch_up() else {
            return Ok(());
        };
        let mut event = None;
        while ring.next(|item| event = Event::parse(item)) {
            heartbeat.beat();
            let Some(event) = event.take() else {
                namer.counters.events.add(EventIssue::BadRecord, 1);
                continue;
            };
            let Ok(()) = namer.take(event) else {
                return Ok(());
            };
        }
        if stopping {
            namer.give_up();
            return Ok(());
        }
        ring.wait(LONGEST_WAIT)?;
    }
}

/// The most events that wait for the prefix. They take 12 MiB.
const WAITING: usize = 64 * 1024;

const _: () = assert!(WAITING * size_of::<Event>() <= 12 << 20);

/// Names events and delivers them, in order, as soon as there is a prefix.
pub(super) struct EventNamer<'a> {
    prefix: &'a LearnedPrefix,
    sink: &'a EventSink,
    counters: &'a Counters,
    clock: WallClock,
    /// Whose they are, if that is wanted.
    owners: Option<Owners>,
    unclaimed: Unclaimed,
    /// Events that arrived before the prefix was known, oldest first.
    waiting: VecDeque<Event>,
}

impl<'a> EventNamer<'a> {
    pub(super) fn new(
        prefix: &'a LearnedPrefix,
        sink: &'a EventSink,
        counters: &'a Counters,
    ) -> Self {
        Self {
            prefix,
            sink,
            counters,
            clock: clock::sample(),
            owners: None,
            unclaimed: Unclaimed::default(),
            waiting: VecDeque::new(),
        }
    }

    /// The same, with owners.
    pub(super) fn with(self, owners: Option<Owners>) -> Self {
        Self { owners, ..self }
    }

    /// Reads the clocks again, and delivers waiting events if the prefix is known by now.
    fn catch_up(&mut self) -> Result<(), Stopped> {
        clock::resample(&mut self.clock);
        match self.prefix.get() {
            Some(prefix) => self.deliver_waiting(prefix),
            None => Ok(()),
        }
    }

    /// Delivers an event after those that arrived before it, or lets it wait with them.
    fn take(&mut self, event: Event) -> Result<(), Stopped> {
        let Some(prefix) = self.prefix.get() else {
            self.wait(event);
            return Ok(());
        };
        self.deliver_waiting(prefix)?;
        self.deliver(&event, prefix)
    }

    fn wait(&mut self, event: Event) {
        if self.waiting.len() == WAITING {
            // Keep the latest: packets of older connections have been given up by now.
            self.waiting.pop_front();
            self.counters.events.add(EventIssue::NoPrefix, 1);
        }
        self.waiting.push_back(event);
    }

    fn deliver_waiting(&mut self, prefix: &UuidPrefix) -> Result<(), Stopped> {
        // Takes the whole queue, which frees its memory: it is not needed again.
        for event in std::mem::take(&mut self.waiting) {
            self.deliver(&event, prefix)?;
        }
        Ok(())
    }

    fn deliver(&mut self, event: &Event, prefix: &UuidPrefix) -> Result<(), Stopped> {
        let noted = event.owner.as_ref().zip(self.owners.as_mut());
        let owner = noted.map(|(noted, owners)| owners.noted(noted));
        let key = match event.what {
            SocketEvent::Open(_) | SocketEvent::Close(_) => {
                Some(FlowKey::new(event.local, event.remote))
            }
            SocketEvent::Left => self.unclaimed.claim(event.cookie),
        };
        // Nobody waits for an owner that has none.
        let Some(key) = key else {
            return Ok(());
        };
        if matches!(event.what, SocketEvent::Close(_)) && owner.is_none() && self.owners.is_some() {
            self.unclaimed.add(event.cookie, key);
        }
        let event = flow_event(event, (key, owner), (prefix, &self.clock));
        event.map_or(Ok(()), |event| self.sink.deliver_blocking(&event))
    }

    /// Counts the waiting events as lost: the prefix will not become known any more.
    fn give_up(self) {
        let waiting = self.waiting.len() as u64;
        self.counters.events.add(EventIssue::NoPrefix, waiting);
    }
}

fn flow_event(
    event: &Event,
    (key, owner): (FlowKey, Option<Arc<Owner>>),
    (prefix, clock): (&UuidPrefix, &WallClock),
) -> Option<FlowEvent> {
    let at = BootNanos(event.boot_ns);
    let uuid = prefix.uuid(event.cookie);
    Some(match event.what {
        SocketEvent::Open(role) => FlowEvent::Open(Open {
            at,
            opened: clock.wall(at),
            uuid,
            local: event.local,
            remote: event.remote,
            role: Some(role),
            cookie: event.cookie,
            owner,
        }),
        SocketEvent::Close(totals) => FlowEvent::Close(Close {
            at,
            uuid,
            key: Some(key),
            totals: totals.map(Box::new),
            owner,
        }),
        SocketEvent::Left => FlowEvent::Left(Left {
            at,
            uuid,
            key,
            owner: owner?,
        }),
    })
}

#[cfg(test)]
mod tests {
    use packet_headers_common::{Endpoint, FlowHash, Role};
    use tokio::sync::mpsc::Receiver;

    use super::*;
    use crate::events::queues;

    fn event(cookie: u64) -> Event {
        Event {
            boot_ns: cookie,
            cookie,
            local: Endpoint::v4([10, 0, 0, 1], 443),
            remote: Endpoint::v4([10, 0, 0, 2], 50_000),
            what: match cookie % 2 {
                0 => SocketEvent::Open(Role::Accepting),
                _ => SocketEvent::Close(None),
            },
            owner: None,
        }
    }

    /// The cookies, and so the times, of the events that were delivered.
    fn delivered(shard: &mut Receiver<FlowEvent>) -> Vec<u64> {
        let events = std::iter::from_fn(|| shard.try_recv().ok());
        events.map(|event| event.at().0).collect()
    }

    fn prefix() -> UuidPrefix {
        UuidPrefix::new("host_1").unwrap()
    }

    /// Makes the prefix known the way tcp-info does.
    fn teach(unknown: &LearnedPrefix) {
        assert!(unknown.learn(&prefix().uuid(7), 7));
    }

    #[test]
    fn with_a_known_prefix_events_are_delivered_at_once() {
        let (sink, mut shards) = queues(1, FlowHash::seeded(7));
        let counters = Counters::default();
        let known = LearnedPrefix::known(prefix());
        let mut namer = EventNamer::new(&known, &sink, &counters);
        let clock = namer.clock;
        for cookie in [2, 3] {
            namer.take(event(cookie)).unwrap();
            let told = event(cookie);
            let key = FlowKey::new(told.local, told.remote);
            let expected = flow_event(&told, (key, None), (&prefix(), &clock)).unwrap();
            assert_eq!(shards[0].try_recv(), Ok(expected));
        }
        namer.give_up();
        assert_eq!(counters.events.nonzero().count(), 0);
    }

    #[test]
    fn events_wait_for_the_prefix_and_keep_their_order() {
        let (sink, mut shards) = queues(1, FlowHash::seeded(7));
        let counters = Counters::default();
        let unknown = LearnedPrefix::unknown();
        let mut namer = EventNamer::new(&unknown, &sink, &counters);
        for cookie in 0..100 {
            namer.take(event(cookie)).unwrap();
        }
        namer.catch_up().unwrap();
        assert!(delivered(&mut shards[0]).is_empty());

        teach(&unknown);
        // Whether a tick comes first or an event: nothing is overtaken.
        namer.take(event(100)).unwrap();
        namer.catch_up().unwrap();
        namer.take(event(101)).unwrap();
        assert_eq!(delivered(&mut shards[0]), Vec::from_iter(0..102));
        namer.give_up();
        assert_eq!(counters.events.nonzero().count(), 0);
    }

    #[test]
    fn a_tick_delivers_what_waits() {
        let (sink, mut shards) = queues(1, FlowHash::seeded(7));
        let counters = Counters::default();
        let unknown = LearnedPrefix::unknown();
        let mut namer = EventNamer::new(&unknown, &sink, &counters);
        namer.take(event(4)).unwrap();
        teach(&unknown);
        namer.catch_up().unwrap();
        assert_eq!(delivered(&mut shards[0]), [4]);
    }

    #[test]
    fn when_too_many_wait_the_oldest_are_dropped_and_counted() {
        let (sink, mut shards) = queues(1, FlowHash::seeded(7));
        let mut shard = shards.remove(0);
        let counters = Counters::default();
        let unknown = LearnedPrefix::unknown();
        let mut namer = EventNamer::new(&unknown, &sink, &counters);
        let (dropped, kept) = (1000, WAITING as u64);
        for cookie in 0..dropped + kept {
            namer.take(event(cookie)).unwrap();
        }
        assert_eq!(counters.events.get(EventIssue::NoPrefix), dropped);
        teach(&unknown);
        // More than the queue of a shard holds: it has to be read meanwhile.
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || {
                let events = std::iter::from_fn(|| shard.blocking_recv()).take(WAITING);
                events.map(|event| event.at().0).collect::<Vec<_>>()
            });
            namer.catch_up().unwrap();
            let expected = Vec::from_iter(dropped..dropped + kept);
            assert!(
                reader.join().unwrap() == expected,
                "not the latest in order"
            );
        });
        assert_eq!(counters.events.get(EventIssue::NoPrefix), dropped);
    }

    #[test]
    fn what_never_had_a_prefix_is_counted_at_the_end() {
        let (sink, mut shards) = queues(1, FlowHash::seeded(7));
        let counters = Counters::default();
        let unknown = LearnedPrefix::unknown();
        let mut namer = EventNamer::new(&unknown, &sink, &counters);
        for cookie in 0..5 {
            namer.take(event(cookie)).unwrap();
        }
        namer.catch_up().unwrap();
        namer.give_up();
        assert_eq!(counters.events.get(EventIssue::NoPrefix), 5);
        assert!(delivered(&mut shards[0]).is_empty());
    }

    #[test]
    fn it_ends_when_the_shards_are_gone() {
        let (sink, shards) = queues(1, FlowHash::seeded(7));
        drop(shards);
        let counters = Counters::default();
        let known = LearnedPrefix::known(prefix());
        let mut namer = EventNamer::new(&known, &sink, &counters);
        assert_eq!(namer.take(event(1)), Err(Stopped));
    }
}
