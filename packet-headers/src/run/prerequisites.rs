//! Everything that may be refused is acquired here, before anything is loaded or attached.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::udp;
use crate::capture::InterfacePlan;
use crate::config::{Config, WatchSocket};
use crate::events::publish;
use crate::host::addresses;
use crate::host::processes::Processes;
use crate::http;
use crate::kernel::netns;
use crate::live;
use crate::load_options;
use crate::store::{directories, open_files};
use crate::unix_socket;
use anonymize::Anonymizer;
use capture_files::{Directories, FileOptions};

/// How long an address that the host no longer has still counts as its own, on top of the time that
/// a connection takes: packets may wait that long for a slow disk.
const MAX_DELAY: Duration = Duration::from_secs(600);

/// Addresses, directories and interfaces that are acquired before anything is loaded or attached.
pub(super) struct Prerequisites {
    /// The HTTP socket, if HTTP is served.
    pub(super) http: Option<http::Listener>,
    /// The event socket, if flow events are served.
    pub(super) events: Option<unix_socket::Listener>,
    /// The socket at which packets can be watched, if they can be.
    pub(super) watch: Option<unix_socket::Listener>,
    /// The interfaces to capture.
    pub(super) interfaces: InterfacePlan,
    /// The directories of files, locked.
    pub(super) directories: Directories,
    /// Those of UDP flows, if they are captured, or have been.
    pub(super) udp: Option<Directories>,
    /// The format, naming and anonymization of files.
    pub(super) options: FileOptions,
    /// How many files each writer may keep open.
    pub(super) kept_open: usize,
    /// Who has sockets open, if connections are to have owners. Nobody else's processes can be looked at once
    /// privileges are dropped.
    pub(super) processes: Option<Arc<Processes>>,
    /// The cookie of the network namespace, if sockets can be told apart by it. The sandbox lets nobody ask.
    pub(super) netns: Option<u64>,
}

impl Prerequisites {
    /// Acquires all of them.
    ///
    /// # Errors
    /// When one cannot be acquired; the message says what to do.
    pub(super) async fn take(config: &Config) -> Result<Self> {
        let files = &config.files;
        // Before the address: for a second daemon, the error of their lock says more.
        let directories = directories::prepare(files)?;
        Ok(Self {
            udp: udp::prepare(files, config.datagrams.is_some())?,
            interfaces: InterfacePlan::find(&config.interfaces).await?,
            directories,
            http: http::bind(config.service.http.as_ref()).await?,
            options: file_options(config).await?,
            kept_open: open_files::kept_by_each(open_files::raise_limit(), config.all_shards()),
            events: event_listener(config)?,
            watch: watch_listener(config)?,
            processes: load_options::wants_owners(config)
                .then(|| Arc::new(Processes::look(Path::new("/proc")))),
            netns: netns::own().ok(),
        })
    }
}

/// The options of files. With anonymization, starts to follow this host's own addresses.
async fn file_options(config: &Config) -> Result<FileOptions> {
    let files = &config.files;
    let anonymizer = match &files.anonymize {
        None => None,
        Some(method) => {
            let timing = &config.timing;
            let keep = timing.uuid_wait + timing.capture + timing.linger + MAX_DELAY;
            let (own, watch) = addresses::watch(keep).await?;
            tokio::spawn(watch.run());
            Some(Anonymizer::new(method.clone(), own))
        }
    };
    Ok(FileOptions {
        naming: files.naming,
        level: files.level,
        anonymizer,
        application: concat!("packet-headers ", env!("CARGO_PKG_VERSION")),
    })
}

/// The event socket, if flow events are served.
fn event_listener(config: &Config) -> Result<Option<unix_socket::Listener>> {
    let path = config.service.events.as_deref();
    let bind = |path| unix_socket::Listener::bind(path, publish::SOCKET);
    path.map(bind).transpose()
}

/// The socket at which packets can be watched. A daemon that was not told about it goes without where it cannot
/// have it.
fn watch_listener(config: &Config) -> Result<Option<unix_socket::Listener>> {
    let bind = |path: &Path| unix_socket::Listener::bind(path, live::SOCKET);
    match &config.service.watch {
        WatchSocket::Off => Ok(None),
        WatchSocket::At(path) => bind(path).map(Some),
        WatchSocket::Usual if config.files.anonymize.is_some() => Ok(None),
        WatchSocket::Usual => {
            let place = Path::new(live::USUAL_PLACE);
            if let Some(directory) = place.parent() {
                // Should it not be there afterwards, the socket says so.
                let _made = DirBuilder::new().mode(0o750).create(directory);
            }
            let bound = bind(place);
            Ok(bound
                .inspect_err(|error| tracing::info!("packets cannot be watched: {error:#}"))
                .ok())
        }
    }
}
