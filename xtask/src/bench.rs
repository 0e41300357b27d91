//! `bench`: what the daemon costs, beside its peers and by itself.

use std::{env, ffi::OsString};

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
    /// Measure only single parts: the kernel program, the flow table and the writer
    #[arg(long, conflicts_with = "peers")]
    alone: bool,
    /// Measure only the daemon beside its peers, with these arguments; `-- --help` lists them
    #[arg(last = true, value_name = "PEERS ARGS")]
    peers: Vec<OsString>,
}

/// Measures as docs/performance.md says, and prints tables.
pub(crate) fn bench(workspace: &Workspace, what: &Bench) -> Result<()> {
    runner::as_root(workspace)?;
    setup::ensure(workspace)?;
    setup::test_tools(workspace)?;
    if what.peers.is_empty() {
        alone(workspace)?;
    }
    if !what.alone {
        beside_peers(workspace, &what.peers)?;
    }
    Ok(())
}

/// The kernel program by itself, and user space without a kernel.
fn alone(workspace: &Workspace) -> Result<()> {
    let sh = &workspace.sh;
    cmd!(sh, "cargo bench --package kernel-tests").run()?;
    cmd!(
        sh,
        "cargo bench --package flow-table --package capture-files"
    )
    .run()?;
    Ok(())
}

fn beside_peers(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    let sh = &workspace.sh;
    sh.set_var("PACKET_HEADERS_BIN", binary::build(workspace)?);
    // The waits of the tests: here, a tool may be very busy.
    sh.set_var("PACKET_HEADERS_PATIENCE", "10");
    if env::var_os("TMPDIR").is_none() {
        sh.set_var("TMPDIR", MEMORY);
    }
    let out = workspace.target.join(RESULTS);
    cmd!(
        sh,
        "cargo bench --package end-to-end --bench peers -- --out {out} {arguments...}"
    )
    .run()?;
    Ok(())
}
