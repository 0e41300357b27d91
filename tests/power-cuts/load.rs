//! The connections that are captured: short ones one after another, and some that grow.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use end_to_end::traffic::{self, Ending, Family, Plan, Side};
use end_to_end::world::netns::Lab;

use crate::ledger::Ledger;

/// A kind of connections, which follow each other.
pub(crate) struct Kind {
    /// How often each connection exchanges something.
    talks: usize,
    /// The time between two exchanges.
    pause: Duration,
}

/// What goes on at the same time: files of one block, of several, and ones that grow for seconds.
pub(crate) const KINDS: [Kind; 4] = [
    Kind {
        talks: 1,
        pause: Duration::from_millis(100),
    },
    Kind {
        talks: 2,
        pause: Duration::from_millis(100),
    },
    Kind {
        talks: 60,
        pause: Duration::from_millis(50),
    },
    Kind {
        talks: 60,
        pause: Duration::from_millis(150),
    },
];

impl Kind {
    /// Makes connections for as long as the machine runs.
    pub(crate) fn run(&self, lab: &Lab, ledger: &Ledger) -> Result<()> {
        let endings = [Ending::HostFirst, Ending::PeerFirst, Ending::Reset];
        for ending in endings.into_iter().cycle() {
            let plan = Plan {
                family: Family::V4,
                opener: Side::Peer,
                long: false,
                ending,
            };
            let conversation = traffic::open(lab, &plan, ledger)?;
            for _ in 0..self.talks {
                conversation.talk()?;
                thread::sleep(self.pause);
            }
            conversation.finish(ledger)?;
        }
        Ok(())
    }
}
