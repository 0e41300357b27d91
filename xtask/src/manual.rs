//! `manual`: the man pages and shell completions of the daemon.

use anyhow::Result;
use xshell::cmd;

use crate::workspace::Workspace;

/// Writes them below the target directory, and prints where.
pub(crate) fn manual(workspace: &Workspace) -> Result<()> {
    let directory = workspace.target.join("manual");
    cmd!(
        workspace.sh,
        "cargo run --quiet --package packet-headers --example manual -- {directory}"
    )
    .run()?;
    let at = directory.display();
    println!("man pages are in {at}/man1, completions for bash, zsh and fish in {at}/completions");
    Ok(())
}
