//! Attaches to interfaces that come, and detaches from those that go.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Error, Result};
use rtnetlink::MulticastGroup;
use tokio::task::{JoinHandle, spawn_blocking};

use super::set::CaptureSet;
use crate::host::choice::Choice;
use crate::host::interfaces::{self, Interface};
use crate::host::netlink::{self, Changes, Follower, Netlink};
use crate::kernel::Attacher;
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
        names: Arc<InterfaceNames>,
    ) -> Self {
        let set = Arc::new(Mutex::new(Some(set)));
        let interfaces = Interfaces {
            choice,
            names,
            set: Arc::clone(&set),
        };
        let task = tokio::spawn(async move { match netlink::follow(netlink, interfaces).await {} });
        Self { set, task }
    }

    /// Detaches from every interface, and attaches to no other. Blocks while one is being attached.
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

/// Follows the network interfaces.
pub(super) struct Interfaces {
    choice: Choice,
    names: Arc<InterfaceNames>,
    set: SharedSet,
}

impl Follower for Interfaces {
    const WHAT: &'static str = "network interfaces";
    const GROUPS: &'static [MulticastGroup] = &[MulticastGroup::Link];

    async fn refresh(&mut self, netlink: &mut Netlink, changes: Changes) -> Result<()> {
        let links = interfaces::list(netlink).await?;
        let interfaces = self.choice.choose(&links, &changes.removed);
        // Before attaching, so that the name is known when the first packet is written to a file.
        self.names
            .update(interfaces.iter().map(Interface::numbered));
        let set = Arc::clone(&self.set);
        // On a blocking thread, because it may take long on a busy host, and this one has to handle
        // signals.
        let reconciled = spawn_blocking(move || {
            if let Some(set) = lock(&set).as_mut() {
                for (interface, error) in set.reconcile(&interfaces, &changes) {
                    warn_not_captured(&interface, &error);
                }
            }
        });
        reconciled.await.context("following network interfaces")
    }

    async fn idle(&mut self) -> Infallible {
        std::future::pending().await
    }
}

pub(super) fn warn_not_captured(interface: &Interface, error: &Error) {
    tracing::warn!(
        "not capturing {} for now, will retry when an interface changes: {error:#}",
        interface.name
    );
}
