//! What is served over HTTP, put together from the stages.

use std::sync::Arc;

use capture_files::Directories;
use model::AttachMethod;
use prometheus::process_collector::ProcessCollector;

use super::pipeline::Shared;
use crate::capture::Attached;
use crate::http::{Flows, Readiness, Site};
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
}

impl Captured {
    /// Joins the three parts.
    pub(super) const fn new(attached: Attached, method: AttachMethod, refused: Refused) -> Self {
        Self {
            attached,
            method,
            refused,
        }
    }
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
    } = captured;
    let (source, directories) = (config.source.clone(), Directories::clone(directories));
    Site {
        flows: Flows {
            shards: shards.iter().map(|shard| shard.requests.clone()).collect(),
            anonymizer: options.anonymizer.clone(),
            readers: config.service.flows,
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
