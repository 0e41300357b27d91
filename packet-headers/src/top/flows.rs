//! The daemon's list of connections, as `/flows` gives it.

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// The JSON document of `/flows`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Flows {
    /// Connections known, whether listed or not.
    pub(super) total: u64,
    pub(super) flows: Vec<Flow>,
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Flow {
    /// `None` for a candidate, which has no name yet.
    pub(super) uuid: Option<String>,
    pub(super) local: String,
    pub(super) remote: String,
    pub(super) state: String,
    pub(super) packets: u64,
    /// Bytes on the wire.
    pub(super) bytes: u64,
    pub(super) idle_seconds: f64,
    /// What the kernel knew of it, once its socket is closed. Older daemons do not say it.
    #[serde(default)]
    pub(super) kernel: Option<Kernel>,
}

/// Some of what the kernel knew of a connection.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Kernel {
    /// Smoothed round-trip time in microseconds, if one was measured.
    pub(super) srtt_us: Option<u64>,
    /// Segments sent again.
    pub(super) total_retrans: u64,
}

impl Flows {
    /// Parses the document.
    ///
    /// # Errors
    /// When it does not have this form.
    pub(super) fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).context("reading /flows")
    }
}

impl Flow {
    /// Identifies the connection in two successive lists.
    pub(super) fn key(&self) -> (&str, &str, &str) {
        (
            self.uuid.as_deref().unwrap_or_default(),
            &self.local,
            &self.remote,
        )
    }

    /// Whether any of its text columns contains the filter.
    pub(super) fn matches(&self, filter: &str) -> bool {
        let uuid = self.uuid.as_deref().unwrap_or_default();
        [&self.local, &self.remote, &self.state, uuid]
            .iter()
            .any(|text| text.contains(filter))
    }
}
