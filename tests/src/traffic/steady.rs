//! Traffic without a pause: short connections one after another, and some that last.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::{Connection, Conversation, Ending, Family, Plan, Side, conversation};
use crate::world::netns::Lab;

/// How much traffic there is.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The time between the end of a short connection and the beginning of the next.
    pub pause: Duration,
    /// The number of connections that last.
    pub lasting: usize,
    /// The time between two exchanges on each of these.
    pub trickle: Duration,
}

/// The connections that were made.
#[derive(Debug, Clone)]
pub struct Connections {
    /// Those that lasted: opened before the job began, closed after it ended.
    pub lasting: Vec<Connection>,
    /// The short ones, in order.
    pub short: Vec<Connection>,
}

impl Connections {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Connection> {
        self.lasting.iter().chain(&self.short)
    }
}

/// The traffic while it goes on.
#[derive(Debug, Default)]
pub struct Steady {
    stop: AtomicBool,
    short: AtomicUsize,
}

impl Steady {
    /// How many short connections have ended so far.
    #[must_use]
    pub fn short(&self) -> usize {
        self.short.load(Ordering::Relaxed)
    }

    /// Runs `job` while the traffic goes on; returns the job's result and the connections.
    ///
    /// # Errors
    /// The job's own error, or a connection that did not go as planned.
    pub fn during<T>(
        lab: &Lab,
        pace: Pace,
        job: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<(T, Connections)> {
        let steady = Self::default();
        let plans = kinds();
        let open = plans.iter().cycle().take(pace.lasting);
        let open: Result<Vec<_>> = open
            .map(|plan| conversation::open(lab, plan, &()))
            .collect();
        let open = open?;
        thread::scope(|scope| {
            let steady = &steady;
            let lasting = open.into_iter();
            let lasting: Vec<_> = lasting
                .map(|one| scope.spawn(move || steady.trickle(one, pace.trickle)))
                .collect();
            let short = scope.spawn(|| steady.connect(lab, &plans, pace.pause));
            let outcome = job(steady);
            steady.stop.store(true, Ordering::Relaxed);
            let lasting = lasting
                .into_iter()
                .map(|thread| thread.join().expect("a conversation does not panic"));
            let connections = Connections {
                lasting: lasting.collect::<Result<_>>()?,
                short: short.join().expect("connecting does not panic")?,
            };
            Ok((outcome?, connections))
        })
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn trickle(&self, conversation: Conversation, pause: Duration) -> Result<Connection> {
        while self.goes_on() {
            conversation.talk()?;
            thread::sleep(pause);
        }
        conversation.finish(&())
    }

    fn connect(&self, lab: &Lab, plans: &[Plan], pause: Duration) -> Result<Vec<Connection>> {
        let mut made = Vec::new();
        for plan in plans.iter().cycle() {
            if !self.goes_on() {
                break;
            }
            let conversation = conversation::open(lab, plan, &())?;
            conversation.talk()?;
            made.push(conversation.finish(&())?);
            self.short.fetch_add(1, Ordering::Relaxed);
            thread::sleep(pause);
        }
        Ok(made)
    }
}

/// Every kind of connection whose end takes no pause.
fn kinds() -> Vec<Plan> {
    let families = [Family::V4, Family::V6, Family::V4Mapped];
    let endings = [Ending::HostFirst, Ending::PeerFirst, Ending::Reset];
    let plan = |at: usize| Plan {
        family: families[at % 3],
        opener: [Side::Peer, Side::Host][at % 2],
        long: false,
        ending: endings[at / 3 % 3],
    };
    (0..18).map(plan).collect()
}
