//! `build`: the daemon as one static file, which runs on every host and in an empty container image; and
//! what else is built as it is.

use std::path::PathBuf;

use anyhow::Result;

use crate::{architecture::Architecture, cross::Target, setup, workspace::Workspace};

/// Builds the daemon for release with its C library inside, and says where it is. Every verb that needs
/// the daemon uses this one: what is tested is what is shipped.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    daemon(workspace, &Target::here(workspace)?)
}

/// As [`build`], for a processor that may be another one than this machine's.
pub(crate) fn build_for(workspace: &Workspace, architecture: Architecture) -> Result<PathBuf> {
    daemon(workspace, &Target::of(workspace, architecture)?)
}

fn daemon(workspace: &Workspace, target: &Target) -> Result<PathBuf> {
    setup::ensure(workspace)?;
    let directory = release(workspace, target, &["--package", "packet-headers"])?;
    Ok(directory.join("packet-headers"))
}

/// Builds the example that runs the data path without a kernel, out of the same parts, and says where it
/// is.
pub(crate) fn packet_cost(workspace: &Workspace) -> Result<PathBuf> {
    let example = ["--package", "flow-table", "--example", "packet_cost"];
    let directory = release(workspace, &Target::here(workspace)?, &example)?;
    Ok(directory.join("examples/packet_cost"))
}

/// Builds the example that makes the rows of a fleet, and says where it is.
pub(crate) fn fleet(workspace: &Workspace) -> Result<PathBuf> {
    let example = ["--package", "row-formats", "--example", "fleet"];
    let directory = release(workspace, &Target::here(workspace)?, &example)?;
    Ok(directory.join("examples/fleet"))
}

/// Builds a program; the directory of what is built so.
fn release(workspace: &Workspace, target: &Target, of: &[&str]) -> Result<PathBuf> {
    let build = target.cargo(&workspace.sh, "build");
    build.arg("--release").args(of).run()?;
    Ok(workspace.target.join(&target.triple).join("release"))
}
