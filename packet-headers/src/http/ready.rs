//! Whether connections are captured and saved now.

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
use capture_files::Directories;
use model::FlowSource;

/// How long a disk may take to write a page. Kubernetes gives a probe a second by default, and the
/// manifests of ours more.
const PATIENCE: Duration = Duration::from_secs(2);

/// What it takes to capture and save connections.
#[derive(Debug)]
pub(crate) struct Readiness {
    attached: Attached,
    counters: Arc<Counters>,
    source: FlowSource,
    directories: Directories,
    heartbeats: Heartbeats,
    /// One try at a time: a disk that hangs costs one thread, however often it is asked.
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
            trying: Arc::new(Semaphore::new(1)),
        }
    }

    /// What is missing, a line each; nothing when we are ready.
    pub(super) async fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if self.attached.names().is_empty() {
            missing.push("no interface is captured".to_owned());
        }
        missing.extend(self.silent_sources());
        missing.extend(self.heartbeats.stuck().map(|turn| stuck(&turn)));
        let tried = timeout(PATIENCE, self.try_writing()).await;
        match tried.unwrap_or_else(|_late| Err(self.hangs())) {
            Ok(()) => {}
            Err(error) => missing.push(format!("{error:#}")),
        }
        missing
    }

    /// The threads that are stuck and that only a restart helps, a line each. One that waits for a
    /// disk is not among them: a restart would free nothing, and lose what is in memory.
    pub(super) fn dead(&self) -> Vec<String> {
        let stuck = self.heartbeats.stuck();
        let dead = stuck.filter(|turn| turn.waits_for == WaitsFor::Work);
        dead.map(|turn| self::stuck(&turn)).collect()
    }

    /// The sources of names that tell nothing now.
    fn silent_sources(&self) -> Vec<String> {
        let down = |up: &AtomicBool| !up.load(Ordering::Relaxed);
        let mut silent = Vec::new();
        if self.source.watches_sockets() && down(&self.counters.kernel_events_up) {
            silent.push("the kernel's sockets are not watched".to_owned());
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
        Ok(tried.await.context("trying to write a file")??)
    }

    fn hangs(&self) -> anyhow::Error {
        let partial = self.directories.partial().display();
        anyhow::anyhow!("writing a file in {partial} takes longer than {PATIENCE:?}")
    }
}

fn stuck(turn: &Turn) -> String {
    format!(
        "the thread {} has not turned for {} s",
        turn.name,
        turn.ago.as_secs()
    )
}
