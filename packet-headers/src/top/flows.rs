//! The daemon's list of connections, as `/flows` gives it.

use std::collections::BTreeMap;

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
    /// `tcp` or `udp`. Older daemons do not say it, and capture TCP alone.
    #[serde(default = "tcp")]
    pub(super) protocol: String,
    /// `None` for a candidate, which has no name yet.
    pub(super) uuid: Option<String>,
    pub(super) local: String,
    pub(super) remote: String,
    pub(super) state: String,
    /// When it began (RFC 3339); `None` for a candidate.
    #[serde(default)]
    pub(super) opened: Option<String>,
    pub(super) packets: u64,
    /// Bytes on the wire.
    pub(super) bytes: u64,
    pub(super) idle_seconds: f64,
    /// What the kernel knew of it, once its socket is closed. Older daemons do not say it.
    #[serde(default)]
    pub(super) kernel: Option<Kernel>,
    /// Whose it is, if that is known. Older daemons do not say it.
    #[serde(default)]
    pub(super) owner: Option<Owner>,
}

/// What flows are of unless it is said.
fn tcp() -> String {
    "tcp".to_owned()
}

/// Whose a connection is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) pid: Option<u32>,
    /// Its name, which it chose itself.
    pub(super) process: Option<String>,
    pub(super) cgroup: Option<String>,
}

/// What the kernel knew of a connection, by the names of its fields; `None` where it was not measured.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(super) struct Kernel(pub(super) BTreeMap<String, Option<u64>>);

impl Kernel {
    /// A field, if it is known.
    pub(super) fn get(&self, field: &str) -> Option<u64> {
        self.0.get(field).copied().flatten()
    }
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
        let Self {
            protocol,
            local,
            remote,
            state,
            ..
        } = self;
        [protocol, local, remote, state, uuid, self.process()]
            .iter()
            .any(|text| text.contains(filter))
    }

    /// Its state, and its protocol unless that is TCP.
    pub(super) fn state(&self) -> String {
        match &*self.protocol {
            "tcp" => self.state.clone(),
            protocol => format!("{protocol} {}", self.state),
        }
    }

    /// The same in at most nine characters: of another protocol, its state is said unless that is the usual one.
    pub(super) fn short_state(&self) -> String {
        let protocol = match &*self.protocol {
            "tcp" => return self.state.clone(),
            protocol => protocol,
        };
        match &*self.state {
            "capturing" => protocol.to_owned(),
            "lingering" => format!("{protocol} ends"),
            _ => format!("{protocol} over"),
        }
    }

    /// The name of its process, if that is known.
    pub(super) fn process(&self) -> &str {
        let owner = self.owner.as_ref();
        let process = owner.and_then(|owner| owner.process.as_deref());
        process.unwrap_or_default()
    }

    /// Whether its local end has this port.
    pub(super) fn is_at(&self, port: &str) -> bool {
        self.local
            .rsplit_once(':')
            .is_some_and(|(_, own)| own == port)
    }
}
