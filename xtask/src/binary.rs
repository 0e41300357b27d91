//! `build`: the daemon as one static file, which runs on every host and in an empty container image.

use std::path::PathBuf;

use anyhow::Result;
use xshell::cmd;

use crate::{probe, setup, workspace::Workspace};

/// Builds the daemon for release with its C library inside, and says where it is. Every verb that needs
/// the daemon uses this one: what is tested is what is shipped.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    setup::ensure(workspace)?;
    let host = probe::host(workspace)?;
    // Flags for one target, and that target named: build scripts and macros stay as they are, and cargo
    // inside of a build script, which builds for the kernel, does not see them.
    let flags = format!("target.{host}.rustflags=[\"-Ctarget-feature=+crt-static\"]");
    cmd!(
        workspace.sh,
        "cargo build --release --package packet-headers --target {host} --config {flags}"
    )
    .run()?;
    let directory = workspace.target.join(host);
    Ok(directory.join("release/packet-headers"))
}
