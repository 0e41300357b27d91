//! `build`: the daemon as one static file, which runs on every host and in an empty container image; and
//! what else is built as it is.

use std::{env, path::PathBuf};

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::{probe, setup, workspace::Workspace};

/// Builds the daemon for release with its C library inside, and says where it is. Every verb that needs
/// the daemon uses this one: what is tested is what is shipped.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    setup::ensure(workspace)?;
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
    // Flags for one target, and that target named: build scripts and macros stay as they are, and cargo
    // inside of a build script, which builds for the kernel, does not see them.
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    flags.extend(without_paths(workspace)?);
    let flags = format!("target.{host}.rustflags={flags:?}");
    cmd!(
        workspace.sh,
        "cargo build --release {of...} --target {host} --config {flags}"
    )
    .run()?;
    Ok(workspace.target.join(host).join("release"))
}

/// Flags that keep out of a binary where the checkout, the target directory and cargo's crates are, so that it is
/// the same wherever it is built. Where several fit, rustc takes the last.
fn without_paths(workspace: &Workspace) -> Result<impl Iterator<Item = String>> {
    let crates = cargo_home()?.join("registry/src");
    let paths = [
        (workspace.root.clone(), "."),
        (workspace.target.clone(), "target"),
        (crates, "crates"),
    ];
    Ok(paths
        .into_iter()
        .map(|(path, instead)| format!("--remap-path-prefix={}={instead}", path.display())))
}

/// Where cargo keeps what it downloaded.
pub(crate) fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = env::var_os("HOME").context("there is neither CARGO_HOME nor HOME")?;
    Ok(PathBuf::from(home).join(".cargo"))
}
