//! What the daemon does: the command line's values, validated.

use std::path::PathBuf;

use anonymize::Method;
use capture_files::{FileNaming, RetentionLimits};
use model::{AttachMethod, Filters, FlowReaders, FlowSource, ListenAddress, NamePattern, Timing};

/// What the daemon does.
#[derive(Debug)]
pub struct Config {
    /// Where files go, and what they look like.
    pub files: Files,
    /// The interfaces to capture; none for every one that is or comes up but loopback.
    pub interfaces: Vec<NamePattern>,
    /// How programs get to their packets; the best that works when nothing was said.
    pub attach: Option<AttachMethod>,
    /// Who names flows.
    pub source: FlowSource,
    /// Whether sockets of every network namespace count, or only of the daemon's own.
    pub every_netns: bool,
    /// Whether connections that were open before the daemon are captured.
    pub existing: bool,
    /// Whether TCP inside of tunnels is captured.
    pub decapsulate: bool,
    /// Whether the NIC's clock tells packets' times, where it does.
    pub hardware_clock: bool,
    /// How long things last.
    pub timing: Timing,
    /// How much there may be.
    pub sizes: Sizes,
    /// Which connections are wanted.
    pub filters: Filters,
    /// What others can ask of the daemon.
    pub service: Service,
}

/// What others can ask of the daemon.
#[derive(Debug, Clone)]
pub struct Service {
    /// Where metrics and health are served over HTTP, if they are.
    pub http: Option<ListenAddress>,
    /// Who may read over HTTP which connections there are.
    pub flows: FlowReaders,
    /// The Unix socket on which the kernel source's events are served, if they are.
    pub events: Option<PathBuf>,
}

/// Where files go, and what they look like.
#[derive(Debug)]
pub struct Files {
    /// Where published files go.
    pub data: PathBuf,
    /// Where files grow.
    pub partial: PathBuf,
    /// Whether a file is made safe against a power loss before it is published.
    pub fsync: bool,
    /// What they are called, and their format and compression.
    pub naming: FileNaming,
    /// How hard compression tries, when it was said.
    pub level: Option<u32>,
    /// How addresses are hidden, if they are.
    pub anonymize: Option<Method>,
    /// How much published files may take, and how old they may get.
    pub retention: RetentionLimits,
}

/// How much there may be.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Packet rings, and threads that read them.
    pub shards: u32,
    /// Bytes of one shard's ring of named connections; that of the others is a quarter of it.
    pub ring: u32,
    /// Bytes of memory for everything that grows with traffic.
    pub heap: usize,
    /// Named connections at once.
    pub flows: usize,
    /// Header bytes that are kept of a packet.
    pub headers: u32,
}

/// Connections that nobody named get a quarter of the ring that named ones get: their ring is the
/// one that a flood fills.
const CANDIDATE_RING_SHARE: u32 = 4;

impl Sizes {
    /// Bytes of one shard's ring of connections that nobody has named yet.
    #[must_use]
    pub const fn candidate_ring(&self) -> u32 {
        self.ring / CANDIDATE_RING_SHARE
    }
}
