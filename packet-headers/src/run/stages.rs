//! The stages: in which order they start, and in which they stop.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use tokio::sync::watch;

use super::banner::StartupBanner;
use super::confinement;
use super::output::Output;
use super::pipeline::{Pipeline, Shared};
use super::prerequisites::Prerequisites;
use super::privileges;
use super::reload::{InForce, Parts, Reload};
use super::screen::{self, Asked, Screen};
use super::site::{Captured, site};
use super::udp::{self, UdpStages};
use crate::capture::{CaptureSet, CaptureWatch, InterfacePlan};
use crate::config::{Config, ReadAgain};
use crate::events;
use crate::events::owners::Owners;
use crate::events::publish::{EventServer, Scope};
use crate::events::source::{SourceContext, Sources};
use crate::heartbeat::Heartbeats;
use crate::http;
use crate::kernel::listeners::Listeners;
use crate::kernel::load::Needed;
use crate::kernel::ring::RingReader;
use crate::kernel::{
    Attacher, Backend, Cgroup2, KernelLog, LoadOptions, Opened, Refused, ShardSources, method,
};
use crate::live::{self, Tee};
use crate::load_options::{MAX_FLOWS, load_options};
use crate::shard::ShardHandle;
use crate::stats::{CounterSources, Counters};
use crate::store::Maintenance;
use crate::store::rows::Rows;
use crate::unix_socket::{self, SocketFile};
use capture_files::{InterfaceNames, Retention};
use model::AttachMethod;

/// Every stage, while it runs.
pub(super) struct Stages {
    capture: CaptureWatch,
    sources: Sources,
    server: Option<EventServer>,
    pipeline: Pipeline,
    maintenance: Maintenance,
    udp: Option<UdpStages>,
    changes: Arc<Parts>,
    counted: CounterSources,
    /// The socket at which packets are watched. Its file is removed on drop.
    _watched: Option<SocketFile>,
}

impl Stages {
    /// Starts the stages, consumers first.
    ///
    /// # Errors
    /// When one cannot be started; the message says what to do.
    pub(super) async fn start(
        config: &Config,
        (method, output): (AttachMethod, Output),
        mut taken: Prerequisites,
        heartbeats: &Heartbeats,
    ) -> Result<(Self, Option<KernelLog>, Option<Screen>)> {
        let settings = load_options(config);
        let (mut opened, filters) = open(config, method, &settings)?;
        let counted = counted(&mut opened.backend)?;
        let kernel_log = opened.backend.take_logger()?;
        let listeners = opened.backend.take_listeners()?;
        let names = Arc::new(InterfaceNames::default());
        let (sink, events) = events::queues(settings.shards, opened.sharding);
        let counters = &counted.counters;
        let scope = scope(config, &settings);
        let server = serve_events(taken.events.take(), scope, heartbeats, counters)?;
        let sink = sink.published(server.as_ref().map(EventServer::publisher));
        let retention = retention(config, &taken);
        let (live, watched) = watchers(taken.watch.take(), &names, counters)?;
        let rows = rows(config, &taken, &retention, counters);
        let shared = Shared {
            config,
            datagrams: None,
            live: live.as_ref(),
            rows: rows.as_ref(),
            room: &retention.room(),
            heartbeats,
            directories: &taken.directories,
            options: &taken.options,
            kept_open: taken.kept_open,
            interfaces: &names,
            owners: &watch::Sender::new(config.owners.clone()),
            counted: &counted,
        };
        let pipeline = Pipeline::start(&shared, opened.sources, events)?;
        let udp = start_udp(&shared, &taken, opened.datagrams)?;
        let capture = capture(config, opened.backend, method, (&taken.interfaces, &names))?;
        let wanted = filters.follow();
        let context = SourceContext {
            sink: &sink,
            counters,
            heartbeats,
            filters: &wanted,
            processes: taken.processes.as_ref(),
        };
        tell_listeners(&taken, listeners);
        let sources = Sources::start(config, opened.events, context).await?;
        let maintenance = maintenance(&shared, retention)?;
        let shards = shards(&pipeline, udp.as_ref());
        let screen = begin(&shared, &shards, &taken, (method, output))?;
        let captured = captured(&capture, method, opened.refused, &scope);
        serve_http(taken.http, &shared, &shards, captured);
        let stages = Self {
            changes: Arc::new(Parts::new(filters, &shared, (shards, udp.as_ref()))),
            capture: taken.interfaces.follow(capture, names, heartbeats),
            sources,
            server,
            pipeline,
            maintenance,
            udp,
            counted,
            _watched: watched,
        };
        Ok((stages, kernel_log, screen))
    }

    /// Where everything is counted.
    pub(super) fn counted(&self) -> CounterSources {
        self.counted.clone()
    }

    /// How they take over a configuration that was read again.
    pub(super) fn reload(&self, read: ReadAgain, config: &Config) -> Reload {
        Reload::new(read, config, Arc::clone(&self.changes))
    }

    /// Stops the stages, producers first. Blocks: detaching may take long on a busy host.
    ///
    /// # Errors
    /// When one failed while it ran.
    pub(super) fn stop(self) -> Result<()> {
        self.capture.stop();
        self.counted.kernel.settle()?;
        self.counted.note_losses()?;
        self.sources.stop()?;
        self.server.map_or(Ok(()), EventServer::stop)?;
        self.pipeline.stop()?;
        self.udp.map_or(Ok(()), UdpStages::stop)?;
        self.maintenance.stop()
    }
}

/// What removes old files of connections.
fn retention(config: &Config, taken: &Prerequisites) -> Retention {
    let limits = match &taken.udp {
        Some(_) => udp::shares(config.files.retention).0,
        None => config.files.retention,
    };
    Retention::of(&taken.directories, limits)
}

/// All shards.
fn shards(pipeline: &Pipeline, udp: Option<&UdpStages>) -> Vec<ShardHandle> {
    let of_datagrams = udp.map_or(&[][..], UdpStages::shards);
    [pipeline.shards(), of_datagrams].concat()
}

/// Starts what turns UDP into files, if that is captured, and what keeps such files in order, if there are any.
fn start_udp(
    shared: &Shared<'_>,
    taken: &Prerequisites,
    source: Option<(ShardSources, RingReader)>,
) -> Result<Option<UdpStages>> {
    let captured = shared.config.datagrams.as_ref().zip(source);
    let start = |directories| UdpStages::start(shared, directories, captured);
    taken.udp.as_ref().map(start).transpose()
}

/// Serves events at a socket, if they are to be served.
fn serve_events(
    socket: Option<unix_socket::Listener>,
    scope: Scope,
    heartbeats: &Heartbeats,
    counters: &Arc<Counters>,
) -> Result<Option<EventServer>> {
    let start = |socket| EventServer::start(socket, scope, heartbeats, counters);
    socket.map(start).transpose()
}

/// The rows that are written of files, if any are to be.
fn rows(
    config: &Config,
    taken: &Prerequisites,
    retention: &Retention,
    counters: &Arc<Counters>,
) -> Option<Rows> {
    let rows = config.rows.as_ref()?;
    let files = (&taken.directories, taken.options.naming);
    let room = retention.room();
    Some(Rows::new(rows, files, &room, counters, Path::new("")))
}

/// What the page says of how packets are captured.
fn captured(
    capture: &CaptureSet<Attacher>,
    method: AttachMethod,
    refused: Refused,
    scope: &Scope,
) -> Captured {
    Captured {
        attached: capture.attached(),
        method,
        refused,
        every_namespace: scope.every_namespace,
    }
}

/// Serves metrics, health, connections and the page, if there is an address for that.
fn serve_http(
    listener: Option<http::Listener>,
    shared: &Shared<'_>,
    shards: &[ShardHandle],
    captured: Captured,
) {
    if let Some(listener) = listener {
        let site = site(shared, shards, captured);
        tokio::spawn(http::serve(listener, http::routes(site)));
    }
}

/// Looks after files, and those of rows.
fn maintenance(shared: &Shared<'_>, retention: Retention) -> Result<Maintenance> {
    let files = (shared.directories, shared.rows.cloned());
    let counters = &shared.counted.counters;
    let names = ["maintenance", "retention"];
    Maintenance::start(names, files, retention, shared.heartbeats, counters)
}

/// Where everything is counted.
fn counted(backend: &mut Backend) -> Result<CounterSources> {
    Ok(CounterSources {
        kernel: Arc::new(backend.take_counters()?),
        counters: Arc::default(),
    })
}

/// Lets packets be watched, if there is a socket for that.
fn watchers(
    socket: Option<unix_socket::Listener>,
    names: &Arc<InterfaceNames>,
    counters: &Arc<Counters>,
) -> Result<(Option<Tee>, Option<SocketFile>)> {
    let served = socket.map(|it| live::serve(it, names, counters));
    Ok(served.transpose()?.unzip())
}

/// Loads the programs or opens packet sockets, gives up the privileges that only this needs, and enters the
/// sandbox.
fn open(
    config: &Config,
    method: AttachMethod,
    settings: &LoadOptions,
) -> Result<(Opened, InForce)> {
    let needed = Needed {
        owners: settings.owners,
        ..method::programs(method, config.source.watches_sockets())
    };
    let mut opened = Opened::by(method, settings, needed)?;
    // Now, while there is only one thread: later ones inherit its capabilities, and the sandbox.
    privileges::warn_on_error(privileges::drop_unneeded(config, method));
    confinement::enter(config, method);
    let mut filters = opened.backend.take_filters()?;
    filters.replace(&config.filters, || {})?;
    filters.set_capture(config.timing.capture);
    filters.set_udp_silence(config.udp_silence);
    let in_force = InForce::new(filters, config.filters.clone());
    Ok((opened, in_force))
}

/// Tells the programs, which are attached, who listens already.
fn tell_listeners(taken: &Prerequisites, listeners: Option<Listeners>) {
    // Where namespaces cannot be told apart, nobody asks who listens.
    if let (Some(processes), Some(netns), Some(mut listeners)) =
        (&taken.processes, taken.netns, listeners)
    {
        Owners::new(Arc::clone(processes)).tell_listeners(&mut listeners, netns);
    }
}

/// Says that capture has begun, and starts to show it, if somebody watches.
fn begin(
    shared: &Shared<'_>,
    shards: &[ShardHandle],
    taken: &Prerequisites,
    (method, output): (AttachMethod, Output),
) -> Result<Option<Screen>> {
    let Shared {
        config, counted, ..
    } = shared;
    let described = taken.interfaces.describe();
    let http = taken.http.as_ref();
    output.begin(&StartupBanner::new(config, method, http, &described));
    if !output.is_watched() {
        return Ok(None);
    }
    let stats = shards.iter().map(|shard| Arc::clone(&shard.stats));
    let sources = screen::Sources {
        counted: CounterSources::clone(counted),
        shards: stats.collect(),
        data: config.files.data.clone(),
    };
    let asked = Asked {
        interfaces: taken.interfaces.names(),
        capture: config.timing.capture,
        loopback: !config.filters.exclude_loopback,
        every_netns: config.every_netns,
    };
    Screen::start(sources, asked).map(Some)
}

/// Attaches the programs to the interfaces and, where the kernel is a flow source, to its sockets.
fn capture(
    config: &Config,
    backend: Backend,
    method: AttachMethod,
    (interfaces, names): (&InterfacePlan, &InterfaceNames),
) -> Result<CaptureSet<Attacher>> {
    let watches_sockets = config.source.watches_sockets();
    let cgroup = watches_sockets.then(Cgroup2::find).transpose()?;
    let cgroup = cgroup.map(|cgroup| cgroup.path().to_owned());
    let mut capture = CaptureSet::new(Attacher::new(backend, method, cgroup)?);
    interfaces.begin(&mut capture, names)?;
    if watches_sockets {
        capture.watch_sockets()?;
    }
    Ok(capture)
}

/// What the sources deliver.
fn scope(config: &Config, settings: &LoadOptions) -> Scope {
    Scope {
        open: MAX_FLOWS as usize,
        older: config.existing,
        every_namespace: config.source.watches_sockets() && settings.netns_cookie.is_none(),
    }
}
