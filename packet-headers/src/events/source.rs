//! The flow sources that were chosen, while they run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::task::AbortHandle;

use super::kernel::EventNamer;
use super::prefix::LearnedPrefix;
use super::{EventSink, Stopped, existing, kernel, tcpinfo};
use crate::clock;
use crate::config::Config;
use crate::heartbeat::{Heartbeats, WaitsFor};
use crate::kernel::ring::RingReader;
use crate::kernel::{Programs, SocketLink, requirements};
use crate::stats::Counters;
use crate::threads::{join, spawn};
use model::{Filters, FlowSource};

/// How often it is looked whether tcp-info has taught us its prefix.
const LEARNING: Duration = Duration::from_millis(100);

/// Who tells of flows, while it does.
#[derive(Default)]
pub(crate) struct Sources {
    sockets: Option<Sockets>,
    tasks: Vec<AbortHandle>,
}

/// The thread that reads the kernel's event ring.
const NAME: &str = "flow-events";

/// What every source works with.
#[derive(Clone, Copy)]
pub(crate) struct SourceContext<'a> {
    /// Where events go.
    pub(crate) sink: &'a EventSink,
    /// Where they are counted.
    pub(crate) counters: &'a Arc<Counters>,
    /// Where a source's thread proves that it turns.
    pub(crate) heartbeats: &'a Heartbeats,
}

/// The kernel's sockets as a source.
struct Sockets {
    link: SocketLink,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Sources {
    /// Starts what the configuration asks for. The interfaces must be captured already: what is
    /// opened from now on has all its packets then.
    ///
    /// What tcp-info tells is not published: whoever wants it asks tcp-info.
    pub(crate) async fn start(
        config: &Config,
        programs: &mut Programs,
        ring: RingReader,
        context: SourceContext<'_>,
    ) -> Result<Self> {
        let SourceContext { sink, counters, .. } = context;
        let mut sources = Self::default();
        let (prefix, socket) = match &config.source {
            FlowSource::Kernel(prefix) => (LearnedPrefix::known(prefix.clone()), None),
            FlowSource::TcpInfo(socket, given) | FlowSource::Hybrid(socket, given) => {
                let known = given.clone().map(LearnedPrefix::known);
                (known.unwrap_or_default(), Some(socket.clone()))
            }
        };
        if config.source.watches_sockets() {
            let sockets = Sockets::start(programs, ring, &prefix, context)?;
            sources.sockets = Some(sockets);
        }
        if let Some(socket) = socket {
            let teach = Some(prefix.clone());
            let sink = sink.published(None);
            let follow = tcpinfo::follow(socket, sink, Arc::clone(counters), teach);
            sources.tasks.push(tokio::spawn(follow).abort_handle());
        }
        if config.existing && prefix.get().is_some() {
            // Before we say that we capture: what is open then is captured.
            announce_existing(prefix, sink.clone(), config.filters.clone()).await;
        } else if config.existing {
            let announce = announce_existing(prefix, sink.clone(), config.filters.clone());
            sources.tasks.push(tokio::spawn(announce).abort_handle());
        }
        Ok(sources)
    }

    /// Ends them, with every event delivered that the kernel told.
    pub(crate) fn stop(self) -> Result<()> {
        for task in self.tasks {
            task.abort();
        }
        self.sockets.map_or(Ok(()), Sockets::stop)
    }
}

impl Sockets {
    fn start(
        programs: &mut Programs,
        ring: RingReader,
        prefix: &LearnedPrefix,
        context: SourceContext<'_>,
    ) -> Result<Self> {
        let link = SocketLink::attach(programs, &requirements::cgroup2_root()?)?;
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let (prefix, sink) = (prefix.clone(), context.sink.clone());
        let counters = Arc::clone(context.counters);
        let heartbeat = context.heartbeats.add(NAME, WaitsFor::Work);
        counters.kernel_events_up.store(true, Ordering::Relaxed);
        let thread = spawn(NAME, move || {
            let namer = EventNamer::new(&prefix, &sink, &counters);
            let followed = kernel::follow(ring, namer, &heartbeat, &until);
            counters.kernel_events_up.store(false, Ordering::Relaxed);
            followed
        })?;
        Ok(Self { link, stop, thread })
    }

    fn stop(self) -> Result<()> {
        drop(self.link);
        self.stop.store(true, Ordering::Release);
        join(self.thread)
    }
}

/// Announces the connections that were open before us, as soon as we know what to call them.
async fn announce_existing(prefix: LearnedPrefix, sink: EventSink, filters: Filters) {
    // When the daemon stops meanwhile, there is nobody to be told.
    let _stopped = deliver_existing(prefix, &sink, &filters).await;
    sink.older_are_delivered().await;
}

async fn deliver_existing(
    prefix: LearnedPrefix,
    sink: &EventSink,
    filters: &Filters,
) -> Result<(), Stopped> {
    while prefix.get().is_none() {
        tokio::time::sleep(LEARNING).await;
    }
    let listed = tokio::task::spawn_blocking(existing::connected).await;
    let mut sockets = match listed.context("listing sockets").flatten() {
        Ok(sockets) => sockets,
        Err(error) => {
            tracing::warn!("connections older than this daemon are not captured: {error:#}");
            return Ok(());
        }
    };
    let Some(prefix) = prefix.get() else {
        return Ok(());
    };
    // Of the newer ones the programs tell only what passes.
    sockets.retain(|socket| filters.pass(socket.local, socket.remote));
    tracing::info!("{} connections are older than this daemon", sockets.len());
    let clock = clock::sample();
    for event in existing::opens(sockets, prefix, &clock) {
        sink.deliver(event).await?;
    }
    Ok(())
}
