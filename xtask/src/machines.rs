//! Virtual machines: what they run, what they are made of, and how they are started.
//!
//! A machine has nothing but an initramfs and, if asked for, disks. Nothing is installed on this host.

pub(crate) mod clean_root;
pub(crate) mod debian;
pub(crate) mod image;
pub(crate) mod machine;
mod modules;
mod newc;
pub(crate) mod programs;

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use xshell::cmd;

use crate::{cross::Target, setup, workspace::Workspace};

/// Makes sure that machines can be made here.
pub(crate) fn prepare(workspace: &Workspace) -> Result<()> {
    ensure!(
        env::consts::ARCH == "x86_64",
        "the emulators are Debian's for amd64: this host is {}",
        env::consts::ARCH
    );
    setup::kernel_tools(workspace)
}

/// Where what machines are made of is kept.
pub(crate) fn home(workspace: &Workspace) -> PathBuf {
    workspace.target.join("kernels")
}

/// Builds a test of the package `end-to-end` for this host, or for another processor; its executable.
pub(crate) fn build_test(
    workspace: &Workspace,
    name: &str,
    target: Option<&Target>,
) -> Result<PathBuf> {
    let sh = &workspace.sh;
    let test = match target {
        Some(target) => target.cargo(sh, "test"),
        None => cmd!(sh, "cargo test"),
    };
    let built = test
        .args(["--no-run", "--package", "end-to-end", "--test", name])
        .arg("--message-format=json-render-diagnostics")
        .read()?;
    // One object for each thing that was built, in any order.
    let target = format!(r#""name":"{name}""#);
    let executable = built
        .lines()
        .filter(|line| line.contains(&target))
        .find_map(|line| line.split_once(r#""executable":""#)?.1.split('"').next());
    executable
        .map(PathBuf::from)
        .context("cargo names no executable")
}

/// An environment variable for `env`.
pub(crate) fn variable(name: &str, value: &Path) -> String {
    format!("{name}={}", value.display())
}
