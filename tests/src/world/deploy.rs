//! What the files in deploy/ say, as their own tools read them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::peers::scapy::python;
use crate::world::process::output_of;

/// The plain manifests, without anything that is optional.
pub const MANIFESTS: &str = "packet-headers.yaml";

/// The daemon's container in a rendering of the chart.
#[derive(Debug, Deserialize)]
pub struct Pod {
    /// The daemon's arguments.
    pub arguments: Vec<String>,
    /// Its memory limit, as Kubernetes writes it.
    pub memory: String,
    /// Where it serves HTTP.
    pub port: u16,
    /// The paths that say whether it lives and is ready.
    pub probes: [String; 2],
    /// What it may do.
    pub security: Security,
    /// What it sees of the node.
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
    /// Whether the image is read-only.
    pub read_only_root_filesystem: bool,
    /// The user's id.
    pub run_as_user: Option<u32>,
    /// Whether it may do everything.
    #[serde(default)]
    pub privileged: bool,
}

/// The capabilities of a securityContext.
#[derive(Debug, Deserialize)]
pub struct Capabilities {
    /// Those that it has, without `CAP_`.
    pub add: Vec<String>,
    /// Those that it has not.
    pub drop: Vec<String>,
}

/// A mount of a container.
#[derive(Debug, Deserialize)]
pub struct Mount {
    /// Where, in the container.
    pub path: PathBuf,
    /// What, on the node; a volume of the pod's otherwise.
    pub host: Option<PathBuf>,
    /// Whether it cannot be written.
    pub read_only: bool,
}

/// The directory itself.
#[must_use]
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// Every rendering of the chart, by its name; those that are plain manifests by their file's. Rendered by
/// Helm, and validated with the schemas of Kubernetes on the way.
///
/// # Errors
/// What is wrong with them.
pub fn pods() -> Result<BTreeMap<String, Pod>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/deploy_files.py");
    let mut command = Command::new(python()?);
    let (out, _) = output_of(command.arg(script).arg(directory()), "python3")?;
    serde_json::from_str(&out).with_context(|| format!("reading {out}"))
}

/// The daemon's container in the plain manifests.
///
/// # Errors
/// As [`pods`].
pub fn pod() -> Result<Pod> {
    pods()?.remove(MANIFESTS).context("no plain manifests")
}
