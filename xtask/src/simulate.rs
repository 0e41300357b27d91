//! `simulate`: histories of the whole user side, each from a seed.

use anyhow::Result;
use clap::Args;
use xshell::cmd;

use crate::workspace::Workspace;

/// Which histories.
#[derive(Args)]
pub(crate) struct Simulate {
    /// How many seeds are tried, from 0 on
    #[arg(long, default_value_t = 10_000, conflicts_with = "seed")]
    seeds: u64,
    /// Only this one; its log is printed
    #[arg(long)]
    seed: Option<u64>,
}

/// Simulates on all processors, and politely; prints the seeds that fail, and the log of the first.
pub(crate) fn simulate(workspace: &Workspace, what: &Simulate) -> Result<()> {
    let variable = match what.seed {
        Some(seed) => format!("PACKET_HEADERS_SEED={seed}"),
        None => format!("PACKET_HEADERS_SEEDS={}", what.seeds),
    };
    let sh = &workspace.sh;
    // Built first: compiling is not what should be polite.
    cmd!(
        sh,
        "cargo test --package packet-headers --test simulation --no-run"
    )
    .run()?;
    cmd!(
        sh,
        "nice env {variable} cargo test --package packet-headers --test simulation -- --nocapture every_packet"
    )
    .run()?;
    Ok(())
}
