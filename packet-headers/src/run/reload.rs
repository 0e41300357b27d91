//! Reads the configuration again while the daemon captures, and puts in force what can be.

use std::fs::File;
use std::sync::Arc;

use anyhow::Context as _;
use capture_files::Room;
use model::Timing;

use crate::config::{Again, Config, Live, ReadAgain};
use crate::shard::TimingChange;

/// The flags that can change while the daemon captures.
const LIVE: [&str; 8] = [
    "flowtimeout",
    "linger",
    "max-age",
    "max-disk",
    "max-files",
    "min-free",
    "spill-interval",
    "uuidwaitduration",
];

/// Those of them that decide how long an address of this host counts as its own once it has gone, which
/// is chosen at the start where addresses are anonymized.
const WITH_OWN_ADDRESSES: [&str; 2] = ["linger", "uuidwaitduration"];

/// What is changed.
pub(super) struct Reload {
    read: ReadAgain,
    /// The durations at the start. How long connections are captured was loaded into the kernel.
    start: Timing,
    anonymizes: bool,
    shards: Vec<Arc<TimingChange>>,
    room: Room,
}

impl Reload {
    /// The means to change a running daemon, if it has a configuration file and no terminal: at one, SIGHUP
    /// means that it was closed.
    pub(super) fn of(config: &Config) -> Option<ReadAgain> {
        let has_terminal = || File::open("/dev/tty").is_ok();
        config.again.clone().filter(|_| !has_terminal())
    }

    /// Changes these.
    pub(super) fn new(
        read: ReadAgain,
        config: &Config,
        shards: Vec<Arc<TimingChange>>,
        room: Room,
    ) -> Self {
        Self {
            read,
            start: config.timing,
            anonymizes: config.files.anonymize.is_some(),
            shards,
            room,
        }
    }

    /// Reads the configuration and puts it in force. One that is wrong changes nothing.
    pub(super) async fn run(&self) {
        let read = self.read.clone();
        let again = tokio::task::spawn_blocking(move || read.read()).await;
        let again = again.context("reading the configuration").flatten();
        match again {
            Ok(again) => self.apply(&again),
            Err(error) => {
                tracing::error!("the configuration stays as it was: {error:#}");
            }
        }
    }

    /// These durations, with those of the start where they cannot change.
    fn possible(&self, wanted: Timing) -> Timing {
        let Timing {
            capture,
            linger,
            uuid_wait,
            ..
        } = self.start;
        if self.anonymizes {
            return Timing {
                capture,
                linger,
                uuid_wait,
                ..wanted
            };
        }
        Timing {
            capture,
            uuid_wait: wanted.uuid_wait.min(capture),
            ..wanted
        }
    }

    fn apply(&self, again: &Again) {
        let (live, late) = split(again, self.anonymizes);
        let Live { timing, retention } = again.live;
        let timing = self.possible(timing);
        self.shards.iter().for_each(|shard| shard.leave(timing));
        self.room.change(retention);
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

/// What has changed since the start, and is in force now; and what needs a restart.
fn split(again: &Again, anonymizes: bool) -> (Vec<&str>, Vec<&str>) {
    let is_live =
        |flag: &&str| LIVE.contains(flag) && !(anonymizes && WITH_OWN_ADDRESSES.contains(flag));
    again.changed.iter().map(String::as_str).partition(is_live)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(changed: &[&str]) -> Again {
        Again {
            live: Live {
                timing: timing(9),
                retention: capture_files::RetentionLimits::default(),
            },
            changed: changed.iter().map(|flag| (*flag).to_owned()).collect(),
        }
    }

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
        let again = again(&["linger", "max-disk", "port"]);
        let [live, late] = [vec!["linger", "max-disk"], vec!["port"]];
        assert_eq!(split(&again, false), (live, late));
        let [live, late] = [vec!["max-disk"], vec!["linger", "port"]];
        assert_eq!(split(&again, true), (live, late));
    }

    #[test]
    fn durations_that_cannot_change_stay() {
        let home = tempfile::tempdir().unwrap();
        let limits = capture_files::RetentionLimits::default();
        let reload = |anonymizes| Reload {
            read: ReadAgain::by(|| anyhow::bail!("not read")),
            start: timing(5),
            anonymizes,
            shards: Vec::new(),
            room: capture_files::Retention::new(home.path(), limits).room(),
        };
        // Names are not waited for longer than connections are captured.
        let free = Timing {
            capture: timing(5).capture,
            uuid_wait: timing(5).uuid_wait,
            ..timing(9)
        };
        assert_eq!(reload(false).possible(timing(9)), free);
        let bound = Timing {
            linger: timing(5).linger,
            ..free
        };
        assert_eq!(reload(true).possible(timing(9)), bound);
    }
}
