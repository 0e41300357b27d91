//! `build`: the daemon as one static file, which runs on every host and in an empty container image; and
//! what else is built as it is.

use std::path::PathBuf;

use anyhow::Result;
use xshell::cmd;

use crate::{probe, programs, workspace::Workspace};

/// Builds the daemon for release with its C library inside, and says where it is. Every verb that needs
/// the daemon uses this one: what is tested is what is shipped.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    programs::need_current(workspace)?;
    let directory = release(workspace, &["--package", "packet-headers"])?;
    Ok(directory.join("packet-headers"))
}

/// Builds the example that runs the data path without a kernel, out of the same parts, and says where it
/// is.
pub(crate) fn packet_cost(workspace: &Workspace) -> Result<PathBuf> {
    let example = ["--package", "flow-table", "--example", "packet_cost"];
    Ok(release(workspace, &example)?.join("examples/packet_cost"))
}

/// Builds the example that makes the rows of a fleet, and says where it is.
pub(crate) fn fleet(workspace: &Workspace) -> Result<PathBuf> {
    let example = ["--package", "row-formats", "--example", "fleet"];
    Ok(release(workspace, &example)?.join("examples/fleet"))
}

/// Builds a program; the directory of what is built so.
fn release(workspace: &Workspace, of: &[&str]) -> Result<PathBuf> {
    let host = probe::host(workspace)?;
    // Flags for one target, and that target named: build scripts and macros stay as they are.
    let flags = format!("target.{host}.rustflags=[\"-Ctarget-feature=+crt-static\"]");
    cmd!(
        workspace.sh,
        "cargo build --release {of...} --target {host} --config {flags}"
    )
    .run()?;
    Ok(workspace.target.join(host).join("release"))
}
