//! How the daemon of a history is configured.

use std::time::Duration;

use capture_files::{Compression, FileNaming, FileOptions, FlowId, Format};
use fastrand::Rng;
use flow_table::Limits;
use model::{Timing, Wanted};

/// How the daemon is configured.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) timing: Timing,
    pub(crate) limits: Limits,
    pub(crate) wanted: Wanted,
    pub(crate) files: FileOptions,
    pub(crate) fsync: bool,
    /// The bound of the writer's backlog, in bytes.
    pub(crate) backlog: u64,
    /// How many jobs wait between shard and writer.
    pub(crate) queue: usize,
    /// The disk space that published files may take.
    pub(crate) max_disk: u64,
    /// How many files the writer may keep open.
    pub(crate) kept_open: usize,
}

/// One of some values.
pub(crate) fn one_of<T: Copy>(random: &mut Rng, values: &[T]) -> T {
    values[random.usize(0..values.len())]
}

impl Settings {
    pub(crate) fn draw(random: &mut Rng) -> Self {
        let milliseconds =
            |random: &mut Rng, values: &[u64]| Duration::from_millis(one_of(random, values));
        let uuid_wait = milliseconds(random, &[100, 1000, 5000]);
        Self {
            timing: Timing {
                uuid_wait,
                capture: uuid_wait.max(milliseconds(random, &[500, 5000, 30_000])),
                idle: milliseconds(random, &[300, 3000, 30_000]),
                linger: milliseconds(random, &[20, 1000]),
                spill: milliseconds(random, &[20, 500, 5000]),
            },
            limits: Limits {
                memory: one_of(random, &[10 << 10, 24 << 10, 128 << 10, 8 << 20]),
                flows: one_of(random, &[3, usize::MAX, usize::MAX]),
            },
            wanted: one_of(random, &[Wanted::All, Wanted::All, Wanted::Incoming]),
            files: FileOptions {
                naming: FileNaming {
                    id: one_of(random, &[FlowId::Mlab, FlowId::Mlab, FlowId::Uuid]),
                    format: one_of(random, &Format::ALL),
                    compression: one_of(random, &Compression::ALL),
                },
                level: None,
                anonymizer: None,
                application: "a simulation",
            },
            fsync: random.u8(0..4) == 0,
            backlog: one_of(random, &[8 << 10, 64 << 10, 8 << 20]),
            queue: one_of(random, &[1, 4, 64]),
            max_disk: one_of(random, &[32 << 10, 256 << 10]),
            kept_open: one_of(random, &[0, 1, 3, 1000]),
        }
    }
}
