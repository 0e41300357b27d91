//! `run`: builds the daemon and becomes it, with root's privileges.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    binary,
    workspace::{Privilege, Workspace},
};

/// Builds the daemon and replaces this process with it, so that signals reach it and its exit code is
/// ours. It runs where the user is, not in the root of the checkout. Returns only on failure.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    let privilege = Privilege::find()?;
    let daemon = binary::build_to_try(workspace)?;
    let mut command = match privilege {
        Privilege::Root => Command::new(&daemon),
        Privilege::Sudo => {
            let mut command = Command::new("sudo");
            command.arg("--").arg(&daemon);
            command
        }
    };
    let error = command.args(arguments).exec();
    Err(error).with_context(|| format!("starting {}", daemon.display()))
}
