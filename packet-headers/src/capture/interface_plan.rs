//! The interfaces to capture, before anything is attached.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::set::CaptureSet;
use super::watch::{CaptureWatch, Failures, Interfaces};
use crate::heartbeat::Heartbeats;
use crate::host::choice::Choice;
use crate::host::interfaces::{self, Interface};
use crate::host::netlink::{Changes, Follower as _, Netlink};
use crate::kernel::{Attach, Attacher};
use capture_files::InterfaceNames;
use model::NamePattern;

/// The interfaces to capture, before anything is attached.
#[derive(Debug)]
pub(crate) struct InterfacePlan {
    netlink: Netlink,
    choice: Choice,
    /// The wanted interfaces that exist now; there may be none yet.
    interfaces: Vec<Interface>,
}

impl InterfacePlan {
    /// Finds the interfaces that are wanted.
    ///
    /// # Errors
    /// When one that is wanted by name does not exist or cannot be captured.
    pub(crate) async fn find(wanted: &[NamePattern]) -> Result<Self> {
        let mut netlink =
            Netlink::open(Interfaces::GROUPS).context("watching network interfaces")?;
        let links = interfaces::list(&mut netlink).await?;
        let mut choice = Choice::new(wanted);
        choice.check(&links)?;
        let interfaces = choice.choose(&links, &HashSet::new());
        Ok(Self {
            netlink,
            choice,
            interfaces,
        })
    }

    /// The interfaces to capture, or what is waited for, in words.
    pub(crate) fn describe(&self) -> String {
        self.names().unwrap_or_else(|| {
            let awaited = self.choice.awaited();
            format!("nothing yet: no interface to capture, waiting for {awaited}")
        })
    }

    /// The names of the interfaces to capture, if there are any now.
    pub(crate) fn names(&self) -> Option<String> {
        let names: Vec<_> = self.interfaces.iter().map(|i| i.name.as_str()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    /// Attaches to the interfaces that exist now.
    ///
    /// # Errors
    /// When one that is wanted by name cannot be captured, or none at all can.
    pub(crate) fn begin<A: Attach>(
        &self,
        set: &mut CaptureSet<A>,
        names: &InterfaceNames,
    ) -> Result<()> {
        names.update(self.interfaces.iter().map(Interface::numbered));
        let failures = Failures::default();
        for (interface, error) in set.reconcile(&self.interfaces, &Changes::default(), &|| ()) {
            if self.choice.is_named(&interface) || set.is_empty() {
                return Err(error);
            }
            failures.warn(&interface, &error);
        }
        Ok(())
    }

    /// Keeps the captured interfaces up to date and the programs attached from now on.
    pub(crate) fn follow(
        self,
        set: CaptureSet<Attacher>,
        names: Arc<InterfaceNames>,
        heartbeats: &Heartbeats,
    ) -> CaptureWatch {
        CaptureWatch::start(self.netlink, self.choice, set, (names, heartbeats))
    }
}
