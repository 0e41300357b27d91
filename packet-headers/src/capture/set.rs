//! The set of captured interfaces.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Error;

use super::attached::Attached;
use super::plan::Plan;
use crate::host::interfaces::Interface;
use crate::host::netlink::Changes;
use crate::kernel::Attach;

/// The captured interfaces, and what is attached to each. Dropping it detaches from all.
#[derive(Debug)]
pub(crate) struct CaptureSet<A: Attach> {
    attacher: A,
    captured: BTreeMap<u32, Captured<A::Link>>,
    /// Why an interface could not be attached to, by index, so that the same error is reported only
    /// once.
    failed: HashMap<u32, String>,
    attached: Attached,
}

#[derive(Debug)]
struct Captured<L> {
    interface: Interface,
    _link: L,
}

impl<A: Attach> CaptureSet<A> {
    pub(crate) fn new(attacher: A) -> Self {
        Self {
            attacher,
            captured: BTreeMap::new(),
            failed: HashMap::new(),
            attached: Attached::default(),
        }
    }

    /// The names of the captured interfaces, now and later.
    pub(crate) fn attached(&self) -> Attached {
        self.attached.clone()
    }

    pub(crate) fn attacher(&mut self) -> &mut A {
        &mut self.attacher
    }

    pub(super) fn is_empty(&self) -> bool {
        self.captured.is_empty()
    }

    /// Attaches and detaches until exactly the `wanted` interfaces are captured. One that cannot be
    /// attached to is tried again at each call. Returns the failures that are new: those of which
    /// the last call did not return the same.
    pub(crate) fn reconcile(
        &mut self,
        wanted: &[Interface],
        changes: &Changes,
    ) -> Vec<(Interface, Error)> {
        let mut stale = changes.removed.clone();
        if changes.overrun {
            stale.extend(self.detached());
        }
        let captured = self.captured.values().map(|captured| &captured.interface);
        let plan = Plan::new(captured, wanted, &stale);
        for index in plan.detach {
            self.detach(index);
        }
        for renamed in plan.renamed {
            self.rename(renamed);
        }
        let to_attach: HashSet<_> = plan.attach.iter().map(|i| i.index).collect();
        self.failed.retain(|index, _| to_attach.contains(index));
        let attach = plan.attach.into_iter();
        let failures = attach
            .filter_map(|interface| self.attach(interface))
            .collect();
        let captured = self.captured.values();
        self.attached
            .set(captured.map(|c| c.interface.name.as_str()));
        failures
    }

    pub(super) fn detach_all(self) {
        self.attached.set([].into_iter());
    }

    fn detach(&mut self, index: u32) {
        if let Some(captured) = self.captured.remove(&index) {
            let name = captured.interface.name.clone();
            drop(captured);
            tracing::info!("detached from {name} (interface {index})");
        }
    }

    fn rename(&mut self, renamed: Interface) {
        if let Some(captured) = self.captured.get_mut(&renamed.index) {
            let (old, new) = (&captured.interface.name, &renamed.name);
            tracing::info!(
                "interface {} was renamed: it is {new} now, not {old}",
                renamed.index
            );
            captured.interface = renamed;
        }
    }

    /// Attaches to an interface. Returns the error if the last attempt did not fail with the same.
    fn attach(&mut self, interface: Interface) -> Option<(Interface, Error)> {
        let (index, name) = (interface.index, &interface.name);
        match self.attacher.attach(&interface) {
            Ok(link) => {
                tracing::info!(
                    "attached to {name} (interface {index}, {:?})",
                    interface.link_type
                );
                self.failed.remove(&index);
                let captured = Captured {
                    interface,
                    _link: link,
                };
                self.captured.insert(index, captured);
                None
            }
            Err(error) => {
                let message = format!("{error:#}");
                let before = self.failed.insert(index, message.clone());
                (before.as_ref() != Some(&message)).then_some((interface, error))
            }
        }
    }

    /// Captured interfaces, by index, from which the programs have been detached by others.
    fn detached(&mut self) -> Vec<u32> {
        let Self {
            attacher, captured, ..
        } = self;
        let captured = captured.values().map(|captured| &captured.interface);
        let detached = captured.filter(|interface| !attacher.is_attached(interface));
        detached.map(|interface| interface.index).collect()
    }
}

#[cfg(test)]
mod tests;
