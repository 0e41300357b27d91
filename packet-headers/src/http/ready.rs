//! Whether connections are being captured and saved, and whether the process is working.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::disk_probe::DiskProbe;
use crate::capture::Attached;
use crate::heartbeat::{Heartbeats, Turn, WaitsFor};
use crate::stats::Counters;
use crate::store;
use capture_files::{Directories, Room};
use model::FlowSource;

/// Everything that must work for connections to be captured and saved.
#[derive(Debug)]
pub(crate) struct Readiness {
    attached: Attached,
    counters: Arc<Counters>,
    source: FlowSource,
    disk: DiskProbe,
    heartbeats: Heartbeats,
    room: Option<Room>,
}

impl Readiness {
    /// Begins to try now and then whether files can be written.
    pub(crate) fn new(
        attached: Attached,
        counters: Arc<Counters>,
        source: FlowSource,
        directories: Directories,
        heartbeats: Heartbeats,
    ) -> Self {
        Self {
            attached,
            counters,
            source,
            disk: DiskProbe::start(directories),
            heartbeats,
            room: None,
        }
    }

    /// There must be room for new files, too.
    pub(crate) fn with_room(self, room: Room) -> Self {
        Self {
            room: Some(room),
            ..self
        }
    }

    /// One line for each failed condition; empty when the daemon is ready.
    pub(super) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if self.attached.names().is_empty() {
            missing.push("no interface is captured".to_owned());
        }
        let lost = self.attached.missing().into_iter();
        missing.extend(lost.map(|lost| format!("another program removed ours from {lost}")));
        missing.extend(self.silent_sources());
        missing.extend(self.heartbeats.stuck().map(|turn| stuck(&turn)));
        let refusal = self.room.as_ref().and_then(Room::refusal);
        missing.extend(refusal.map(|limit| store::explain(limit).to_owned()));
        missing.extend(self.disk.failure());
        missing
    }

    /// One line for each stuck thread that only a restart helps. A thread that waits for a disk is
    /// not among them: a restart would free no space, and would lose what is in memory.
    pub(super) fn dead(&self) -> Vec<String> {
        let stuck = self.heartbeats.stuck();
        let dead = stuck.filter(|turn| turn.waits_for == WaitsFor::Work);
        dead.map(|turn| self::stuck(&turn)).collect()
    }

    /// One line for each flow source that delivers nothing at present.
    fn silent_sources(&self) -> Vec<String> {
        let down = |up: &AtomicBool| !up.load(Ordering::Relaxed);
        let mut silent = Vec::new();
        if self.source.watches_sockets() && down(&self.counters.kernel_events_up) {
            silent.push("the kernel flow source is down".to_owned());
        }
        match &self.source {
            FlowSource::TcpInfo(socket, _) | FlowSource::Hybrid(socket, _)
                if down(&self.counters.tcpinfo_up) =>
            {
                let nothing_saved =
                    if down(&self.counters.prefix_known) && self.source.watches_sockets() {
                        ": until it tells the prefix of UUIDs, no connection is saved"
                    } else {
                        ""
                    };
                silent.push(format!(
                    "tcp-info at {socket} is not connected{nothing_saved}"
                ));
            }
            FlowSource::Kernel(_) | FlowSource::TcpInfo(..) | FlowSource::Hybrid(..) => {}
        }
        silent
    }
}

fn stuck(turn: &Turn) -> String {
    format!(
        "thread {} has not turned for {} s",
        turn.name,
        turn.ago.as_secs()
    )
}
