//! The stages: in which order they start, and in which they stop.

use std::sync::Arc;

use anyhow::Result;
use aya_log::EbpfLogger;
use prometheus::process_collector::ProcessCollector;

use super::options::{MAX_FLOWS, load_options};
use super::prerequisites::Prerequisites;
use crate::accounts::Accounts;
use crate::banner::StartupBanner;
use crate::capture::{Attached, CaptureSet, CaptureWatch};
use crate::config::Config;
use crate::events;
use crate::events::publish::{EventServer, Scope};
use crate::events::source::Sources;
use crate::heartbeat::Heartbeats;
use crate::http::{self, Flows, Readiness, Site};
use crate::kernel::ring::RingReader;
use crate::kernel::{Attacher, KernelCounters, Programs, Refused, filters, method, requirements};
use crate::metrics::Metrics;
use crate::pipeline::{Pipeline, ShardHandle, Shared};
use crate::privileges;
use crate::stdout::print;
use crate::store::Maintenance;
use capture_files::InterfaceNames;
use model::AttachMethod;

/// Every stage, while it runs.
pub(super) struct Stages {
    capture: CaptureWatch,
    sources: Sources,
    server: Option<EventServer>,
    pipeline: Pipeline,
    maintenance: Maintenance,
    tally: Tally,
}

/// What all stages count into.
#[derive(Clone)]
pub(super) struct Tally {
    pub(super) kernel: Arc<KernelCounters>,
    pub(super) accounts: Arc<Accounts>,
}

/// The programs' own log.
pub(super) type KernelLog = EbpfLogger<&'static dyn log::Log>;

impl Stages {
    /// Starts the stages, consumers first.
    ///
    /// # Errors
    /// When one cannot be started; the message says what to do.
    pub(super) async fn start(
        config: &Config,
        method: AttachMethod,
        prerequisites: Prerequisites,
    ) -> Result<(Self, KernelLog)> {
        let Prerequisites {
            http,
            events: listener,
            interfaces,
            directories,
            options,
        } = prerequisites;
        let needed = method::programs(method, config.source.watches_sockets());
        let (mut programs, rings) = Programs::load_needed(&load_options(config), needed)?;
        // Now, while there is only one thread: later ones inherit its capabilities.
        privileges::warn_on_error(privileges::drop_unneeded(config, method));
        filters::set(&mut programs, &config.filters)?;
        let tally = Tally {
            kernel: Arc::new(programs.take_counters()?),
            accounts: Arc::default(),
        };
        let kernel_log = programs.take_logger()?;
        let names = Arc::new(InterfaceNames::default());
        let (sink, events) = events::queues(config.sizes.shards);
        let server = listener.map(|it| EventServer::start(it, scope(config), &tally.accounts));
        let server = server.transpose()?;
        let sink = sink.published(server.as_ref().map(EventServer::publisher));
        let refused = Refused::default();
        let heartbeats = Heartbeats::default();
        let maps = programs.take_flow_maps(config.sizes.shards, &refused)?;
        let shared = Shared {
            config,
            heartbeats: &heartbeats,
            directories: &directories,
            options: &options,
            interfaces: &names,
            accounts: &tally.accounts,
        };
        let pipeline = Pipeline::start(&shared, rings.packets, maps, events)?;
        let mut capture = CaptureSet::new(Attacher::new(programs, method)?);
        interfaces.begin(&mut capture, &names)?;
        let events = RingReader::new(rings.events)?;
        let programs = capture.attacher().programs();
        let sources = Sources::start(config, programs, events, &sink, &tally.accounts).await?;
        let retention = config.files.retention;
        let maintenance = Maintenance::start(&directories, retention, &tally.accounts)?;
        let banner = StartupBanner {
            config,
            method,
            http: http.as_ref(),
            interfaces: &interfaces.describe(),
        };
        print(&banner)?;
        if let Some(http) = http {
            let attached = (capture.attached(), method);
            let counters = (&tally.kernel, &refused);
            let site = site(&shared, counters, pipeline.shards(), attached);
            tokio::spawn(http::serve(http, http::routes(site)));
        }
        let stages = Self {
            capture: interfaces.follow(capture, names),
            sources,
            server,
            pipeline,
            maintenance,
            tally,
        };
        Ok((stages, kernel_log))
    }

    /// Where everything is counted.
    pub(super) fn tally(&self) -> Tally {
        self.tally.clone()
    }

    /// Stops the stages, producers first. Blocks: detaching may take long on a busy host.
    ///
    /// # Errors
    /// When one failed while it ran.
    pub(super) fn stop(self) -> Result<()> {
        self.capture.stop();
        let Tally { kernel, accounts } = self.tally;
        kernel.settle()?;
        accounts.note_losses(kernel.read()?.ring_losses());
        self.sources.stop()?;
        self.server.map_or(Ok(()), EventServer::stop)?;
        self.pipeline.stop()?;
        self.maintenance.stop()
    }
}

/// What is served over HTTP.
fn site(
    shared: &Shared<'_>,
    (counters, refused): (&Arc<KernelCounters>, &Refused),
    shards: &[ShardHandle],
    (attached, method): (Attached, AttachMethod),
) -> Site {
    let (config, accounts) = (shared.config, shared.accounts);
    Site {
        flows: Flows {
            shards: shards.to_vec(),
            anonymizer: shared.options.anonymizer.clone(),
            readers: config.service.flows,
        },
        readiness: Readiness::new(
            attached.clone(),
            Arc::clone(accounts),
            config.source.clone(),
            shared.directories.clone(),
            shared.heartbeats.clone(),
        ),
        metrics: Metrics {
            kernel: Arc::clone(counters),
            refused_by_kernel: refused.clone(),
            accounts: Arc::clone(accounts),
            shards: shards.to_vec(),
            attached,
            method,
            source: config.source.clone(),
            heartbeats: shared.heartbeats.clone(),
            process: ProcessCollector::for_self(),
        },
    }
}

/// What the event server must know about the sources.
fn scope(config: &Config) -> Scope {
    Scope {
        open: MAX_FLOWS as usize,
        older: config.existing,
        every_namespace: config.every_netns || !requirements::tells_netns(),
    }
}
