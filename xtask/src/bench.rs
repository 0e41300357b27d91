//! `bench`: what the daemon costs, beside its peers and by itself.

use std::env;

use anyhow::Result;
use clap::Args;
use xshell::cmd;

use crate::{binary, runner, setup, workspace::Workspace};

/// Where results go, below the target directory.
const RESULTS: &str = "bench";

/// A directory in memory on every Linux: files go there, so that no disk is measured.
const MEMORY: &str = "/dev/shm";

/// What to measure.
#[derive(Args)]
pub(crate) struct Bench {
    /// Parts of the bench beside the peers, its --rounds and --packets; everything without any
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
    /// Only the benches of single parts: the kernel program, the flow table, the writer
    #[arg(long)]
    alone: bool,
}

/// Measures as the README says, and prints tables.
pub(crate) fn bench(workspace: &Workspace, what: &Bench) -> Result<()> {
    runner::as_root(workspace)?;
    setup::ensure(workspace)?;
    setup::test_tools(workspace)?;
    let sh = &workspace.sh;
    if what.alone {
        cmd!(sh, "cargo bench --package packet-headers --benches").run()?;
        return Ok(());
    }
    sh.set_var("PACKET_HEADERS_BIN", binary::build(workspace)?);
    // The waits of the tests: here, a tool may be very busy.
    sh.set_var("PACKET_HEADERS_PATIENCE", "10");
    if env::var_os("TMPDIR").is_none() {
        sh.set_var("TMPDIR", MEMORY);
    }
    let (out, arguments) = (workspace.target.join(RESULTS), &what.arguments);
    cmd!(
        sh,
        "cargo bench --package end-to-end --bench peers -- --out {out} {arguments...}"
    )
    .run()?;
    Ok(())
}
