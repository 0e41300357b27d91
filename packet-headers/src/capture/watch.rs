//! Attaches to interfaces that come, detaches from those that go, and attaches again what others have
//! detached.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Error, Result};
use rtnetlink::MulticastGroup;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use super::set::CaptureSet;
use crate::heartbeat::{Heartbeat, Heartbeats, WaitsFor, pulse};
use crate::host::choice::Choice;
use crate::host::interfaces::{self, Interface};
use crate::host::netlink::{self, Changes, Follower, Netlink};
use crate::kernel::Attacher;
use crate::rate_limit::RateLimit;
use capture_files::InterfaceNames;

/// None once capture has ended.
type SharedSet = Arc<Mutex<Option<CaptureSet<Attacher>>>>;

/// The task that keeps the captured interfaces up to date.
#[derive(Debug)]
pub(crate) struct CaptureWatch {
    set: SharedSet,
    task: JoinHandle<()>,
}

impl CaptureWatch {
    pub(super) fn start(
        netlink: Netlink,
        choice: Choice,
        set: CaptureSet<Attacher>,
        (names, heartbeats): (Arc<InterfaceNames>, &Heartbeats),
    ) -> Self {
        let set = Arc::new(Mutex::new(Some(set)));
        let interfaces = Interfaces {
            choice,
            names,
            set: Arc::clone(&set),
            wanted: Vec::new(),
            due: pulse::next(),
            heartbeat: heartbeats.add(NAME, WaitsFor::Kernel),
            failures: Failures::default(),
        };
        let task = tokio::spawn(async move { match netlink::follow(netlink, interfaces).await {} });
        Self { set, task }
    }

    /// Detaches from every interface and from sockets, and attaches to no other. Blocks while one is being attached.
    pub(crate) fn stop(self) {
        self.task.abort();
        if let Some(set) = lock(&self.set).take() {
            set.detach_all();
        }
    }
}

fn lock(set: &SharedSet) -> MutexGuard<'_, Option<CaptureSet<Attacher>>> {
    // Even after a panic, whatever is attached has to be detached.
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name of this work among the threads that must turn: it runs on a thread of its own.
const NAME: &str = "attachments";

/// Follows the network interfaces, and watches what is attached to them.
pub(super) struct Interfaces {
    choice: Choice,
    names: Arc<InterfaceNames>,
    set: SharedSet,
    /// What is to be captured.
    wanted: Vec<Interface>,
    /// When to look whether what is attached is still there, and to try again what could not be attached.
    due: Instant,
    heartbeat: Heartbeat,
    failures: Failures,
}

impl Interfaces {
    /// Attaches and detaches until exactly the wanted interfaces are captured; if it is time, looks
    /// first what others have detached.
    async fn turn(&mut self, changes: Changes) -> Result<()> {
        let checks = Instant::now() >= self.due;
        if checks {
            self.due = pulse::next();
        }
        let (set, wanted) = (Arc::clone(&self.set), self.wanted.clone());
        let heartbeat = self.heartbeat.clone();
        // On a blocking thread, because it may take long on a busy host, and this one has to handle
        // signals.
        let turned = spawn_blocking(move || {
            let mut set = lock(&set);
            let Some(set) = set.as_mut() else {
                return Vec::new();
            };
            let beat = || heartbeat.beat();
            let lost = if checks {
                set.notice_losses(&beat)
            } else {
                Vec::new()
            };
            let failed = set.reconcile(&wanted, &changes, &beat);
            set.tell_of(&lost);
            failed
        });
        let failed = turned.await.context("following network interfaces")?;
        for (interface, error) in failed {
            self.failures.warn(&interface, &error);
        }
        Ok(())
    }
}

impl Follower for Interfaces {
    const WHAT: &'static str = "network interfaces";
    const GROUPS: &'static [MulticastGroup] = &[MulticastGroup::Link];

    async fn refresh(&mut self, netlink: &mut Netlink, changes: Changes) -> Result<()> {
        self.heartbeat.beat();
        let links = interfaces::list(netlink).await?;
        self.wanted = self.choice.choose(&links, &changes.removed);
        // Before attaching, so that the name is known when the first packet is written to a file.
        self.names
            .update(self.wanted.iter().map(Interface::numbered));
        self.turn(changes).await
    }

    async fn idle(&mut self) -> Infallible {
        loop {
            sleep_until(self.due).await;
            if let Err(error) = self.turn(Changes::default()).await {
                tracing::error!("cannot look at what is attached: {error:#}");
            }
        }
    }
}

/// Interfaces to which nothing could be attached, for the log: they may come and go without end.
#[derive(Debug, Default)]
pub(super) struct Failures(RateLimit);

impl Failures {
    pub(super) fn warn(&self, interface: &Interface, error: &Error) {
        if let Some(more) = self.0.pass() {
            tracing::warn!(
                "not capturing {} for now, will retry every few seconds: {error:#}{more}",
                interface.name
            );
        }
    }
}
