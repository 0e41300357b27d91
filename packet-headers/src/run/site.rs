//! What is served over HTTP, put together from the stages.

use std::sync::Arc;

use capture_files::Directories;
use model::{AttachMethod, FlowReaders};
use prometheus::process_collector::ProcessCollector;

use super::pipeline::Shared;
use crate::capture::Attached;
use crate::config::Service;
use crate::http::{Access, Flows, Readiness, Site};
use crate::kernel::Refused;
use crate::shard::ShardHandle;
use crate::stats::prometheus::Metrics;

/// How packets and connections come from the kernel.
pub(super) struct Captured {
    /// The interfaces that are captured.
    pub(super) attached: Attached,
    /// How programs got to their packets.
    pub(super) method: AttachMethod,
    /// How many connections the kernel had no room for.
    pub(super) refused: Refused,
    /// Whether those of every network namespace are named.
    pub(super) every_namespace: bool,
}

/// What is served over HTTP.
pub(super) fn site(shared: &Shared<'_>, shards: &[ShardHandle], captured: Captured) -> Site {
    let Shared {
        config,
        directories,
        options,
        room,
        heartbeats,
        counted,
        ..
    } = *shared;
    let Captured {
        attached,
        method,
        refused,
        every_namespace,
    } = captured;
    let (source, directories) = (config.source.clone(), Directories::clone(directories));
    Site {
        flows: Flows {
            shards: shards.iter().map(|shard| shard.requests.clone()).collect(),
            anonymizer: options.anonymizer.clone(),
            access: access(&config.service, every_namespace),
        },
        readiness: Readiness::new(
            attached.clone(),
            Arc::clone(&counted.counters),
            source.clone(),
            directories,
            heartbeats.clone(),
        )
        .with_room(room.clone()),
        metrics: Metrics {
            counted: counted.clone(),
            refused_by_kernel: refused,
            shards: shards
                .iter()
                .map(|shard| Arc::clone(&shard.stats))
                .collect(),
            attached,
            room: room.clone(),
            method,
            source,
            heartbeats: heartbeats.clone(),
            process: ProcessCollector::for_self(),
        },
    }
}

/// Who may list connections. Those of other network namespaces are for nobody, unless a flag says
/// otherwise: every process of the host would see whom each container talks to.
fn access(service: &Service, every_namespace: bool) -> Access {
    let usual = match every_namespace {
        true => FlowReaders::Nobody,
        false => FlowReaders::Host,
    };
    Access {
        readers: service.flows.unwrap_or(usual),
        names: service.hosts.clone(),
    }
}
