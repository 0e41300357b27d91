//! `pictures`: the pictures of docs/plot.md.

use anyhow::Result;
use xshell::cmd;

use crate::{binary, workspace::Workspace};

/// Draws them anew, from transfers that are the same each time, by the program as it is now.
pub(crate) fn pictures(workspace: &Workspace) -> Result<()> {
    workspace
        .sh
        .set_var("PACKET_HEADERS_BIN", binary::build(workspace)?);
    cmd!(
        workspace.sh,
        "cargo run --quiet --package end-to-end --bin pictures -- docs/plot"
    )
    .run()?;
    println!("docs/plot has the pictures of docs/plot.md: look at them");
    Ok(())
}
