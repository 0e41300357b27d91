//! The daemon's configuration: the validated values of the command line.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anonymize::Method;
use anyhow::Result;
use capture_files::{FileNaming, RetentionLimits};
use capture_query::Kept;
use model::owner::WantedOwners;
use model::{
    AttachMethod, Filters, FlowReaders, FlowSource, HostName, ListenAddress, NamePattern, Timing,
    UuidPrefix,
};

/// The daemon's configuration.
#[derive(Debug)]
pub struct Config {
    /// Where files go, and their format.
    pub files: Files,
    /// Which rows are written, if any are.
    pub rows: Option<Rows>,
    /// The interfaces to capture. Empty for every interface that is up, or comes up later, except
    /// loopback.
    pub interfaces: Vec<NamePattern>,
    /// The attach method, or `None` for the best that works.
    pub attach: Option<AttachMethod>,
    /// Where connections get their names.
    pub source: FlowSource,
    /// Whether connections of every network namespace get names, or only those of the daemon's own.
    pub every_netns: bool,
    /// The file of the network namespace to capture in, if it is not the one that the daemon was started
    /// in.
    pub netns: Option<PathBuf>,
    /// Whether connections that were open before the daemon started are captured.
    pub existing: bool,
    /// Whether connections inside tunnels are captured.
    pub decapsulate: bool,
    /// Whether ICMP errors are captured that quote a packet of a connection.
    pub icmp_errors: bool,
    /// Whether packets get the NIC's timestamps, where there are any.
    pub hardware_clock: bool,
    /// When files are written and finished.
    pub timing: Timing,
    /// For how long a UDP flow may be silent.
    pub udp_silence: Duration,
    /// Sizes of rings, memory and packets.
    pub sizes: Sizes,
    /// What is captured of UDP, if anything is.
    pub datagrams: Option<Datagrams>,
    /// Which connections are captured.
    pub filters: Filters,
    /// Whose connections are captured.
    pub owners: WantedOwners,
    /// What the daemon serves.
    pub service: Service,
    /// Whether the daemon confines itself once it has what it needs.
    pub sandbox: bool,
    /// What the daemon prints.
    pub output: Output,
    /// The configuration file, if there is one.
    pub file: Option<PathBuf>,
    /// How that is read again, together with everything else that says what is to be done.
    pub again: Option<ReadAgain>,
}

/// Reads the configuration again.
#[derive(Clone)]
pub struct ReadAgain(Arc<dyn Fn() -> Result<Again> + Send + Sync>);

/// A configuration that was read again.
#[derive(Debug, Clone)]
pub struct Again {
    /// What can be put in force while the daemon captures.
    pub live: Live,
    /// The flags whose values are not those of the start.
    pub changed: Vec<String>,
}

/// The part of a configuration that can be put in force while the daemon captures.
#[derive(Debug, Clone)]
pub struct Live {
    /// When files are written and finished.
    pub timing: Timing,
    /// For how long a UDP flow may be silent.
    pub udp_silence: Duration,
    /// Which connections are captured. What concerns loopback follows from the interfaces, and stays.
    pub filters: Filters,
    /// Whose connections are captured.
    pub owners: WantedOwners,
    /// Which captures are kept, where rows are written.
    pub kept: Kept,
    /// How often files of rows are published, where any are.
    pub rows_interval: Duration,
    /// How much disk space published files may take, and how old they may get.
    pub retention: RetentionLimits,
}

impl Config {
    /// How many shards there are, with that of UDP.
    pub(crate) fn all_shards(&self) -> u32 {
        self.sizes.shards + u32::from(self.datagrams.is_some())
    }

    /// Whether addresses are hidden, and with them whose connections are.
    pub(crate) const fn hides_addresses(&self) -> bool {
        self.files.anonymize.is_some()
    }
}

impl ReadAgain {
    /// By this function.
    pub fn by(read: impl Fn() -> Result<Again> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(&self) -> Result<Again> {
        (self.0)()
    }
}

impl fmt::Debug for ReadAgain {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ReadAgain")
    }
}

/// What the daemon prints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Output {
    /// Whether each line is a JSON object.
    pub json: bool,
    /// Whether the accounts are printed at the end.
    pub accounts: bool,
}

/// What the daemon serves.
#[derive(Debug, Clone)]
pub struct Service {
    /// The HTTP listen address, if HTTP is served.
    pub http: Option<ListenAddress>,
    /// Who may list connections over HTTP. `None` for clients on this host, or nobody if there are
    /// connections of other network namespaces among them.
    pub flows: Option<FlowReaders>,
    /// Names of this host at which connections may be listed, besides its addresses and localhost.
    pub hosts: Vec<HostName>,
    /// The path of the Unix socket for flow events, if they are served.
    pub events: Option<PathBuf>,
    /// Where packets can be watched.
    pub watch: WatchSocket,
}

/// Where packets can be watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchSocket {
    /// At the usual place, if that is free and can be used, and addresses are not hidden.
    Usual,
    /// At this path.
    At(PathBuf),
    /// Nowhere.
    Off,
}

/// Where files go, and their format.
#[derive(Debug, Clone)]
pub struct Files {
    /// The directory of published files.
    pub data: PathBuf,
    /// The directory of partial files.
    pub partial: PathBuf,
    /// The group of files and directories, or `None` for the daemon's.
    pub group: Option<u32>,
    /// Whether files are synced to disk before they are published.
    pub fsync: bool,
    /// The names of files, their format and compression.
    pub naming: FileNaming,
    /// The compression level, or `None` for the default.
    pub level: Option<u32>,
    /// How addresses are anonymized, if they are.
    pub anonymize: Option<Method>,
    /// How much disk space published files may take, and how old they may get.
    pub retention: RetentionLimits,
}

/// Which rows are written, and which files are kept beside them.
#[derive(Debug)]
pub struct Rows {
    /// The format of files of rows.
    pub format: RowsFormat,
    /// How often they are published.
    pub interval: Duration,
    /// What this host is called in rows, and in the names of their files.
    pub host: String,
    /// Which captures are kept.
    pub kept: Kept,
}

/// The format of files of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsFormat {
    /// JSON lines.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

/// Sizes of rings, memory and packets.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// The number of shards.
    pub shards: u32,
    /// Size of a shard's admitted ring in bytes. The candidate ring is a quarter of it.
    pub ring: u32,
    /// Bytes of memory for everything that grows with traffic.
    pub heap: usize,
    /// The most connections that are captured at once.
    pub flows: usize,
    /// Header bytes kept per packet.
    pub headers: u32,
}

/// What is captured of UDP.
#[derive(Debug, Clone)]
pub struct Datagrams {
    /// What the names of flows begin with.
    pub prefix: UuidPrefix,
    /// Whether packets of QUIC are captured up to and with their connection IDs.
    pub quic: bool,
    /// Bytes of [`Sizes::heap`] for flows and their packets.
    pub heap: usize,
    /// The most flows that are captured at once.
    pub flows: usize,
}

/// The admitted ring is this many times as large as the candidate ring, which a flood of new
/// connections fills.
const CANDIDATE_RING_SHARE: u32 = 4;

impl Sizes {
    /// Size of a shard's candidate ring in bytes.
    #[must_use]
    pub const fn candidate_ring(&self) -> u32 {
        self.ring / CANDIDATE_RING_SHARE
    }
}
