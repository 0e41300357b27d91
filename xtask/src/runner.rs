//! Lets cargo run with root's privileges what it built as the user.

use anyhow::Result;

use crate::{
    probe,
    workspace::{Privilege, Workspace},
};

/// From now on cargo's tests and benches run as root.
pub(crate) fn as_root(workspace: &Workspace) -> Result<()> {
    if matches!(Privilege::find()?, Privilege::Sudo) {
        let runner = variable(&probe::host(workspace)?);
        workspace.sh.set_var(runner, "sudo -E");
    }
    Ok(())
}

/// The environment variable that names the program through which cargo runs what is built for `host`.
pub(crate) fn variable(host: &str) -> String {
    let host = host.to_uppercase().replace(['-', '.'], "_");
    format!("CARGO_TARGET_{host}_RUNNER")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runner_is_named_as_cargo_names_it() {
        assert_eq!(
            variable("x86_64-unknown-linux-gnu"),
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER"
        );
    }
}
