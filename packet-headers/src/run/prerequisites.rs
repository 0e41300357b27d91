//! What is taken before anything is loaded or attached: what can be refused is refused here.

use std::time::Duration;

use anyhow::Result;

use crate::capture::InterfacePlan;
use crate::config::Config;
use crate::events::publish::EventListener;
use crate::host::addresses;
use crate::http;
use crate::store::directories;
use anonymize::Anonymizer;
use capture_files::{Directories, FileOptions};

/// How long a packet may wait for a slow disk, at most, with an address that the host has given up.
const MAX_DELAY: Duration = Duration::from_secs(600);

/// What is ours before anything is loaded or attached.
pub(super) struct Prerequisites {
    /// Where HTTP is served, if it is.
    pub(super) http: Option<http::Listener>,
    /// Where flow events are served, if they are.
    pub(super) events: Option<EventListener>,
    /// The interfaces that are wanted.
    pub(super) interfaces: InterfacePlan,
    /// Where files go.
    pub(super) directories: Directories,
    /// What they look like.
    pub(super) options: FileOptions,
}

impl Prerequisites {
    /// Takes all of it.
    ///
    /// # Errors
    /// What cannot be had, and what to do.
    pub(super) async fn take(config: &Config) -> Result<Self> {
        let files = &config.files;
        Ok(Self {
            interfaces: InterfacePlan::find(&config.interfaces).await?,
            // Before the address: of a second daemon, their lock tells more.
            directories: directories::prepare(files)?,
            http: http::bind(config.service.http.as_ref()).await?,
            options: file_options(config).await?,
            events: event_listener(config)?,
        })
    }
}

/// What files look like. Where addresses are hidden but for the host's own, those are watched.
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

/// Where flow events are served, if they are.
fn event_listener(config: &Config) -> Result<Option<EventListener>> {
    let path = config.service.events.as_deref();
    path.map(EventListener::bind).transpose()
}
