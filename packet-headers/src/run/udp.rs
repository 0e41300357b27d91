//! UDP flows, from packets to files: apart from connections, so that no number of them is in their way.

use std::path::{Path, PathBuf};

use anyhow::Result;
use capture_files::{Directories, Retention, RetentionLimits, Room};
use packet_headers_common::FlowHash;

use super::pipeline::{Pipeline, Shared};
use crate::config::{Datagrams, Files};
use crate::events;
use crate::events::closed_sockets::ClosedSockets;
use crate::kernel::ShardSources;
use crate::kernel::ring::RingReader;
use crate::shard::ShardHandle;
use crate::store::rows::Rows;
use crate::store::{Maintenance, directories};

/// Where they are, in the directories of all files.
const DIRECTORY: &str = "udp";

/// What the threads are called that recover and remove them.
const THREADS: [&str; 2] = ["maintenance-udp", "retention-udp"];

/// One part in so many of what files may take is for those of UDP flows.
const SHARE: u64 = 4;

/// How many percent more of a filesystem they leave free: when space runs out, they go first.
const MORE_FREE: u64 = 5;

/// What turns their packets into files, and what recovers and removes these, while it runs.
pub(super) struct UdpStages {
    /// Nothing where only an earlier run captured them.
    capture: Option<Capture>,
    maintenance: Maintenance,
    room: Room,
    rows: Option<Rows>,
}

/// What turns their packets into files.
struct Capture {
    closed: ClosedSockets,
    pipeline: Pipeline,
}

/// What is captured of UDP, from where, and who tells of closed sockets.
pub(super) type Captured<'a> = (&'a Datagrams, (ShardSources, RingReader));

impl UdpStages {
    /// Starts it beside what does so for connections.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(super) fn start(
        of_connections: &Shared<'_>,
        directories: &Directories,
        captured: Option<Captured<'_>>,
    ) -> Result<Self> {
        let Shared {
            config,
            options,
            counted,
            heartbeats,
            ..
        } = *of_connections;
        let retention = Retention::of(directories, shares(config.files.retention).1);
        let room = retention.room();
        let counters = &counted.counters;
        let files = (directories, options.naming);
        let rows = config.rows.as_ref();
        let rows = rows.map(|rows| Rows::new(rows, files, &room, counters, Path::new(DIRECTORY)));
        let shared = Shared {
            directories,
            room: &room,
            rows: rows.as_ref(),
            ..*of_connections
        };
        let capture = captured.map(|captured| Capture::start(shared, captured));
        let capture = capture.transpose()?;
        let files = (directories, rows.clone());
        let maintenance = Maintenance::start(THREADS, files, retention, heartbeats, counters)?;
        Ok(Self {
            capture,
            maintenance,
            room,
            rows,
        })
    }

    /// Handles to its shards.
    pub(super) fn shards(&self) -> &[ShardHandle] {
        let capture = self.capture.as_ref();
        capture.map_or(&[], |capture| capture.pipeline.shards())
    }

    /// The account of its files.
    pub(super) fn room(&self) -> Room {
        self.room.clone()
    }

    /// The rows that are written of its files, if any are.
    pub(super) const fn rows(&self) -> Option<&Rows> {
        self.rows.as_ref()
    }

    /// Lets everything be written, and stops.
    ///
    /// # Errors
    /// When a part of it failed while it ran.
    pub(super) fn stop(self) -> Result<()> {
        self.capture.map_or(Ok(()), Capture::stop)?;
        self.maintenance.stop()
    }
}

impl Capture {
    fn start(shared: Shared<'_>, (datagrams, (source, closed)): Captured<'_>) -> Result<Self> {
        let shared = Shared {
            datagrams: Some(datagrams),
            ..shared
        };
        let (sink, events) = events::queues(1, FlowHash::seeded(0));
        let pipeline = Pipeline::start(&shared, source, events)?;
        let names = (datagrams.prefix.clone(), sink);
        let counters = &shared.counted.counters;
        let closed = ClosedSockets::start(closed, names, counters, shared.heartbeats)?;
        Ok(Self { closed, pipeline })
    }

    fn stop(self) -> Result<()> {
        self.closed.stop()?;
        self.pipeline.stop()
    }
}

/// Prepares their directories, in those of connections, which must be prepared: if UDP is captured, or has been.
///
/// # Errors
/// When they cannot be used.
pub(super) fn prepare(files: &Files, is_captured: bool) -> Result<Option<Directories>> {
    let within = |directory: &PathBuf| directory.join(DIRECTORY);
    let (data, partial) = (within(&files.data), within(&files.partial));
    // Limits are for all files, and what an earlier run had is to be recovered.
    if !is_captured && !data.is_dir() && !partial.is_dir() {
        return Ok(None);
    }
    let files = Files {
        data,
        partial,
        ..files.clone()
    };
    directories::prepare(&files).map(Some)
}

/// What files may take: those of connections, and those of UDP flows.
pub(super) fn shares(limits: RetentionLimits) -> (RetentionLimits, RetentionLimits) {
    let part = |limit: u64| limit.div_ceil(SHARE);
    let of_connections = RetentionLimits {
        disk: limits.disk.map(|disk| disk - part(disk)),
        files: limits.files.map(|files| files - part(files)),
        ..limits
    };
    let of_datagrams = RetentionLimits {
        disk: limits.disk.map(part),
        files: limits.files.map(part),
        free: match limits.free {
            0 => 0,
            free => (free + MORE_FREE).min(99),
        },
        ..limits
    };
    (of_connections, of_datagrams)
}

/// The accounts of both.
#[derive(Clone)]
pub(super) struct Rooms {
    pub(super) connections: Room,
    pub(super) datagrams: Option<Room>,
}

impl Rooms {
    /// Puts other limits in force, for all files together.
    pub(super) fn change(&self, limits: RetentionLimits) {
        let Some(datagrams) = &self.datagrams else {
            return self.connections.change(limits);
        };
        let (of_connections, of_datagrams) = shares(limits);
        self.connections.change(of_connections);
        datagrams.change(of_datagrams);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_together_take_what_was_allowed_and_udp_goes_first() {
        let limits = RetentionLimits {
            disk: Some(1003),
            files: Some(7),
            age: None,
            free: 5,
        };
        let (of_connections, of_datagrams) = shares(limits);
        assert_eq!(
            (of_connections.disk, of_datagrams.disk),
            (Some(752), Some(251))
        );
        assert_eq!(
            (of_connections.files, of_datagrams.files),
            (Some(5), Some(2))
        );
        assert_eq!((of_connections.free, of_datagrams.free), (5, 10));
        let (of_connections, of_datagrams) = shares(RetentionLimits::default());
        assert_eq!((of_connections, of_datagrams), Default::default());
    }
}
