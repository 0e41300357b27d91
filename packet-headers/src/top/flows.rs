//! The connections that a daemon captures, as its `/flows` has them.

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// A page of flows.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Flows {
    /// How many there are, also those that are not on the page.
    pub(super) total: u64,
    pub(super) flows: Vec<Flow>,
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Flow {
    /// Nothing for one that has no name yet.
    pub(super) uuid: Option<String>,
    pub(super) local: String,
    pub(super) remote: String,
    pub(super) state: String,
    pub(super) packets: u64,
    /// On the wire.
    pub(super) bytes: u64,
    pub(super) idle_seconds: f64,
}

impl Flows {
    /// Reads a page.
    ///
    /// # Errors
    /// When it is not of that form.
    pub(super) fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).context("reading /flows")
    }
}

impl Flow {
    /// What tells it from others between two pages.
    pub(super) fn key(&self) -> (&str, &str, &str) {
        (
            self.uuid.as_deref().unwrap_or_default(),
            &self.local,
            &self.remote,
        )
    }

    /// Whether the filter's text is in what is shown of it.
    pub(super) fn matches(&self, filter: &str) -> bool {
        let uuid = self.uuid.as_deref().unwrap_or_default();
        [&self.local, &self.remote, &self.state, uuid]
            .iter()
            .any(|text| text.contains(filter))
    }
}
