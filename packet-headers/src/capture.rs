//! Which interfaces are captured, kept up to date while they come and go.

mod attached;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Error, Result};
use rtnetlink::MulticastGroup;
use tokio::task::{JoinHandle, spawn_blocking};

pub(crate) use self::attached::Attached;
use crate::interfaces::choice::Choice;
use crate::interfaces::{Interface, Link};
use crate::kernel::{Attach, Attacher};
use crate::netlink::{self, Changes, Follower, Netlink};
use capture_files::InterfaceNames;
use model::NamePattern;

/// What is attached, and to which interface.
#[derive(Debug)]
pub(crate) struct CaptureSet<A: Attach> {
    attacher: A,
    captured: BTreeMap<u32, Captured<A::Link>>,
    /// Why an interface could not be captured, by index; said once.
    failed: HashMap<u32, String>,
    attached: Attached,
}

#[derive(Debug)]
struct Captured<L> {
    interface: Interface,
    _link: L,
}

/// What has to be done so that these interfaces are captured and no others.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// By index.
    detach: Vec<u32>,
    attach: Vec<Interface>,
    /// The same interface under another name.
    renamed: Vec<Interface>,
}

impl Plan {
    /// `left` are interfaces, by index, that are not what they were, whatever their index says.
    fn new<'a>(
        captured: impl Iterator<Item = &'a Interface>,
        wanted: &[Interface],
        left: &HashSet<u32>,
    ) -> Self {
        let have: BTreeMap<u32, &Interface> = captured.map(|i| (i.index, i)).collect();
        let want: BTreeMap<u32, &Interface> = wanted.iter().map(|i| (i.index, i)).collect();
        let stays = |interface: &Interface| {
            let wanted = want.get(&interface.index);
            !left.contains(&interface.index)
                && wanted.is_some_and(|wanted| wanted.link_type == interface.link_type)
        };
        let mut plan = Self {
            detach: have
                .values()
                .filter(|i| !stays(i))
                .map(|i| i.index)
                .collect(),
            ..Self::default()
        };
        for (index, &interface) in &want {
            match have.get(index).filter(|have| stays(have)) {
                None => plan.attach.push(interface.clone()),
                Some(have) if have.name != interface.name => plan.renamed.push(interface.clone()),
                Some(_) => {}
            }
        }
        plan
    }
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

    /// Which interfaces are captured, now and later.
    pub(crate) fn attached(&self) -> Attached {
        self.attached.clone()
    }

    /// Who attaches.
    pub(crate) fn attacher(&mut self) -> &mut A {
        &mut self.attacher
    }

    /// Sees to it that these interfaces are captured and no others. What could not be attached is
    /// tried again the next time; what of it was not known before comes back.
    pub(crate) fn reconcile(
        &mut self,
        wanted: &[Interface],
        changes: &Changes,
    ) -> Vec<(Interface, Error)> {
        let mut left = changes.gone.clone();
        if changes.lost {
            left.extend(self.detached());
        }
        let captured = self.captured.values().map(|captured| &captured.interface);
        let plan = Plan::new(captured, wanted, &left);
        for index in plan.detach {
            if let Some(captured) = self.captured.remove(&index) {
                let name = captured.interface.name.clone();
                drop(captured);
                tracing::info!("detached from {name} (interface {index})");
            }
        }
        for renamed in plan.renamed {
            if let Some(captured) = self.captured.get_mut(&renamed.index) {
                let (before, now) = (&captured.interface.name, &renamed.name);
                tracing::info!("interface {} is {now} now, not {before}", renamed.index);
                captured.interface = renamed;
            }
        }
        let asked: HashSet<_> = plan.attach.iter().map(|i| i.index).collect();
        self.failed.retain(|index, _| asked.contains(index));
        let attach = plan.attach.into_iter();
        let news = attach
            .filter_map(|interface| self.attach(interface))
            .collect();
        let captured = self.captured.values();
        self.attached
            .set(captured.map(|c| c.interface.name.as_str()));
        news
    }

    /// Attaches to an interface; why it cannot, if that is news.
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
                let why = format!("{error:#}");
                let before = self.failed.insert(index, why.clone());
                (before.as_ref() != Some(&why)).then_some((interface, error))
            }
        }
    }

    /// Captured interfaces, by index, whose programs are not where they were put.
    fn detached(&mut self) -> Vec<u32> {
        let Self {
            attacher, captured, ..
        } = self;
        let captured = captured.values().map(|captured| &captured.interface);
        let detached = captured.filter(|interface| !attacher.is_attached(interface));
        detached.map(|interface| interface.index).collect()
    }
}

/// What is to be captured, before anything is.
#[derive(Debug)]
pub(crate) struct Prospect {
    netlink: Netlink,
    choice: Choice,
    /// What there is to capture now; there may be nothing yet.
    pub(crate) interfaces: Vec<Interface>,
}

impl Prospect {
    /// Looks for the interfaces that are wanted.
    ///
    /// # Errors
    /// When one that was asked for by name cannot be captured.
    pub(crate) async fn find(wanted: &[NamePattern]) -> Result<Self> {
        let mut netlink = Netlink::open(Capture::GROUPS).context("watching network interfaces")?;
        let links = Link::list(&mut netlink).await?;
        let mut choice = Choice::new(wanted);
        choice.check(&links)?;
        let interfaces = choice.choose(&links, &HashSet::new());
        Ok(Self {
            netlink,
            choice,
            interfaces,
        })
    }

    /// What is captured, or waited for, in words.
    pub(crate) fn describe(&self) -> String {
        let names: Vec<_> = self.interfaces.iter().map(|i| i.name.as_str()).collect();
        if names.is_empty() {
            return format!(
                "nothing yet: no interface, waiting for {}",
                self.choice.awaited()
            );
        }
        names.join(", ")
    }

    /// Captures what there is.
    ///
    /// # Errors
    /// When one that was asked for by name cannot be captured, or none at all.
    pub(crate) fn begin<A: Attach>(
        &self,
        set: &mut CaptureSet<A>,
        names: &InterfaceNames,
    ) -> Result<()> {
        names.update(self.interfaces.iter().map(Interface::numbered));
        for (interface, why) in set.reconcile(&self.interfaces, &Changes::default()) {
            if self.choice.is_named(&interface) || set.captured.is_empty() {
                return Err(why);
            }
            report(&interface, &why);
        }
        Ok(())
    }

    /// Captures what comes and goes from now on.
    pub(crate) fn follow(
        self,
        set: CaptureSet<Attacher>,
        names: Arc<InterfaceNames>,
    ) -> CaptureWatch {
        let set = Arc::new(Mutex::new(Some(set)));
        let capture = Capture {
            choice: self.choice,
            names,
            set: Arc::clone(&set),
        };
        let task =
            tokio::spawn(async move { match netlink::follow(self.netlink, capture).await {} });
        CaptureWatch { set, task }
    }
}

fn report(interface: &Interface, why: &Error) {
    tracing::warn!("not capturing {} for now: {why:#}", interface.name);
}

/// None when capture has ended.
type SharedSet = Arc<Mutex<Option<CaptureSet<Attacher>>>>;

/// What is captured, while it follows the interfaces.
#[derive(Debug)]
pub(crate) struct CaptureWatch {
    set: SharedSet,
    task: JoinHandle<()>,
}

impl CaptureWatch {
    /// Detaches from every interface, and from none that comes later. Blocks while one is being
    /// attached.
    pub(crate) fn stop(self) {
        self.task.abort();
        if let Some(set) = lock(&self.set).take() {
            set.attached.set([].into_iter());
        }
    }
}

fn lock(set: &SharedSet) -> MutexGuard<'_, Option<CaptureSet<Attacher>>> {
    // Whatever panicked, what is attached has to be detached.
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Follows the interfaces.
struct Capture {
    choice: Choice,
    names: Arc<InterfaceNames>,
    set: SharedSet,
}

impl Follower for Capture {
    const WHAT: &'static str = "network interfaces";
    const GROUPS: &'static [MulticastGroup] = &[MulticastGroup::Link];

    async fn refresh(&mut self, netlink: &mut Netlink, changes: Changes) -> Result<()> {
        let links = Link::list(netlink).await?;
        let interfaces = self.choice.choose(&links, &changes.gone);
        // Before a file can have a packet of a new one.
        self.names
            .update(interfaces.iter().map(Interface::numbered));
        let set = Arc::clone(&self.set);
        // Not here: on a busy host it may take long, and signals are to be heard.
        let reconciled = spawn_blocking(move || {
            if let Some(set) = lock(&set).as_mut() {
                for (interface, why) in set.reconcile(&interfaces, &changes) {
                    report(&interface, &why);
                }
            }
        });
        reconciled.await.context("following network interfaces")
    }

    async fn idle(&mut self) -> Infallible {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests;
