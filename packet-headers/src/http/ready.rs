//! Whether connections are being captured and saved, and whether the process is working.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::capture::Attached;
use crate::heartbeat::{Heartbeats, Turn, WaitsFor};
use crate::stats::Counters;
use crate::store;
use capture_files::{Directories, Room};
use model::FlowSource;

/// How long the disk may take to write a small file. Probes must wait longer than this: Kubernetes'
/// default is one second, and our manifests set more.
const PATIENCE: Duration = Duration::from_secs(2);

/// Everything that must work for connections to be captured and saved.
#[derive(Debug)]
pub(crate) struct Readiness {
    attached: Attached,
    counters: Arc<Counters>,
    source: FlowSource,
    directories: Directories,
    heartbeats: Heartbeats,
    room: Option<Room>,
    /// One attempt at a time: a disk that hangs blocks one thread, however many probes come.
    trying: Arc<Semaphore>,
}

impl Readiness {
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
            directories,
            heartbeats,
            room: None,
            trying: Arc::new(Semaphore::new(1)),
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
    pub(super) async fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if self.attached.names().is_empty() {
            missing.push("no interface is captured".to_owned());
        }
        missing.extend(self.silent_sources());
        missing.extend(self.heartbeats.stuck().map(|turn| stuck(&turn)));
        let refusal = self.room.as_ref().and_then(Room::refusal);
        missing.extend(refusal.map(|limit| store::explain(limit).to_owned()));
        let tried = timeout(PATIENCE, self.try_writing()).await;
        match tried.unwrap_or_else(|_late| Err(self.hangs())) {
            Ok(()) => {}
            Err(error) => missing.push(format!("{error:#}")),
        }
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
                silent.push(format!("tcp-info at {socket} is not connected"));
            }
            FlowSource::Kernel(_) | FlowSource::TcpInfo(..) | FlowSource::Hybrid(..) => {}
        }
        silent
    }

    async fn try_writing(&self) -> Result<()> {
        let turn = Arc::clone(&self.trying).acquire_owned().await?;
        let directories = self.directories.clone();
        let tried = spawn_blocking(move || {
            let tried = directories.try_writing();
            drop(turn);
            tried
        });
        Ok(tried
            .await
            .context("testing whether a file can be written")??)
    }

    fn hangs(&self) -> anyhow::Error {
        let partial = self.directories.partial().display();
        anyhow::anyhow!("writing a file in {partial} is taking longer than {PATIENCE:?}")
    }
}

fn stuck(turn: &Turn) -> String {
    format!(
        "thread {} has not turned for {} s",
        turn.name,
        turn.ago.as_secs()
    )
}
