//! Reads the configuration again while the daemon captures, and puts in force what can be.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use model::owner::WantedOwners;
use model::{BootNanos, Filters, Timing};
use tokio::sync::watch;

use super::pipeline::Shared;
use super::udp::{Rooms, UdpStages};
use crate::clock;
use crate::config::{Again, Config, Live, ReadAgain};
use crate::kernel::BackendFilters;
use crate::load_options;
use crate::shard::{Rules, ShardHandle};
use crate::store::rows::Rows;

/// The flags that can change while the daemon captures.
const LIVE: [&str; 15] = [
    "captureduration",
    "direction",
    "exclude-net",
    "exclude-port",
    "flowtimeout",
    "linger",
    "max-age",
    "max-disk",
    "max-files",
    "min-free",
    "net",
    "port",
    "spill-interval",
    "udptimeout",
    "uuidwaitduration",
];

/// Those of them that decide how long an address of this host counts as its own once it has gone, which
/// is chosen at the start where addresses are anonymized.
const WITH_OWN_ADDRESSES: [&str; 3] = ["captureduration", "linger", "uuidwaitduration"];

/// Those that can change where connections have owners.
const WITH_OWNERS: [&str; 5] = ["cgroup", "container", "pod", "process", "uid"];

/// Those that can change where rows are written.
const WITH_ROWS: [&str; 3] = ["keep", "rows-interval", "sample"];

/// How long shards are waited for, which turn each few milliseconds unless they are held up.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the daemon was started with, as far as it decides what can change.
#[derive(Debug, Clone, Copy)]
struct Start {
    timing: Timing,
    anonymizes: bool,
    has_owners: bool,
    has_rows: bool,
}

/// What is changed.
pub(super) struct Reload {
    read: ReadAgain,
    start: Start,
    parts: Arc<Parts>,
}

/// The parts of a capture that take over a configuration.
pub(super) struct Parts {
    filters: Mutex<InForce>,
    shards: Vec<ShardHandle>,
    owners: watch::Sender<WantedOwners>,
    room: Rooms,
    /// Those of connections, and those of UDP flows, if any are written.
    rows: Vec<Rows>,
}

/// The filters that are in force.
pub(super) struct InForce {
    kernel: BackendFilters,
    /// Tells the flow sources.
    told: watch::Sender<Filters>,
    /// Since when, if not from the start on.
    since: Option<BootNanos>,
}

impl InForce {
    /// Those of the start.
    pub(super) fn new(kernel: BackendFilters, filters: Filters) -> Self {
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

    /// Replaces them, if they are others. `leave` tells shards the time from when on others are in force
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
    pub(super) fn new(
        filters: InForce,
        shared: &Shared<'_>,
        (shards, udp): (Vec<ShardHandle>, Option<&UdpStages>),
    ) -> Self {
        Self {
            filters: Mutex::new(filters),
            shards,
            owners: shared.owners.clone(),
            room: Rooms {
                connections: shared.room.clone(),
                datagrams: udp.map(UdpStages::room),
            },
            rows: [shared.rows, udp.and_then(UdpStages::rows)]
                .into_iter()
                .flatten()
                .cloned()
                .collect(),
        }
    }

    /// Puts a configuration in force. May wait for programs and shards, and for nothing else.
    ///
    /// # Errors
    /// Why nothing has changed.
    fn apply(&self, live: Live) -> Result<()> {
        let Live {
            timing,
            udp_silence,
            mut filters,
            owners,
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
            self.leave(rules, udp_silence);
        })?;
        in_force.kernel.set_capture(timing.capture);
        in_force.kernel.set_udp_silence(udp_silence);
        self.owners.send_replace(owners);
        self.room.change(retention);
        for rows in &self.rows {
            rows.change(kept.clone(), rows_interval);
        }
        Ok(())
    }
}

impl Parts {
    /// Leaves rules for the shards, and waits until they have taken them over. UDP flows have a silence of their
    /// own.
    fn leave(&self, rules: Rules, udp_silence: Duration) {
        for shard in &self.shards {
            shard.rules.leave(match shard.of_datagrams {
                true => rules.with_silence(udp_silence),
                false => rules,
            });
            shard.waker.wake();
        }
        let until = Instant::now() + PATIENCE;
        for shard in &self.shards {
            let left = until.saturating_duration_since(Instant::now());
            shard.rules.wait(left);
        }
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
            start: Start {
                timing: config.timing,
                anonymizes: config.files.anonymize.is_some(),
                has_owners: load_options::wants_owners(config),
                has_rows: config.rows.is_some(),
            },
            parts,
        }
    }

    /// Reads the configuration and puts it in force. One that is wrong changes nothing.
    pub(super) async fn run(&self) {
        let (read, parts) = (self.read.clone(), Arc::clone(&self.parts));
        let start = self.start;
        let changed = tokio::task::spawn_blocking(move || {
            let Again { live, changed } = read.read()?;
            parts.apply(start.possible(live))?;
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
        let (live, late) = self.start.split(changed);
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

impl Start {
    /// What is wanted, with what was at the start where that cannot change.
    fn possible(self, mut live: Live) -> Live {
        if self.anonymizes {
            live.timing = Timing {
                capture: self.timing.capture,
                linger: self.timing.linger,
                uuid_wait: self.timing.uuid_wait,
                ..live.timing
            };
        }
        if !self.has_owners {
            // Nobody would know whose connections are, and none would be captured.
            live.owners = WantedOwners::default();
        }
        live
    }

    /// Of the flags that have changed, those that are in force now, and those that need a restart.
    fn split(self, changed: &[String]) -> (Vec<&str>, Vec<&str>) {
        let is_live = |flag: &&str| {
            (LIVE.contains(flag) && !(self.anonymizes && WITH_OWN_ADDRESSES.contains(flag)))
                || (self.has_owners && WITH_OWNERS.contains(flag))
                || (self.has_rows && WITH_ROWS.contains(flag))
        };
        changed.iter().map(String::as_str).partition(is_live)
    }
}

#[cfg(test)]
mod tests {
    use capture_files::RetentionLimits;
    use capture_query::Kept;

    use super::*;

    fn timing(seconds: u64) -> Timing {
        let seconds = Duration::from_secs(seconds);
        Timing {
            uuid_wait: seconds,
            capture: seconds,
            idle: seconds,
            linger: seconds,
            spill: seconds,
        }
    }

    const fn start(timing: Timing) -> Start {
        Start {
            timing,
            anonymizes: false,
            has_owners: true,
            has_rows: true,
        }
    }

    #[test]
    fn what_needs_a_restart_is_told_from_what_does_not() {
        let changed = ["keep", "linger", "max-disk", "port", "shards", "uid"].map(str::to_owned);
        let all = start(timing(5));
        let anonymizes = Start {
            anonymizes: true,
            ..all
        };
        let bare = Start {
            has_owners: false,
            has_rows: false,
            ..all
        };
        for (start, late) in [
            (all, &["shards"][..]),
            (anonymizes, &["linger", "shards"]),
            (bare, &["keep", "shards", "uid"]),
        ] {
            let (live, found) = start.split(&changed);
            assert_eq!(found, late);
            assert_eq!(live.len() + late.len(), changed.len());
        }
    }

    #[test]
    fn what_cannot_change_stays() {
        let uid_7 = WantedOwners {
            uids: vec![7],
            ..WantedOwners::default()
        };
        let wanted = Live {
            timing: timing(9),
            udp_silence: Duration::ZERO,
            filters: Filters::default(),
            owners: uid_7.clone(),
            kept: Kept::default(),
            rows_interval: Duration::ZERO,
            retention: RetentionLimits::default(),
        };
        let free = start(timing(5)).possible(wanted.clone());
        assert_eq!((free.timing, free.owners), (timing(9), uid_7));
        let bound = Start {
            anonymizes: true,
            has_owners: false,
            ..start(timing(5))
        };
        let bound = bound.possible(wanted);
        let expected = Timing {
            idle: timing(9).idle,
            spill: timing(9).spill,
            ..timing(5)
        };
        assert_eq!(bound.timing, expected);
        assert_eq!(bound.owners, WantedOwners::default());
    }
}
