//! `build`: the daemon as one static file, which runs on every host and in an empty container image; and
//! what else is built as it is.

use std::path::PathBuf;

use anyhow::Result;
use xshell::cmd;

use crate::{probe, setup, workspace::Workspace};

/// Builds the daemon for release with its C library inside, and says where it is. Every verb that needs
/// the daemon uses this one: what is tested is what is shipped.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    release(workspace, "packet-headers")
}

/// Builds the program that runs the daemon's data path without a kernel, out of the same parts, and says
/// where it is.
pub(crate) fn cost(workspace: &Workspace) -> Result<PathBuf> {
    release(workspace, "cost")
}

/// Builds the program of a package.
fn release(workspace: &Workspace, package: &str) -> Result<PathBuf> {
    setup::ensure(workspace)?;
    let host = probe::host(workspace)?;
    // Flags for one target, and that target named: build scripts and macros stay as they are, and cargo
    // inside of a build script, which builds for the kernel, does not see them.
    let flags = format!("target.{host}.rustflags=[\"-Ctarget-feature=+crt-static\"]");
    cmd!(
        workspace.sh,
        "cargo build --release --package {package} --target {host} --config {flags}"
    )
    .run()?;
    let directory = workspace.target.join(host);
    Ok(directory.join("release").join(package))
}
