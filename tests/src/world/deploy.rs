//! The files in deploy/, as the tools that they are written for read them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::world::command::output_of;
use crate::world::python;

/// The plain manifests, without any option.
pub const MANIFESTS: &str = "packet-headers.yaml";

/// Whether a line of a daemon's log, as text or JSON, says that it captures from now on.
#[must_use]
pub fn captures(line: &str) -> bool {
    line.contains(" INFO capturing ") || line.contains("\"message\":\"capturing ")
}

/// The daemon's container in a rendering of the chart.
#[derive(Debug, Deserialize)]
pub struct Pod {
    /// The daemon's arguments.
    pub arguments: Vec<String>,
    /// Its memory limit, as Kubernetes writes it.
    pub memory: String,
    /// The port where it serves HTTP.
    pub port: u16,
    /// The paths of the liveness and readiness probes.
    pub probes: [String; 2],
    /// Its privileges.
    pub security: Security,
    /// Its mounts.
    pub mounts: Vec<Mount>,
}

/// A securityContext.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Security {
    /// Its capabilities, unless it is privileged.
    pub capabilities: Option<Capabilities>,
    /// Whether it may gain privileges.
    pub allow_privilege_escalation: Option<bool>,
    /// Whether its root filesystem is read-only.
    pub read_only_root_filesystem: bool,
    /// The user's ID.
    pub run_as_user: Option<u32>,
    /// Whether it has every privilege.
    #[serde(default)]
    pub privileged: bool,
}

/// The capabilities of a securityContext.
#[derive(Debug, Deserialize)]
pub struct Capabilities {
    /// Those that it gets, without `CAP_`.
    pub add: Vec<String>,
    /// Those that are taken away.
    pub drop: Vec<String>,
}

/// A mount of a container.
#[derive(Debug, Deserialize)]
pub struct Mount {
    /// The path in the container.
    pub path: PathBuf,
    /// The path on the node; none for a volume of the pod.
    pub host: Option<PathBuf>,
    /// Whether it is read-only.
    pub read_only: bool,
}

/// The directory deploy/.
#[must_use]
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// Every rendering of the chart by its name, and each plain manifest by its file's name. Helm
/// renders them, and the schemas of Kubernetes validate them.
///
/// # Errors
/// What is wrong with them.
pub fn pods() -> Result<BTreeMap<String, Pod>> {
    /// What the program prints. It takes seconds, and its input does not change.
    static RENDERED: Mutex<Option<String>> = Mutex::new(None);
    let mut rendered = RENDERED.lock().unwrap_or_else(PoisonError::into_inner);
    let json = match &*rendered {
        Some(json) => json,
        None => {
            let mut command = python::program("deploy_files.py")?;
            let (json, _) = output_of(command.arg(directory()), "python3")?;
            rendered.insert(json)
        }
    };
    serde_json::from_str(json).with_context(|| format!("reading {json}"))
}

/// The daemon's container in the plain manifests.
///
/// # Errors
/// As [`pods`].
pub fn pod() -> Result<Pod> {
    pods()?.remove(MANIFESTS).context("no plain manifests")
}
