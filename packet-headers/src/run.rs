//! Puts the stages together, starts them in order and stops them in order. The only file that knows
//! them all.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use aya_log::EbpfLogger;
use prometheus::process_collector::ProcessCollector;

use crate::accounts::Accounts;
use crate::addresses::OwnAddresses;
use crate::anonymize::Anonymizer;
use crate::capture::{Attached, CaptureSet, CaptureWatch, Prospect};
use crate::config::Config;
use crate::events;
use crate::events::publish::{EventListener, EventServer, Scope};
use crate::events::source::Sources;
use crate::http::{self, Flows, Listener, Readiness, Site};
use crate::interfaces::InterfaceNames;
use crate::kernel::ring::RingReader;
use crate::kernel::{
    AttachMethod, Attacher, KernelCounters, LoadOptions, Programs, filters, netns, requirements,
};
use crate::metrics::Metrics;
use crate::pipeline::{Pipeline, ShardDoor, Shared};
use crate::privileges;
use crate::screen::{Screen, say};
use crate::signals::{Asked, Signals};
use crate::store::Upkeep;
use crate::store::partial::Directories;
use crate::store::writer::Style;
use crate::summary::Summary;

/// How many connections the kernel can know; of more, the packets go the candidates' way.
const MAX_FLOWS: u32 = 1 << 18;

/// How long a packet may wait for a slow disk, at most, with an address that the host has given up.
const MAX_DELAY: Duration = Duration::from_secs(600);

/// How often the programs' log lines and losses are fetched.
const LOG_TICK: Duration = Duration::from_millis(500);

/// Captures until a signal says stop.
///
/// # Errors
/// What keeps it from starting, or from going on, with what to do.
pub fn run(config: Config) -> Result<()> {
    warn_unless(privileges::forbid_new());
    let watches_sockets = config.source.watches_sockets();
    let method = AttachMethod::choose(config.attach, watches_sockets)?;
    if watches_sockets {
        // Found here, before anything is attached.
        requirements::cgroup2_root()?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the control plane")?;
    let result = runtime.block_on(supervise(config, method));
    // After a second signal there may be a thread that waits for a disk.
    runtime.shutdown_background();
    result
}

async fn supervise(config: Config, method: AttachMethod) -> Result<()> {
    let mut signals = Signals::new()?;
    let http = http::bind(config.service.http.as_ref()).await?;
    let prospect = Prospect::find(&config.interfaces).await?;
    let files = &config.files;
    let directories = Directories::prepare(&files.data, &files.partial, files.fsync)?;
    let style = style(&config).await?;
    let accounts = Arc::new(Accounts::default());
    let listener = event_listener(&config)?;
    let needed = method.programs(config.source.watches_sockets());
    let (mut programs, rings) = Programs::load_needed(&load_options(&config), needed)?;
    // Here, and not later: there is one thread, and others inherit from it.
    warn_unless(privileges::drop_unneeded(&config, method));
    filters::set(&mut programs, &config.filters)?;
    let counters = Arc::new(programs.take_counters()?);
    let mut kernel_log = programs.take_logger()?;
    let names = Arc::new(InterfaceNames::default());
    let (sink, events) = events::queues(config.sizes.shards);
    let admission = Arc::new(programs.take_admission()?);
    let server = listener.map(|it| EventServer::start(it, scope(&config), &accounts));
    let server = server.transpose()?;
    let sink = sink.published(server.as_ref().map(EventServer::publisher));
    let shared = Shared {
        config: &config,
        directories: &directories,
        style: &style,
        interfaces: &names,
        admission: &admission,
        accounts: &accounts,
    };
    let pipeline = Pipeline::start(&shared, rings.packets, events)?;
    let mut capture = CaptureSet::new(Attacher::new(programs, method)?);
    prospect.begin(&mut capture, &names)?;
    let events = RingReader::new(rings.events)?;
    let programs = capture.attacher().programs();
    let sources = Sources::start(&config, programs, events, &sink, &accounts).await?;
    drop(sink);
    let upkeep = Upkeep::start(&directories, files.retention, &accounts)?;
    announce(&config, method, http.as_ref(), &prospect)?;
    let attached = (capture.attached(), method);
    let site = site(&shared, &counters, pipeline.shards(), attached);
    if let Some(http) = http {
        tokio::spawn(http::serve(http, http::routes(site)));
    }
    let capture = prospect.follow(capture, names);

    let stopped = serve(&mut signals, &mut kernel_log, &counters, &accounts).await;
    let running = Running {
        capture,
        sources,
        server,
        pipeline,
        upkeep,
    };
    running
        .end(&stopped, &mut signals, (&counters, &accounts))
        .await?;
    kernel_log.flush();
    stopped?;
    say(&Summary::new(counters.read()?, &accounts))
}

/// A seccomp profile may forbid to give privileges up. That is no reason not to capture.
fn warn_unless(given_up: Result<()>) {
    if let Err(error) = given_up {
        tracing::warn!("privileges that are not needed are kept: {error:#}");
    }
}

/// Every stage, while it runs.
struct Running {
    capture: CaptureWatch,
    sources: Sources,
    server: Option<EventServer>,
    pipeline: Pipeline,
    upkeep: Upkeep,
}

impl Running {
    /// Ends every stage, for whatever reason, unless a second signal comes.
    async fn end(
        self,
        why: &Result<()>,
        signals: &mut Signals,
        (counters, accounts): (&Arc<KernelCounters>, &Arc<Accounts>),
    ) -> Result<()> {
        if let Err(error) = why {
            // A signal while stopping would hide it.
            tracing::error!("stopping: {error:#}");
        }
        let (counters, accounts) = (Arc::clone(counters), Arc::clone(accounts));
        // Not here: to detach may take long on a busy host, and a second signal is to be heard.
        let stop = tokio::task::spawn_blocking(move || self.stop(&counters, &accounts));
        tokio::select! {
            stop = stop => stop.context("stopping")?,
            () = signals.stop() => {
                bail!("stopped at once by a second signal: some flows are not saved")
            }
        }
    }

    /// Ends one after another, with everything that is on its way.
    fn stop(self, counters: &KernelCounters, accounts: &Accounts) -> Result<()> {
        self.capture.stop();
        counters.settle()?;
        accounts.note_losses(counters.read()?.ring_losses());
        self.sources.stop()?;
        self.server.map_or(Ok(()), EventServer::stop)?;
        self.pipeline.stop()?;
        self.upkeep.stop()
    }
}

/// Says what begins now.
fn announce(
    config: &Config,
    method: AttachMethod,
    http: Option<&Listener>,
    prospect: &Prospect,
) -> Result<()> {
    say(&Screen {
        config,
        method,
        http,
        interfaces: &prospect.describe(),
    })
}

/// What is served over HTTP.
fn site(
    shared: &Shared<'_>,
    counters: &Arc<KernelCounters>,
    shards: &[ShardDoor],
    (attached, method): (Attached, AttachMethod),
) -> Site {
    let (config, accounts) = (shared.config, shared.accounts);
    Site {
        flows: Flows {
            shards: shards.to_vec(),
            anonymizer: shared.style.anonymizer.clone(),
            readers: config.service.flows,
        },
        readiness: Readiness::new(
            attached.clone(),
            Arc::clone(accounts),
            config.source.clone(),
            shared.directories.clone(),
        ),
        metrics: Metrics {
            kernel: Arc::clone(counters),
            admission: Arc::clone(shared.admission),
            accounts: Arc::clone(accounts),
            shards: shards.to_vec(),
            attached,
            method,
            source: config.source.clone(),
            process: ProcessCollector::for_self(),
        },
    }
}

/// Answers signals until one says stop.
async fn serve(
    signals: &mut Signals,
    kernel_log: &mut EbpfLogger<&'static dyn log::Log>,
    counters: &KernelCounters,
    accounts: &Accounts,
) -> Result<()> {
    let mut log_tick = tokio::time::interval(LOG_TICK);
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop => return Ok(()),
                Asked::Report => say(&Summary::new(counters.read()?, accounts))?,
            },
            _ = log_tick.tick() => {
                kernel_log.flush();
                accounts.note_losses(counters.read()?.ring_losses());
            }
        }
    }
}

/// What files look like. Where addresses are hidden but for the host's own, those are watched.
async fn style(config: &Config) -> Result<Style> {
    let files = &config.files;
    let anonymizer = match &files.anonymize {
        None => None,
        Some(method) => {
            let timing = &config.timing;
            let keep = timing.uuid_wait + timing.capture + timing.linger + MAX_DELAY;
            let (own, watch) = OwnAddresses::watch(keep).await?;
            tokio::spawn(watch.run());
            Some(Anonymizer::new(method.clone(), own))
        }
    };
    Ok(Style {
        naming: files.naming,
        level: files.level,
        anonymizer,
    })
}

/// Where flow events are served, if they are: taken before anything is attached.
fn event_listener(config: &Config) -> Result<Option<EventListener>> {
    let Some(path) = &config.service.events else {
        return Ok(None);
    };
    ensure!(
        config.source.watches_sockets(),
        "--eventsocket.listen serves what the kernel source tells, and --flow-source tcpinfo has \
         none: take kernel or hybrid, or leave it out"
    );
    EventListener::bind(path).map(Some)
}

/// What the event server has to know of the sources.
fn scope(config: &Config) -> Scope {
    let told_apart = requirements::kernel_is_at_least(5, 15);
    Scope {
        open: MAX_FLOWS as usize,
        older: config.existing,
        every_namespace: config.every_netns || !told_apart,
    }
}

/// With what the programs are loaded.
pub(crate) fn load_options(config: &Config) -> LoadOptions {
    let sizes = config.sizes;
    LoadOptions {
        shards: sizes.shards,
        admitted_ring: sizes.ring,
        candidate_ring: sizes.candidate_ring(),
        netns_cookie: own_sockets_only(config),
        capture: config.timing.capture,
        max_flows: u32::try_from(sizes.flows)
            .unwrap_or(MAX_FLOWS)
            .min(MAX_FLOWS),
        wanted: filters::wanted(&config.filters),
        filters: filters::bits(&config.filters),
        header_bytes: sizes.headers,
        decapsulate: config.decapsulate,
        hardware_clock: hardware_clock(config),
    }
}

/// Whether the NIC's times are asked for, and the kernel shows them to the programs.
fn hardware_clock(config: &Config) -> bool {
    let shown = requirements::kernel_is_at_least(5, 16);
    if config.hardware_clock && !shown {
        tracing::warn!(
            "this kernel does not show hardware timestamps to programs (Linux 5.16 does): packets \
             have the kernel's times"
        );
    }
    config.hardware_clock && shown
}

/// The network namespace whose sockets the kernel source is to tell of: ours, or all.
fn own_sockets_only(config: &Config) -> Option<u64> {
    if config.every_netns || !config.source.watches_sockets() {
        return None;
    }
    if !requirements::kernel_is_at_least(5, 15) {
        tracing::warn!(
            "this kernel does not tell a socket's network namespace (Linux 5.15 does): \
             connections of every namespace on this host are named"
        );
        return None;
    }
    match netns::cookie() {
        Ok(cookie) => Some(cookie),
        Err(error) => {
            tracing::warn!("connections of every network namespace are named: {error}");
            None
        }
    }
}
