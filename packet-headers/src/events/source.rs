//! Runs the configured flow sources.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::Result;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::catch_up::CatchUp;
use super::kernel::EventNamer;
use super::owners::Owners;
use super::prefix::LearnedPrefix;
use super::tcpinfo::Known;
use super::{EventSink, kernel, older, tcpinfo};
use crate::config::Config;
use crate::heartbeat::{Heartbeats, WaitsFor};
use crate::host::processes::Processes;
use crate::kernel::ring::{RingReader, Waker};
use crate::stats::Counters;
use crate::threads::{join, spawn};
use model::{Filters, FlowSource};

/// The running flow sources.
#[derive(Default)]
pub(crate) struct Sources {
    sockets: Option<Sockets>,
    tasks: Vec<AbortHandle>,
}

/// The name of the thread that reads the kernel's event ring.
const NAME: &str = "flow-events";

/// What every source needs.
#[derive(Clone, Copy)]
pub(crate) struct SourceContext<'a> {
    /// Delivers the events.
    pub(crate) sink: &'a EventSink,
    /// Counts what goes wrong with them.
    pub(crate) counters: &'a Arc<Counters>,
    /// Shows that a source's thread makes progress.
    pub(crate) heartbeats: &'a Heartbeats,
    /// Which connections are to be told of, where the kernel programs do not decide it.
    pub(crate) filters: &'a watch::Receiver<Filters>,
    /// Who had sockets open before the daemon began, if connections are to have owners.
    pub(crate) processes: Option<&'a Arc<Processes>>,
}

impl SourceContext<'_> {
    fn owners(&self) -> Option<Owners> {
        self.processes
            .map(|processes| Owners::new(Arc::clone(processes)))
    }
}

/// The kernel flow source.
struct Sockets {
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: JoinHandle<Result<()>>,
}

impl Sources {
    /// Starts the configured sources. Interfaces must be captured and sockets watched already, so
    /// that no packet is missing from connections that are opened from now on.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) async fn start(
        config: &Config,
        ring: Option<RingReader>,
        context: SourceContext<'_>,
    ) -> Result<Self> {
        let (prefix, tcpinfo) = match &config.source {
            FlowSource::Kernel(prefix) => (LearnedPrefix::known(prefix.clone()), None),
            FlowSource::TcpInfo(socket, given) | FlowSource::Hybrid(socket, given) => {
                let known = given.clone().map(LearnedPrefix::known);
                (known.unwrap_or_default(), Some(socket.clone()))
            }
        };
        let is_known = prefix.get().is_some();
        let up = &context.counters.prefix_known;
        up.store(is_known, Ordering::Relaxed);
        let mut sources = Self::default();
        if config.source.watches_sockets()
            && let Some(ring) = ring
        {
            let sockets = Sockets::start(ring, &prefix, context)?;
            if !is_known {
                let (prefix, waker) = (prefix.clone(), sockets.waker.clone());
                let wake = async move {
                    prefix.learned().await;
                    waker.wake();
                };
                sources.tasks.push(tokio::spawn(wake).abort_handle());
            }
            sources.sockets = Some(sockets);
        }
        let catch_up = sources.open_older(config, &prefix, context).await;
        if let Some(socket) = tcpinfo {
            // Not published: clients can get these events from tcp-info itself.
            let (sink, counters) = (context.sink.published(None), Arc::clone(context.counters));
            let known = Known {
                prefix,
                filters: context.filters.clone(),
                catch_up,
            };
            let follow = tcpinfo::follow(socket, sink, counters, known);
            sources.tasks.push(tokio::spawn(follow).abort_handle());
        }
        Ok(sources)
    }

    /// Delivers the connections that are older than the daemon, now or as soon as they have a name.
    /// Returns what tcp-info's events are to be compared with, if they are the only ones.
    async fn open_older(
        &mut self,
        config: &Config,
        prefix: &LearnedPrefix,
        context: SourceContext<'_>,
    ) -> Option<CatchUp> {
        let (watches, is_known) = (config.source.watches_sockets(), prefix.get().is_some());
        if watches && !config.existing {
            return None;
        }
        let older = older::open_now().await;
        let mut catch_up = CatchUp::default();
        if config.existing && !is_known && !watches {
            catch_up.are_older(&older);
            return Some(catch_up);
        }
        catch_up.are_told(&older);
        if config.existing {
            // As they are now, and those connections are open.
            let filters = context.filters.borrow().clone();
            let of = (filters, context.owners());
            let deliver = older::deliver(older, prefix.clone(), context.sink.clone(), of);
            if is_known {
                // Before capture is announced: what is open by then is captured.
                deliver.await;
            } else {
                self.tasks.push(tokio::spawn(deliver).abort_handle());
            }
        }
        (!watches).then_some(catch_up)
    }

    /// Stops the sources, after delivering every event that the kernel has reported. Sockets must not
    /// be watched any more.
    pub(crate) fn stop(self) -> Result<()> {
        for task in self.tasks {
            task.abort();
        }
        self.sockets.map_or(Ok(()), Sockets::stop)
    }
}

impl Sockets {
    fn start(ring: RingReader, prefix: &LearnedPrefix, context: SourceContext<'_>) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (until, waker) = (Arc::clone(&stop), ring.waker()?);
        let (prefix, sink) = (prefix.clone(), context.sink.clone());
        let counters = Arc::clone(context.counters);
        let heartbeat = context.heartbeats.add(NAME, WaitsFor::Work);
        let owners = context.owners();
        counters.kernel_events_up.store(true, Ordering::Relaxed);
        let thread = spawn(NAME, move || {
            let namer = EventNamer::new(&prefix, &sink, &counters).with(owners);
            let followed = kernel::follow(ring, namer, &heartbeat, &until);
            counters.kernel_events_up.store(false, Ordering::Relaxed);
            followed
        })?;
        Ok(Self {
            stop,
            waker,
            thread,
        })
    }

    fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
        join(self.thread)
    }
}
