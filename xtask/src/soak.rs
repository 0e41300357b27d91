//! `soak`: one daemon under mixed load for as long as you like.

use std::{env, ffi::OsString};

use anyhow::Result;
use clap::Args;
use xshell::cmd;

use crate::{binary, runner, workspace::Workspace};

/// Where results go, below the target directory.
const RESULTS: &str = "soak";

/// The variable that names a daemon that was built before.
const DAEMON: &str = "PACKET_HEADERS_BIN";

/// How long, and with which load.
#[derive(Args)]
pub(crate) struct Soak {
    /// How long the load goes on
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// What all that is random comes from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Further arguments, such as rates; `-- --help` lists them
    #[arg(last = true, value_name = "SOAK ARGS")]
    more: Vec<OsString>,
}

/// Soaks as docs/soak.md says, prints tables, and fails if something does not hold.
pub(crate) fn soak(workspace: &Workspace, what: &Soak) -> Result<()> {
    runner::as_root(workspace)?;
    let sh = &workspace.sh;
    if env::var_os(DAEMON).is_none() {
        sh.set_var(DAEMON, binary::build(workspace)?);
    }
    let out = workspace.target.join(RESULTS);
    let (minutes, seed) = (what.minutes.to_string(), what.seed.to_string());
    let more = &what.more;
    cmd!(
        sh,
        "cargo bench --package end-to-end --bench soak -- --minutes {minutes} --seed {seed} --out {out} {more...}"
    )
    .run()?;
    Ok(())
}
