//! Runs the configured flow sources.

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

/// How often to check whether the prefix has been learned from tcp-info.
const LEARNING: Duration = Duration::from_millis(100);

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
}

/// The kernel flow source.
struct Sockets {
    link: SocketLink,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Sources {
    /// Starts the configured sources. Interfaces must be captured already, so that no packet is
    /// missing from connections that are opened from now on.
    ///
    /// Events from tcp-info are not published: clients can get them from tcp-info itself.
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
            // Wait for these before capture is announced: what is open by then is captured.
            announce_existing(prefix, sink.clone(), config.filters.clone()).await;
        } else if config.existing {
            let announce = announce_existing(prefix, sink.clone(), config.filters.clone());
            sources.tasks.push(tokio::spawn(announce).abort_handle());
        }
        Ok(sources)
    }

    /// Stops the sources, after delivering every event that the kernel has reported.
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

/// Delivers an Open for each connection that is older than the daemon, once the prefix is known.
async fn announce_existing(prefix: LearnedPrefix, sink: EventSink, filters: Filters) {
    // If the daemon stops meanwhile, nobody needs these events.
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
    // The kernel programs apply the same filters to newer connections.
    sockets.retain(|socket| filters.pass(socket.local, socket.remote));
    tracing::info!("{} connections are older than this daemon", sockets.len());
    let clock = clock::sample();
    for event in existing::opens(sockets, prefix, &clock) {
        sink.deliver(event).await?;
    }
    Ok(())
}
