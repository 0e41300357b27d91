//! `bench`: what the daemon and the reader of its files cost, beside their peers and by themselves.

use std::{env, ffi::OsString};

use anyhow::Result;
use clap::Args;
use xshell::cmd;

use crate::{binary, programs, runner, setup, workspace::Workspace};

/// Where results go, below the target directory.
const RESULTS: &str = "bench";

/// A directory in memory on every Linux: files go there, so that no disk is measured.
const MEMORY: &str = "/dev/shm";

/// What to measure.
#[derive(Args)]
pub(crate) struct Bench {
    /// Measure only single parts: the kernel program, the flow table and the writer
    #[arg(long, conflicts_with_all = ["files", "arguments"])]
    alone: bool,
    /// Measure only `flows` and `merge` beside other programs that read captures
    #[arg(long)]
    files: bool,
    /// Measure only the daemon beside its peers, or what `--files` measures, with these arguments; `-- --help`
    /// lists them
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<OsString>,
}

/// Measures as docs/performance.md says, and prints tables.
pub(crate) fn bench(workspace: &Workspace, what: &Bench) -> Result<()> {
    runner::as_root(workspace)?;
    programs::need_current(workspace)?;
    setup::test_tools(workspace)?;
    let everything = !what.alone && !what.files && what.arguments.is_empty();
    if what.alone || everything {
        alone(workspace)?;
    }
    if what.alone {
        return Ok(());
    }
    if !what.files {
        beside_peers(workspace, "peers", &what.arguments)?;
    }
    if what.files || everything {
        beside_peers(workspace, "files", &what.arguments)?;
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

/// One of the benches of `end-to-end`.
fn beside_peers(workspace: &Workspace, bench: &str, arguments: &[OsString]) -> Result<()> {
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
        "cargo bench --package end-to-end --bench {bench} -- --out {out} {arguments...}"
    )
    .run()?;
    Ok(())
}
