//! `build`: the daemon as one static file, which runs on every host and in an empty container image; and
//! what else is built as it is.

use std::{env, path::PathBuf};

use anyhow::{Context as _, Result};

use crate::{architecture::Architecture, cross::Target, programs, workspace::Workspace};

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
    programs::need_current(workspace)?;
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
    // cargo joins them with the target's own.
    let flags = without_paths(workspace)?;
    let flags = format!("target.{}.rustflags={flags:?}", target.triple);
    let build = build.args(["--config", &flags]);
    build.arg("--release").args(of).run()?;
    Ok(workspace.target.join(&target.triple).join("release"))
}

/// Flags that keep out of a binary where the checkout, the target directory and cargo's crates are, so that it is
/// the same wherever it is built. Where several fit, rustc takes the last.
fn without_paths(workspace: &Workspace) -> Result<[String; 3]> {
    let crates = cargo_home()?.join("registry/src");
    let paths = [
        (&workspace.root, "."),
        (&workspace.target, "target"),
        (&crates, "crates"),
    ];
    Ok(paths.map(|(path, instead)| format!("--remap-path-prefix={}={instead}", path.display())))
}

/// Where cargo keeps what it downloaded.
pub(crate) fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = env::var_os("HOME").context("there is neither CARGO_HOME nor HOME")?;
    Ok(PathBuf::from(home).join(".cargo"))
}
