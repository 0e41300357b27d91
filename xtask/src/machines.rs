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

use anyhow::{Result, ensure};

use crate::{setup, workspace::Workspace};

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

/// An environment variable for `env`.
pub(crate) fn variable(name: &str, value: &Path) -> String {
    format!("{name}={}", value.display())
}
