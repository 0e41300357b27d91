//! The set of captured interfaces.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use anyhow::{Error, Result};

use super::attached::{Attached, Missing};
use super::plan::Plan;
use super::socket_watch::SocketWatch;
use crate::host::interfaces::Interface;
use crate::host::netlink::Changes;
use crate::kernel::Attach;
use crate::rate_limit::RateLimit;

/// The captured interfaces, and what is attached to each. Dropping it detaches from all.
#[derive(Debug)]
pub(crate) struct CaptureSet<A: Attach> {
    attacher: A,
    captured: BTreeMap<u32, Captured<A::Link>>,
    sockets: SocketWatch<A::SocketLink>,
    /// How others detached our programs from interfaces that are still wanted, by index.
    lost: BTreeMap<u32, Missing>,
    /// Why an interface could not be attached to, by index, so that the same error is reported only
    /// once.
    failed: HashMap<u32, String>,
    attached: Attached,
    doubts: RateLimit,
    losses: RateLimit,
}

/// How often the log says that the kernel does not tell what is attached.
const DOUBTS: Duration = Duration::from_secs(600);

/// How often the log tells of losses, if they go on.
const LOSSES: Duration = Duration::from_secs(60);

/// How many of the things that were lost at once the log names.
const NAMED: usize = 10;

#[derive(Debug)]
struct Captured<L> {
    interface: Interface,
    link: L,
}

impl<A: Attach> CaptureSet<A> {
    pub(crate) fn new(attacher: A) -> Self {
        Self {
            attacher,
            captured: BTreeMap::new(),
            sockets: SocketWatch::Unwanted,
            lost: BTreeMap::new(),
            failed: HashMap::new(),
            attached: Attached::default(),
            doubts: RateLimit::every(DOUBTS),
            losses: RateLimit::every(LOSSES),
        }
    }

    /// What is captured, now and later.
    pub(crate) fn attached(&self) -> Attached {
        self.attached.clone()
    }

    /// Watches the sockets of this host from now on.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn watch_sockets(&mut self) -> Result<()> {
        self.sockets = SocketWatch::begin(&mut self.attacher)?;
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.captured.is_empty()
    }

    /// Attaches and detaches until exactly the `wanted` interfaces are captured. One that cannot be
    /// attached to is tried again at each call, and so are the sockets. Returns the failures that are
    /// new: those of which the last call did not return the same. Calls `beat` before each step that
    /// may take long.
    pub(crate) fn reconcile(
        &mut self,
        wanted: &[Interface],
        changes: &Changes,
        beat: &dyn Fn(),
    ) -> Vec<(Interface, Error)> {
        let mut stale = changes.removed.clone();
        if changes.overrun {
            // Their interfaces may have been replaced: not by whom is what matters.
            stale.extend(self.gone(beat).into_keys());
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
        self.lost.retain(|index, _| to_attach.contains(index));
        let mut failures = Vec::new();
        for interface in plan.attach {
            beat();
            failures.extend(self.attach(interface));
        }
        beat();
        self.sockets.restore(&mut self.attacher);
        self.publish();
        failures
    }

    /// Finds the programs that others have detached, and forgets their links; the next
    /// [`reconcile`](Self::reconcile) attaches them again. Returns what is gone.
    pub(crate) fn notice_losses(&mut self, beat: &dyn Fn()) -> Vec<Missing> {
        let mut lost = Vec::new();
        for (index, why) in self.gone(beat) {
            // Dropping a filter's link deletes what is in its place.
            if let Some(captured) = self.captured.remove(&index) {
                let interface = Some(captured.interface.name.clone());
                let missing = Missing { interface, why };
                self.lost.insert(index, missing.clone());
                lost.push(missing);
            }
        }
        match self.sockets.notice(&mut self.attacher) {
            Ok(true) => lost.extend(self.sockets.missing()),
            Ok(false) => {}
            Err(error) => self.doubt("sockets", &error),
        }
        for missing in &lost {
            self.attached.lose(missing);
        }
        lost
    }

    /// Tells the log of losses, after the attempt to attach again.
    pub(crate) fn tell_of(&self, lost: &[Missing]) {
        if lost.is_empty() {
            return;
        }
        let Some(withheld) = self.losses.pass() else {
            return;
        };
        let named: Vec<_> = lost.iter().take(NAMED).map(ToString::to_string).collect();
        let more = match lost.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let outcome = match self.attached.missing().len() {
            0 => "attached again".to_owned(),
            missing => format!("{missing} not attached again yet"),
        };
        tracing::warn!(
            "another program removed ours from {}{more}: {outcome}{withheld}",
            named.join(", ")
        );
    }

    /// Publishes what is captured and what is missing.
    fn publish(&self) {
        let captured = self.captured.values();
        let lost = self.lost.iter().map(|(index, missing)| {
            let because = self.failed.get(index).map(|error| format!("; {error}"));
            Missing {
                why: format!("{}{}", missing.why, because.unwrap_or_default()),
                ..missing.clone()
            }
        });
        let missing = lost.chain(self.sockets.missing()).collect();
        self.attached
            .set(captured.map(|c| c.interface.name.as_str()), missing);
    }

    pub(super) fn detach_all(self) {
        self.attached.set([].into_iter(), Vec::new());
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
                // Of losses, the log has a line of its own.
                if self.lost.remove(&index).is_none() {
                    tracing::info!(
                        "attached to {name} (interface {index}, {:?})",
                        interface.link_type
                    );
                }
                self.failed.remove(&index);
                let captured = Captured { interface, link };
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

    /// Captured interfaces, by index, from which the programs have been detached by others, and how.
    fn gone(&mut self, beat: &dyn Fn()) -> BTreeMap<u32, String> {
        let mut gone = BTreeMap::new();
        for (&index, captured) in &self.captured {
            beat();
            match self.attacher.gone(&captured.interface, &captured.link) {
                Ok(why) => gone.extend(why.map(|why| (index, why))),
                Err(error) => self.doubt(&captured.interface.name, &error),
            }
        }
        gone
    }

    fn doubt(&self, place: &str, error: &Error) {
        if let Some(withheld) = self.doubts.pass() {
            tracing::warn!(
                "cannot tell whether programs are still attached to {place}: {error:#}{withheld}"
            );
        }
    }
}

#[cfg(test)]
mod tests;
