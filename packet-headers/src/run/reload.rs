//! Reads the configuration again while the daemon captures, and puts in force what can be.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use capture_files::Room;
use model::{BootNanos, Filters, Timing};
use tokio::sync::watch;

use super::pipeline::{Pipeline, Shared};
use crate::clock;
use crate::config::{Again, Config, Live, ReadAgain};
use crate::kernel::KernelFilters;
use crate::shard::{Rules, RulesChange};
use crate::store::rows::Rows;

/// The flags that can change while the daemon captures.
const LIVE: [&str; 9] = [
    "captureduration",
    "flowtimeout",
    "linger",
    "max-age",
    "max-disk",
    "max-files",
    "min-free",
    "spill-interval",
    "uuidwaitduration",
];

/// Those that choose connections, and can change, too.
const FILTERS: [&str; 5] = ["direction", "exclude-net", "exclude-port", "net", "port"];

/// Those that can change where rows are written.
const WITH_ROWS: [&str; 3] = ["keep", "rows-interval", "sample"];

/// Those that decide how long an address of this host counts as its own once it has gone, which is chosen
/// at the start where addresses are anonymized.
const WITH_OWN_ADDRESSES: [&str; 3] = ["captureduration", "linger", "uuidwaitduration"];

/// What is changed.
pub(super) struct Reload {
    read: ReadAgain,
    /// The durations at the start.
    start: Timing,
    anonymizes: bool,
    parts: Arc<Parts>,
}

/// The parts of a capture that take over a configuration.
pub(super) struct Parts {
    filters: Mutex<InForce>,
    shards: Vec<Arc<RulesChange>>,
    room: Room,
    rows: Option<Rows>,
}

/// The filters that are in force.
pub(super) struct InForce {
    kernel: KernelFilters,
    /// Tells the flow sources.
    told: watch::Sender<Filters>,
    /// Since when, if not from the start on.
    since: Option<BootNanos>,
}

impl InForce {
    /// Those of the start.
    pub(super) fn new(kernel: KernelFilters, filters: Filters) -> Self {
        Self {
            kernel,
            told: watch::Sender::new(filters),
            since: None,
        }
    }

    /// Those that are in force at any time.
    pub(super) fn follow(&self) -> watch::Receiver<Filters> {
        self.told.subscribe()
    }

    /// Replaces them, if they are others. `leave` leaves shards the time from when on others are in force
    /// than before, if ever.
    ///
    /// # Errors
    /// Why those that were in force still are.
    fn replace(&mut self, filters: &Filters, leave: impl Fn(Option<BootNanos>)) -> Result<()> {
        if *self.told.borrow() == *filters {
            leave(self.since);
            return Ok(());
        }
        // Before the programs have them: what they tell by the new ones is judged so.
        let before = || {
            self.since = Some(clock::now());
            leave(self.since);
            self.told.send_replace(filters.clone());
        };
        self.kernel.replace(filters, before)
    }
}

impl Parts {
    /// Those of a capture that begins.
    pub(super) fn new(filters: InForce, shared: &Shared<'_>, pipeline: &Pipeline) -> Self {
        let shards = pipeline.shards().iter();
        Self {
            filters: Mutex::new(filters),
            shards: shards.map(|shard| Arc::clone(&shard.rules)).collect(),
            room: shared.room.clone(),
            rows: shared.rows.cloned(),
        }
    }

    /// Puts a configuration in force. May wait for programs that run, and for nothing else.
    ///
    /// # Errors
    /// Why nothing has changed.
    fn apply(&self, live: Live) -> Result<()> {
        let Live {
            timing,
            mut filters,
            kept,
            rows_interval,
            retention,
        } = live;
        let mut in_force = self.filters.lock().unwrap_or_else(PoisonError::into_inner);
        filters.exclude_loopback = in_force.told.borrow().exclude_loopback;
        in_force.replace(&filters, |refiltered| {
            let rules = Rules {
                timing,
                wanted: filters.wanted,
                refiltered,
            };
            self.shards.iter().for_each(|shard| shard.leave(rules));
        })?;
        in_force.kernel.set_capture(timing.capture);
        self.room.change(retention);
        if let Some(rows) = &self.rows {
            rows.change(kept, rows_interval);
        }
        Ok(())
    }
}

impl Reload {
    /// The means to change a running daemon, if it has a configuration file and no terminal: at one, SIGHUP
    /// means that it was closed.
    pub(super) fn of(config: &Config) -> Option<ReadAgain> {
        let has_terminal = || File::open("/dev/tty").is_ok();
        config.again.clone().filter(|_| !has_terminal())
    }

    /// Changes these.
    pub(super) fn new(read: ReadAgain, config: &Config, parts: Arc<Parts>) -> Self {
        Self {
            read,
            start: config.timing,
            anonymizes: config.files.anonymize.is_some(),
            parts,
        }
    }

    /// Reads the configuration and puts it in force. One that is wrong changes nothing.
    pub(super) async fn run(&self) {
        let (read, parts) = (self.read.clone(), Arc::clone(&self.parts));
        let (start, anonymizes) = (self.start, self.anonymizes);
        let changed = tokio::task::spawn_blocking(move || {
            let Again { mut live, changed } = read.read()?;
            live.timing = possible(start, live.timing, anonymizes);
            parts.apply(live)?;
            Ok(changed)
        });
        let changed = changed.await.context("reading the configuration").flatten();
        match changed {
            Ok(changed) => self.say(&changed),
            Err(error) => {
                tracing::error!("the configuration stays as it was: {error:#}");
            }
        }
    }

    fn say(&self, changed: &[String]) {
        let (live, late) = split(changed, self.anonymizes, self.parts.rows.is_some());
        match &live[..] {
            [] => tracing::info!("the configuration was read again"),
            changed => tracing::info!(
                "the configuration was read again: {} changed from what they were at the start",
                changed.join(", ")
            ),
        }
        if !late.is_empty() {
            tracing::warn!(
                "{} changed in the configuration: restart the daemon to put that in force",
                late.join(", ")
            );
        }
    }
}

/// The durations that are wanted, with those of the start where they cannot change.
const fn possible(start: Timing, wanted: Timing, anonymizes: bool) -> Timing {
    if !anonymizes {
        return wanted;
    }
    Timing {
        capture: start.capture,
        linger: start.linger,
        uuid_wait: start.uuid_wait,
        ..wanted
    }
}

/// What has changed since the start, and is in force now; and what needs a restart.
fn split(changed: &[String], anonymizes: bool, has_rows: bool) -> (Vec<&str>, Vec<&str>) {
    let is_live = |flag: &&str| {
        (LIVE.contains(flag) && !(anonymizes && WITH_OWN_ADDRESSES.contains(flag)))
            || FILTERS.contains(flag)
            || (has_rows && WITH_ROWS.contains(flag))
    };
    changed.iter().map(String::as_str).partition(is_live)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(seconds: u64) -> Timing {
        let seconds = std::time::Duration::from_secs(seconds);
        Timing {
            uuid_wait: seconds,
            capture: seconds,
            idle: seconds,
            linger: seconds,
            spill: seconds,
        }
    }

    #[test]
    fn what_needs_a_restart_is_told_from_what_does_not() {
        let changed = ["keep", "linger", "max-disk", "port", "shards"].map(str::to_owned);
        for (anonymizes, has_rows, late) in [
            (false, true, &["shards"][..]),
            (false, false, &["keep", "shards"]),
            (true, true, &["linger", "shards"]),
        ] {
            let (live, found) = split(&changed, anonymizes, has_rows);
            assert_eq!(found, late);
            assert_eq!(live.len() + late.len(), changed.len());
        }
    }

    #[test]
    fn durations_that_cannot_change_stay() {
        let [start, wanted] = [timing(5), timing(9)];
        assert_eq!(possible(start, wanted, false), wanted);
        let bound = Timing {
            idle: wanted.idle,
            spill: wanted.spill,
            ..start
        };
        assert_eq!(possible(start, wanted, true), bound);
    }
}
